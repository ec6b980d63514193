"""An encoder for rows of any kind, for those who bring none of their own."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from flipgrad.errors import InputError
from flipgrad.layers import BackbonePreprocessing

# Blocks go on until a map has this side: 7 x 7 of 28 x 28 pixels, 4 x 4 of 64 x 64.
_SMALLEST = 7
_FEATURES = 128


def default_encoder(
    shape: Sequence[int],
    preprocessing: Sequence[keras.layers.Layer] = (),
    name: str = "auto",
    weights: str | None = None,
) -> keras.Model:
    """Raw rows -> features ``(rows, n)``.

    Args:
        shape: of one row as it comes: ``(columns,)``, ``(steps, channels)`` or ``(height, width, channels)``.
        preprocessing: layers that come first, already fitted.  A backbone has its own, so for one they are left out.
        name: ``"mlp"`` for vectors (128 and 128 units), ``"cnn1d"`` for windows of signals, ``"cnn"`` for small images,
            ``"auto"`` for the one that fits the shape, or a model of ``keras.applications`` such as ``"ResNet50"``.
        weights: of a backbone: ``None`` for random ones, ``"imagenet"`` (downloaded by Keras), or a file.

    Raises:
        InputError: an unknown name, one that does not fit the shape, or weights without a backbone.
    """
    shape = tuple(int(n) for n in shape)
    inputs = keras.Input(shape)
    if name in _backbones():
        return _backbone(inputs, name, weights)
    if weights is not None:
        raise InputError(f"Argument `weights`: only a backbone has any, received {weights!r} for encoder {name!r}.")
    x = inputs
    for layer in preprocessing:
        x = layer(x)
    rank = len(x.shape) - 1
    by_rank = {1: "mlp", 2: "cnn1d", 3: "cnn"}
    if name == "auto":
        name = by_rank.get(rank, "mlp")
    builders = {"mlp": _mlp, "cnn1d": _convolutions, "cnn": _convolutions}
    if name not in builders:
        near = difflib.get_close_matches(str(name), [*builders, *_backbones()], n=1, cutoff=0.5)
        raise InputError(
            f"Argument `encoder`: expected auto, {', '.join(builders)} or a model of keras.applications, received "
            f"{name!r}; {f'did you mean {near[0]!r}?' if near else 'choose one of these.'}"
        )
    if name != "mlp" and by_rank.get(rank) != name:
        raise InputError(
            f"Argument `encoder`: {name} does not fit rows of shape {shape}; choose {by_rank.get(rank, 'mlp')} or auto."
        )
    return keras.Model(inputs, builders[name](x), name="encoder")


def _mlp(x: Any) -> Any:
    if len(x.shape) > 2:
        x = layers.Flatten()(x)
    for units in (128, 128):
        x = layers.Dense(units, activation="relu")(x)
    return x


def _convolutions(x: Any) -> Any:
    """Blocks of convolution, batch normalization, pooling and ReLU, each with more filters on a smaller map.

    Then one dense layer.  It is what makes adapting work: a discriminator tells thousands of features of a map apart
    whatever the encoder does, not so 128 normalised ones (docs/own-data.md has the figures).
    """
    images = len(x.shape) == 4
    convolution, pooling = (layers.Conv2D, layers.MaxPooling2D) if images else (layers.Conv1D, layers.MaxPooling1D)
    filters = 32
    while True:
        x = convolution(filters, 5, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization()(x)
        if min(x.shape[1:-1]) > 1:
            x = pooling(2, padding="same")(x)
        x = layers.ReLU()(x)
        if max(x.shape[1:-1]) <= _SMALLEST or filters == 256:
            break
        filters = min(2 * filters, 256)
    if max(x.shape[1:-1]) <= _SMALLEST:
        x = layers.Flatten()(x)
    else:
        x = (layers.GlobalAveragePooling2D if images else layers.GlobalAveragePooling1D)()(x)
    x = layers.Dense(_FEATURES, use_bias=False)(x)
    return layers.ReLU()(layers.BatchNormalization()(x))


def _backbones() -> dict[str, Any]:
    """Name -> constructor of each model in ``keras.applications``."""
    return {name: item for name, item in vars(keras.applications).items() if name[0].isupper() and callable(item)}


def _backbone(inputs: Any, name: str, weights: str | None) -> keras.Model:
    shape = tuple(inputs.shape[1:])
    if len(shape) != 3 or shape[-1] != 3:
        raise InputError(
            f"Argument `encoder`: {name} expects images (height, width, 3), received rows of shape {shape}; choose "
            "auto."
        )
    try:
        model = _backbones()[name](include_top=False, weights=weights, input_shape=shape, pooling="avg")
    except Exception as error:  # images too small, no such file, weights of another model, no network
        raise InputError(
            f"Arguments `encoder` and `weights`: Keras cannot make {name} for images of {shape[0]} x {shape[1]} pixels "
            f"with weights {weights!r}: {str(error)[:300]}"
        ) from error
    return keras.Model(inputs, model(BackbonePreprocessing(name)(inputs)), name="encoder")
