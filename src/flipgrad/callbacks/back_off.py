"""Goes back to the weights of before, with half the strength, when an adversarial training has fallen over."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from flipgrad._checks import check_number, weights_are_finite
from flipgrad._held_out import check_taken, held_out, spaced
from flipgrad.callbacks._weights import assign, values_of, weights_of
from flipgrad.errors import InputError
from flipgrad.health.features import has_collapsed
from flipgrad.models import DomainAdaptationModel
from flipgrad.observation import Observation, observe


class BackOff(keras.callbacks.Callback):
    """Returns to the last good weights, and halves the strength, when a training has diverged or collapsed.

    After each epoch: where a loss or a weight has become NaN or infinite, or where a model that told classes apart at
    the beginning of the epoch now predicts one class for all rows or gives all rows the same features, the model and
    the optimizer get what they had at the beginning of the epoch, and the strength of every objective is halved, for
    good: a later ``fit`` of the model goes on with it.  Where no epoch up to the last one was good, nor the model
    before, that one is left as it is: such a training has failed.  The schedules and the batches go on; what the epoch
    had learnt is lost::

        model.fit(pairs, epochs=20, callbacks=[fg.callbacks.BackOff((xv, yv), xt_held)])

    Put it before all callbacks that look at the weights.  Its memory is the model itself: a training that goes on from
    a ``checkpoint.Checkpoint`` goes on as one that never stopped.

    Logged: ``back_offs``, how many there were so far.

    Args:
        source: ``(x, y)``: held-out source rows, an array or a dict of arrays, and class numbers (or one-hot).
        target: held-out target rows, no labels.  Of each domain 100 are looked at, evenly spaced.
        most: back-offs of one training, 1 or more; then it takes its course.
        report: called with one line for each back-off.  Default: a warning.

    Raises:
        InputError: no rows; a number out of its range; later, a model without objectives.
    """

    def __init__(
        self, source: tuple[Any, Any], target: Any, most: int = 4, report: Callable[[str], None] | None = None
    ) -> None:
        super().__init__()
        (x, y), rows = held_out(source, target)
        check_number("Argument `most`", most, whole=True, remedy="leave the callback out for no back-off")
        self.source, self.target = (spaced(x, _ROWS), spaced(y, _ROWS)), spaced(rows, _ROWS)
        self.most = int(most)
        self.report = report or _warn
        self._good = False
        self._before: int | None = None  # back-offs of earlier trainings of the model

    def on_train_begin(self, logs: Any = None) -> None:
        objectives = self.model.objectives if isinstance(self.model, DomainAdaptationModel) else []
        if not objectives or not all(hasattr(objective, "strength_scale") for objective in objectives):
            raise InputError(
                "BackOff: expected a model with objectives, whose strength it can halve, received one without; leave "
                "the callback out."
            )
        optimizer = self.model.optimizer
        if not optimizer.built:  # TensorFlow would do so at the first step, when what to come back to is taken already
            optimizer.build(self.model.trainable_variables)
        check_taken(self.model, self.source, self.target, "BackOff")
        self._good = self._is_good()
        self._was_good = self._good and int(optimizer.iterations) > 0
        self._before = None

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if self._before is None:  # one that goes on after an interruption has had none before its own
            self._before = self._count if epoch == 0 else 0
            self._was_good = self._was_good and epoch == 0
        self._weights = values_of(self._variables())
        self._finite = weights_are_finite(self.model)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        diverged = int(self.model.first_bad_step.value) >= 0 or not weights_are_finite(self.model)
        good = not diverged and self._is_good()
        if (diverged and self._finite) or (self._good and not good):
            # At the end of a training that never had a good epoch there is nothing to go back to but its beginning.
            in_vain = epoch + 1 == self.params.get("epochs") and self._own_count == epoch and not self._was_good
            if self._own_count < self.most and not in_vain:
                self._go_back(epoch, "diverged (loss or weights NaN or infinite)" if diverged else "collapsed")
        else:
            self._good = good
        if logs is not None:
            logs["back_offs"] = float(self._count)

    def _go_back(self, epoch: int, what: str) -> None:
        assign(self._variables(), self._weights)
        self.model.first_bad_step.assign(-1)
        for objective in self.model.objectives:
            objective.strength_scale.assign(objective.strength_scale.value * 0.5)
        self.report(
            f"epoch {epoch + 1} {what}: back to the weights before it, strength halved "
            f"({self._own_count} of at most {self.most} times)"
        )

    @property
    def _count(self) -> int:
        """How often the strength was halved: read off the model, which a checkpoint keeps."""
        return round(-math.log2(float(self.model.objectives[0].strength_scale.value)))

    @property
    def _own_count(self) -> int:
        return self._count - (self._before or 0)

    def _variables(self) -> list[Any]:
        """All that the training changes, but for what counts its steps."""
        # By name: where gradients are accumulated, or the loss is scaled, ``iterations`` is not the variable itself.
        slots = [each for each in self.model.optimizer.variables if each.name != "iteration"]
        return [*weights_of(self.model), *slots]

    def _is_good(self) -> bool:
        rows = self.source, self.target
        if not has_collapsed(observe(self.model, *rows)):
            return True
        # For the first hundreds of steps the running statistics of batch normalization are not those of the features:
        # a model that tells the classes apart in training may say one class for all outside of it, and has not fallen.
        with keras.StatelessScope():  # keeps what looking would change
            return _tells_classes(observe(self.model, *rows, training=True))


_ROWS = 100
_TOLD = 0.25  # of the way from the share of the commonest class to 1


def _tells_classes(seen: Observation) -> bool:
    """Whether source rows are classified clearly better than by naming the commonest class."""
    labels = seen.source_labels
    commonest = np.unique(labels, return_counts=True)[1].max() / len(labels)
    return bool((seen.source.logits.argmax(axis=1) == labels).mean() >= commonest + _TOLD * (1 - commonest))


def _warn(line: str) -> None:
    warnings.warn(f"BackOff: {line}", stacklevel=3)
