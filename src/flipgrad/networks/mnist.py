"""The seed's and the paper's networks for MNIST -> MNIST-M (JMLR 2016, figure 4a)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import initializers, layers

from flipgrad.errors import InputError
from flipgrad.networks.heads import mlp


def dense_style(weights: str) -> dict[str, Any]:
    """Initialisers by name.

    Args:
        weights: ``"truncated-normal"``, the seed's (std 0.1, biases 0.1); or ``"fan-in"``, uniform within
            ``1 / sqrt(fan_in)`` of 0 (Glorot and Bengio 2010, eq. 1; PyTorch's default), biases 0: smaller in the wide
            dense layers, so that the discriminator pulls gently at first.

    Raises:
        ValueError: another name.
    """
    styles: dict[str, Callable[[], dict[str, Any]]] = {
        "truncated-normal": lambda: {
            "kernel_initializer": initializers.TruncatedNormal(stddev=0.1),
            "bias_initializer": initializers.Constant(0.1),
        },
        "fan-in": lambda: {"kernel_initializer": initializers.VarianceScaling(1 / 3, "fan_in", "uniform")},
    }
    if weights not in styles:
        raise InputError(
            f"Argument `weights`: expected one of {', '.join(styles)}, received {weights!r}; give one of them."
        )
    return styles[weights]()


def mnist_encoder(
    mean: Sequence[float],
    size: int = 28,
    weights: str = "truncated-normal",
    padding: str = "same",
    divisor: float = 255.0,
) -> keras.Sequential:
    """Images ``(rows, size, size, 3)``, 0 to 255 -> features ``(rows, (size / 4)^2 * 48)``, or, without padding,
    ``(rows, (size / 4 - 3)^2 * 48)``.

    Convolution 5x5x32, pooling, convolution 5x5x48, pooling, each with ReLU.  Pooling comes before ReLU: the
    two commute, and it leaves ReLU a quarter of the work.

    Args:
        mean: mean pixel of each channel, 0 to 255, subtracted before the division.
        size: height and width in pixels.
        weights: see ``dense_style``.
        padding: ``"same"`` (the seed) or ``"valid"`` (the paper's Caffe network).
        divisor: of the centred pixels; smaller makes the inputs, and with them the gradients, larger.
    """
    blocks: list[Any] = []
    for filters in (32, 48):
        blocks += [
            layers.Conv2D(filters, 5, padding=padding, **dense_style(weights)),
            layers.MaxPooling2D(2, padding=padding),
            layers.ReLU(),
        ]
    scale = layers.Rescaling(1 / divisor, offset=[-float(m) / divisor for m in mean])
    return keras.Sequential(
        [keras.Input((size, size, 3)), scale, *blocks, layers.Flatten()],
        name="encoder",
    )


def mnist_classifier(classes: int = 10, weights: str = "truncated-normal") -> keras.Sequential:
    """Features -> class logits through 100-100-classes."""
    return mlp([100, 100, classes], "classifier", **dense_style(weights))


def mnist_discriminator(weights: str = "truncated-normal") -> keras.Sequential:
    """Features -> two domain logits through 100-2."""
    return mlp([100, 2], "discriminator", **dense_style(weights))
