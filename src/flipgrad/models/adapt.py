"""A classifier that somebody already has, adapted to a new domain."""

from __future__ import annotations

from typing import Any

import keras

from flipgrad._checks import expect_layer, weights_are_finite
from flipgrad.data.pairing import pair_domains
from flipgrad.errors import InputError
from flipgrad.models._encoding import input_of
from flipgrad.models.dann import DANN
from flipgrad.schedules import InverseDecay, Schedule


def adapt(
    model: keras.Model,
    cut: str,
    source: tuple[Any, ...],
    target: Any,
    *,
    target_labelled: tuple[Any, Any] | None = None,
    discriminator: keras.Model | None = None,
    strength: float | Schedule | None = None,
    encoder_rate: float = 0.1,
    learning_rate: float = 0.01,
    epochs: int = 10,
    batch_size: int = 64,
    passes: str = "joint",
    seed: int = 0,
    callbacks: Any = None,
    verbose: Any = "auto",
) -> keras.Model:
    """Adapts a trained Keras classifier to a target without labels, and gives back one of the same shape.

    The model is cut in two: what leads to the layer ``cut`` is the encoder, the rest is the classifier.  Both are
    trained further with a discriminator (``DANN``), the encoder more slowly, as the paper does with networks trained
    before (JMLR 2016, section 5.2.4: a tenth of the learning rate of the new layers).  The given model stays as it is.

    Args:
        model: a functional or Sequential classifier with one output, logits or softmax, ``(rows, classes)``.
        cut: name of the layer whose output is to look alike in both domains, usually the last but one.
        source: ``(x, y)`` or ``(x, y, sample_weight)``; classes are numbered from 0.
        target: ``x``, without labels.
        target_labelled: ``(x, y)``, the few rows of the target whose labels are known, learnt from in every batch (see
            ``pair_domains``); none of them is kept apart to choose an epoch.
        discriminator: see ``DANN``.
        strength: see ``DANN``.
        encoder_rate: learning rate of the encoder as a share of that of the rest, 0 or greater.
        learning_rate: of gradient descent with momentum 0.9, decayed by ``InverseDecay``.
        epochs: passes over the larger domain.
        batch_size: rows of each domain in a step.
        passes: see ``DomainAdaptationModel``; with ``"separate"`` the model given back has the target's statistics.
        seed: of the batches; for the discriminator's weights call ``keras.utils.set_random_seed`` before.
        callbacks: as in ``keras.Model.fit``.
        verbose: as in ``keras.Model.fit``.

    Returns:
        A new model of the architecture of ``model``, with the adapted weights.

    Raises:
        TypeError: no Keras model.
        ValueError: a model that cannot be cut there, or that ends in a sigmoid; rows that ``pair_domains`` refuses.

    Example:
        >>> better = fg.adapt(classifier, cut="features", source=(xs, ys), target=xt)
        >>> better.predict(xt)
    """
    expect_layer(model, "model")
    _check_cut(model, cut)
    output = _output_layer(model)

    def without_softmax(layer: Any) -> Any:
        if layer is not output:
            return layer.__class__.from_config(layer.get_config())
        if isinstance(layer, keras.layers.Softmax):
            return keras.layers.Activation("linear", name=layer.name)
        config = layer.get_config()
        if config.get("activation") == "softmax":
            config["activation"] = "linear"
        return layer.__class__.from_config(config)

    trained = keras.models.clone_model(model, clone_function=without_softmax)
    trained.set_weights(model.get_weights())
    try:
        features = trained.get_layer(cut).output
        encoder = keras.Model(input_of(trained), features, name="encoder")
        classifier = keras.Model(features, trained.outputs[0], name="classifier")
        classifier(
            keras.ops.zeros([size or 64 for size in (1, *features.shape[1:])])
        )  # Keras 3.13 finds it out only here
    except (ValueError, AttributeError, KeyError) as error:
        raise InputError(
            f"Argument `cut`: {cut!r} does not cut the model in two: something goes past it, or it is used twice; name "
            "a layer that all of the rest depends on alone."
        ) from error
    adaptation = DANN(encoder, classifier, discriminator, strength=strength, encoder_rate=encoder_rate, passes=passes)
    pairs = pair_domains(source, target, batch_size, target_labelled=target_labelled, seed=seed)
    decay = InverseDecay(epochs * len(pairs), learning_rate)
    adaptation.compile(keras.optimizers.SGD(decay, momentum=0.9), metrics=["accuracy"])
    adaptation.fit(pairs, epochs=epochs, callbacks=callbacks, verbose=verbose)
    if not weights_are_finite(adaptation):
        step = int(adaptation.first_bad_step.value) + 1
        raise InputError(
            f"fg.adapt: expected finite weights, received NaN or infinity (the loss was so at step {step}); lower "
            "`learning_rate` or `strength`, or scale the samples."
        )
    adapted = keras.models.clone_model(model)
    adapted.set_weights(trained.get_weights())
    return adapted


def _output_layer(model: keras.Model) -> Any:
    """The layer that the model's only output comes from."""
    return model.layers[-1] if isinstance(model, keras.Sequential) else model.get_layer(model.output_names[0])


def _check_cut(model: keras.Model, cut: str) -> None:
    if not getattr(model, "inputs", None) or not getattr(model, "outputs", None):
        raise InputError(
            "Argument `model`: expected a functional or Sequential model that knows its input, received a "
            f"{type(model).__name__}; build it, or give encoder and classifier to fg.DANN."
        )
    if len(model.outputs) != 1:
        raise InputError(f"Argument `model`: expected one output, received {len(model.outputs)}; cut the others off.")
    if len(model.inputs) > 1 and not isinstance(input_of(model), dict):
        raise InputError(
            f"Argument `model`: expected one input, or several by name, received {len(model.inputs)} in a list; "
            'wrap it: keras.Model({"a": a, "b": b}, model([a, b])).'
        )
    names = [layer.name for layer in model.layers]
    output = _output_layer(model).name
    if cut not in names or cut == output:
        usable = [name for name in names if name != output][-8:]
        raise InputError(
            f"Argument `cut`: expected the name of a layer before the last, such as {', '.join(usable)}; received "
            f"{cut!r}; see model.summary()."
        )
