"""A training step that is compiled once and used for one seed after another.

Each training has a model of its own, whose step would be traced, and with XLA compiled, anew: seconds of each training,
and memory that TensorFlow never gives back.  So the last trained model of a kind stands in for the next one: it gets
that one's initial state, is trained, and gives the trained state back.  The result is the same, bit for bit.
"""

from __future__ import annotations

from typing import Any

import keras

from flipgrad.models import DomainAdaptationModel


def stand_in(model: DomainAdaptationModel, trained: DomainAdaptationModel | None) -> DomainAdaptationModel:
    """The model to train in place of ``model``: ``trained`` in the state of ``model`` where it is of the same kind.

    Args:
        model: compiled and not trained yet.
        trained: one that was trained before; None for none.  What it has learnt is overwritten.

    Returns:
        ``trained``, or ``model`` itself where the two differ in a layer or in how they are compiled, and on PyTorch,
        which compiles nothing.
    """
    if trained is None or keras.backend.backend() == "torch" or _kind(model) != _kind(trained):
        return model
    model.optimizer.build(model.trainable_variables)  # as fit does
    copy_state(model, trained)
    return trained


def copy_state(source: DomainAdaptationModel, target: DomainAdaptationModel) -> None:
    """Gives a model the weights, counters, random states and optimizer's variables of another of its kind."""
    for old, new in zip(_state(target), _state(source), strict=True):
        old.assign(new.value)


def _kind(model: DomainAdaptationModel) -> Any:
    """All that a compiled step depends on, but for what is in variables."""
    shapes = [(tuple(variable.shape), variable.dtype) for variable in model.variables]
    return model.get_config(), model.get_compile_config(), shapes


def _state(model: DomainAdaptationModel) -> list[Any]:
    """Everything that a step changes, but for metrics, which begin each epoch anew."""
    return [*model.variables, *model.optimizer.variables]
