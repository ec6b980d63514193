"""The weights that a model predicts from: taken, put back, and, where the optimizer keeps a running mean, swapped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from flipgrad.models import DomainAdaptationModel

# What a training says of itself, which is not the business of an epoch's weights.
_COUNTERS = ("step", "horizon", "first_bad_step", "label_range")


def weights_of(model: DomainAdaptationModel) -> list[Any]:
    """The variables of all layers, in an order that is the same for every model of this kind."""
    counters = {id(getattr(model, name)) for name in _COUNTERS}
    return [weight for weight in model.weights if id(weight) not in counters]


def values_of(variables: Sequence[Any]) -> list[np.ndarray]:
    """Copies of their values."""
    return [np.array(keras.ops.convert_to_numpy(variable.value)) for variable in variables]


def assign(variables: Sequence[Any], values: Sequence[np.ndarray]) -> None:
    """Sets each variable."""
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def fingerprint(model: DomainAdaptationModel) -> np.ndarray:
    """A number for each weight, by which two states of a model are told apart."""
    return np.array([np.sum(value, dtype="float64") for value in values_of(weights_of(model))])


@contextmanager
def averaged(model: DomainAdaptationModel) -> Iterator[None]:
    """Inside, the model has the weights that ``fit`` would leave if it ended now.

    They differ from those in training where the optimizer keeps a running mean (``use_ema``).
    """
    optimizer = model.optimizer
    if not getattr(getattr(optimizer, "inner_optimizer", optimizer), "use_ema", False):
        yield
        return
    variables = model.trainable_variables
    own = values_of(variables)
    optimizer.finalize_variable_values(variables)
    try:
        yield
    finally:
        assign(variables, own)
