"""How long a call of ``fit`` will be, and what follows from it for the schedules."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import keras
from keras import tree

from flipgrad._checks import check_labels, described
from flipgrad.data.pairing import PairedDomains
from flipgrad.errors import InputError
from flipgrad.models._encoding import copy_statistics, input_of, is_pair
from flipgrad.models._labels import check_every_batch, forget_labels, labels_of, refuse_labels_seen
from flipgrad.schedules import InverseDecay


class RunClock(keras.callbacks.Callback):
    """Derives the model's step from the epoch, whoever set the epoch (``fit`` or a restored backup).

    A backup brings the horizon of its own run too, so that is set again.
    """

    def __init__(self, steps: int | None, epochs: int, data: Any) -> None:
        super().__init__()
        self.steps = steps
        self.epochs = epochs
        self.data = data

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if self.steps:
            self.model.step.assign(epoch * self.steps)
            self.model.horizon.assign(self.epochs * self.steps)
        if isinstance(self.data, PairedDomains):
            self.data.set_epoch(epoch)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        refuse_labels_seen(self.model)


def prepare_run(
    model: Any, x: Any, y: Any, batch_size: int | None, epochs: int, arguments: Mapping[str, Any]
) -> RunClock:
    """Checks samples, labels and length of a run, sets the model's horizon, and returns the run's clock.

    Raises:
        ValueError: a model with objectives and a run of unknown length, samples that do not fit the encoder, labels
            outside the classifier's classes, or a learning-rate decay of another length than the run.
    """
    validation = arguments.get("validation_data")
    pair = validation[:2] if isinstance(validation, (tuple, list)) else (validation, None)
    for data in ((x, y), pair):
        check_labels(labels_of(*data), model.classes, model.loss)
        check_every_batch(model, data[0])
    forget_labels(model)
    if isinstance(x, PairedDomains):
        _check_samples(model.encoder, x.input_shape)
    initial = int(arguments.get("initial_epoch", 0))
    steps = arguments.get("steps_per_epoch") or _steps(x, batch_size, arguments)
    if steps is None and model.objectives:
        raise InputError(
            "fit: expected data of known length, which the schedules follow, received "
            f"{described(x)} without one; pass `steps_per_epoch`."
        )
    _start_statistics(model)
    if steps:
        _check_decay(getattr(model, "optimizer", None), epochs * steps, initial)
        model.horizon.assign(epochs * steps)
        model.step.assign(initial * steps)
    if initial == 0:
        model.first_bad_step.assign(-1)
    clock = RunClock(steps, epochs, x)
    if isinstance(x, PairedDomains):
        x.begin(initial)
    return clock


def prepare_batch(model: Any, y: Any) -> None:
    """What ``prepare_run`` does, for a loop of one's own: the labels of each batch, the rest before the first step.

    Raises:
        ValueError: as ``prepare_run``; the horizon is to be set.
    """
    horizon = int(model.horizon.value)
    if model.objectives and not horizon:
        raise InputError(
            "train_on_batch: expected the length of the run, which the schedules follow, received none; before the "
            "first batch say model.horizon.assign(number of steps)."
        )
    check_labels(y, model.classes, model.loss)
    if not int(model.step.value):
        _start_statistics(model)
        if horizon:
            _check_decay(getattr(model, "optimizer", None), horizon, 0)


def _start_statistics(model: Any) -> None:
    """Before the first step: the source's statistics are the encoder's, which may have been loaded lately."""
    if model.source_statistics and not int(model.step.value):
        copy_statistics(model.encoder, model.source_statistics)


def with_clock(callbacks: Any, clock: RunClock) -> Any:
    """The callbacks of ``fit`` with the clock among them."""
    if isinstance(callbacks, keras.callbacks.CallbackList):
        callbacks.append(clock)
        return callbacks
    if callbacks is None or isinstance(callbacks, keras.callbacks.Callback):
        callbacks = [callbacks] if callbacks else []
    return [clock, *callbacks]


def _check_samples(encoder: Any, received: Any) -> None:
    """Raises unless samples of the shape ``received`` go into an encoder of one input."""
    expected = getattr(input_of(encoder), "shape", None)
    if expected is None or isinstance(received, dict):
        return
    fits = len(expected) == len(received) and all(
        n is None or m is None or n == m for n, m in zip(expected[1:], received[1:], strict=True)
    )
    as_column = tuple(expected[1:]) == (1,) and len(received) == 1  # Keras adds the axis
    if not fits and not as_column:
        raise InputError(
            f"Samples: expected shape {tuple(expected[1:])}, the encoder's input, received {tuple(received[1:])}; "
            "reshape the samples or begin the encoder with keras.Input of their shape."
        )


def _steps(x: Any, batch_size: int | None, arguments: Mapping[str, Any]) -> int | None:
    """Steps of one epoch over ``x``, or None where nobody knows."""
    if hasattr(x, "cardinality"):  # tf.data; negative where unknown or infinite
        batches: int = int(x.cardinality())
        return batches if batches > 0 else None
    first = next(iter(tree.flatten(x)), None) if isinstance(x, (dict, list, tuple)) else x
    if first is not None and hasattr(first, "shape"):
        rows: int = math.floor(first.shape[0] * (1 - float(arguments.get("validation_split", 0.0))))
        return math.ceil(rows / (batch_size or 32))
    try:
        return len(x)
    except TypeError:
        return None


def _check_decay(optimizer: Any, horizon: int, initial_epoch: int) -> None:
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    try:
        described = optimizer.get_config().get("learning_rate") if optimizer else None
    except (NotImplementedError, TypeError):  # a schedule of the user's own that cannot be described
        return
    if not isinstance(described, dict) or described.get("registered_name") != "flipgrad>InverseDecay":
        return
    decay = InverseDecay(**described["config"])
    if decay.total_steps != horizon:
        raise InputError(
            f"Learning rate: InverseDecay has total_steps={decay.total_steps}, but this run has {horizon} "
            f"steps (epochs x steps per epoch); compile with InverseDecay(total_steps={horizon})."
        )
    if initial_epoch == 0 and int(optimizer.iterations) > 0:
        raise InputError(
            f"Learning rate: the optimizer has already made {int(optimizer.iterations)} steps of its decay; "
            "compile again to start a new run, or pass `initial_epoch` to continue the old one."
        )


def input_shape_of(x: Any) -> Any:
    """The shape of one plain batch of ``x``, first dimension None.

    Raises:
        ValueError: nothing that tells the shape.
    """
    if hasattr(x, "input_shape"):
        return x.input_shape
    if hasattr(x, "element_spec"):
        x = x.element_spec[0]
    elif not hasattr(x, "shape") and not isinstance(x, dict):
        raise InputError(
            f"Argument `x`: expected arrays or pair_domains, which tell the encoder the shape of its input, received "
            f"{described(x)}; begin the encoder with keras.Input(shape=...)."
        )
    if is_pair(x):
        x = x["source"]
    return tree.map_structure(lambda array: (None, *array.shape[1:]), x)
