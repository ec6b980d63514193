"""What the scikit-learn estimator does with Keras: one training, and models as bytes."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from flipgrad import networks
from flipgrad._seeding import local_seed
from flipgrad.errors import InputError
from flipgrad.inputs.preprocessing import array_layers
from flipgrad.models import DomainAdaptationModel
from flipgrad.recipe import Recipe, training_of
from flipgrad.saving import load
from flipgrad.training import Reporter


def train(
    settings: Mapping[str, Any],
    encoder: Any,
    classes: int,
    source: tuple[np.ndarray, ...],
    target: np.ndarray | None,
    known: tuple[np.ndarray, np.ndarray] | None,
    *,
    standardize: bool,
    verbose: int,
) -> tuple[DomainAdaptationModel, dict[str, list[float]]]:
    """The trained model and its history.

    Args:
        settings: of the ``Recipe``, the encoder apart.
        encoder: the name of one, or a Keras model, which is copied.
        classes: their number.
        source: ``(x, y)`` or ``(x, y, sample_weight)``.
        target: rows of the same shape and dtype; None without any.
        known: ``(x, y)`` of those of them that have labels; None without any.
        standardize: let the fitted layers of ``array_layers`` come first.
        verbose: greater than 0 shows progress.

    Raises:
        InputError: settings out of their range, an encoder that is none, a training that diverged.
    """
    recipe = Recipe(**settings)
    domains = [source[0]] if target is None else [source[0], target]
    with local_seed(recipe.seed):
        layers = array_layers(domains) if standardize else []
        encoder = _encoder(encoder, recipe.weights, source[0].shape[1:], layers)
        job = training_of(recipe, encoder, classes, source, domains[-1], target_labelled=known)
        outcome = job.run(recipe.mode, _reporter(verbose))
    if outcome.diverged is not None:
        raise InputError(
            f"fit: the loss or a weight was NaN or infinite at step {outcome.diverged} of {job.steps}; make "
            f"learning_rate ({recipe.learning_rate}) or strength ({recipe.strength}) smaller."
        )
    return job.model, outcome.history


def _encoder(encoder: Any, weights: str | None, shape: tuple[int, ...], layers: Sequence[Any]) -> keras.Model:
    if isinstance(encoder, str):
        return networks.default_encoder(shape, layers, encoder, weights)
    if not isinstance(encoder, keras.Model):
        raise InputError(
            f"Argument `encoder`: expected a name or a Keras model, received {type(encoder).__name__}; make one with "
            "keras.Sequential."
        )
    if weights is not None:
        raise InputError(f"Argument `weights`: a Keras model brings its own, received {weights!r}; leave it out.")
    copy = keras.models.clone_model(encoder)
    inputs = x = keras.Input(shape)
    for layer in layers:
        x = layer(x)
    features = copy(x)
    if encoder.built:
        copy.set_weights(encoder.get_weights())
    return keras.Model(inputs, features, name="encoder")


def _reporter(verbose: int) -> Reporter:
    if not verbose:
        return Reporter()
    from rich.console import Console

    from flipgrad.cli._reporter import ConsoleReporter

    return ConsoleReporter(Console(), total=1)


def to_bytes(model: keras.Model) -> bytes:
    """The ``.keras`` file of a model."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        return path.read_bytes()


def from_bytes(content: bytes) -> keras.Model:
    """The model of a ``.keras`` file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        path.write_bytes(content)
        # Whoever unpickles trusts the sender: the layers that the user has registered may be in it.
        return load(path, custom_objects=keras.saving.get_custom_objects())
