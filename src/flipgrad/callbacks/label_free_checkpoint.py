"""Keeps the weights of the best epoch, judged without labels of the target."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import keras

from flipgrad._checks import check_number, described
from flipgrad._guarded import Seen, contenders, pick, waited
from flipgrad.callbacks._kept_epochs import KeptEpochs
from flipgrad.callbacks._weights import assign, averaged, values_of, weights_of
from flipgrad.errors import InputError
from flipgrad.observation import observe
from flipgrad.scores import DEFAULT, SCORES, Score, get


class LabelFreeCheckpoint(keras.callbacks.Callback):
    """Keeps the best epoch by a score that needs no target labels, among those that have not lost the source.

    Adversarial training can pass its best long before its end.  After each epoch the model looks at held-out rows of
    both domains.  At the end it gets the weights of the epoch that has the best score of all whose source accuracy is
    within ``guard`` of the best source accuracy of the whole training::

        keep = fg.callbacks.LabelFreeCheckpoint((xv, yv), xt_held, score="corr_c")
        model.fit(pairs, epochs=20, callbacks=[keep])
        keep.best_epoch, keep.table

    An epoch's rank is not settled until the end, as the best source accuracy may still rise.  Kept are the weights of
    those epochs alone that can still become the best: one, two or three as a rule, ``1 + guard * source rows`` at most.

    Where the optimizer keeps a running mean of the weights (``use_ema``), it is the mean that is looked at and kept.
    The counters of the model (``step``, ``horizon``, ``first_bad_step``) stay those of the last epoch.

    Logged, and so in the history: ``score_NAME`` and ``score_source_accuracy``; NaN for an epoch not looked at and for
    one that has no score (it predicts one class only, or has diverged), which is never kept.  Put it before
    ``EarlyStopping``, ``Checkpoint`` and whatever else reads the log.

    Args:
        source: ``(x, y)``: held-out source rows and class numbers.
        target: held-out target rows, no labels; 300 to 1000 of each domain are enough.
        score: a name in ``scores.SCORES``, or a ``scores.Score``.
        guard: how far the source accuracy may lie below the best, 0 to 1.
        every: epochs from one look to the next, 1 or more; the last epoch is always looked at.
        path: of an ``.npz`` file with the kept epochs, written after each look; None keeps them in memory only.  An
            interrupted training that goes on (``fit(initial_epoch=...)``) goes on from it, and ends as one that never
            stopped where the training itself does (see ``checkpoint.Checkpoint``).  Without it, the epochs before the
            interruption are forgotten.
        patience: stop when so many looks in a row have brought no new best epoch; None never stops.
        restore_best: whether the model gets the best epoch's weights when ``fit`` ends.

    Attributes:
        best_epoch: the best so far, counted from 0; None before the first.
        table: for each epoch looked at: "epoch", the score and "source_accuracy".

    Raises:
        InputError: an unknown score, a number out of its range, rows that are missing or do not fit, a target with
            labels; later, a ``path`` that cannot be written or belongs to something else.

    Reference:
        The guard: Saito et al., ICCV 2021, and Musgrave et al., arXiv 2208.07360, 2022, who set aside models that are
        much worse on the source.
    """

    def __init__(
        self,
        source: tuple[Any, Any],
        target: Any,
        score: str | Score = DEFAULT,
        guard: float = 0.02,
        every: int = 1,
        path: str | Path | None = None,
        patience: int | None = None,
        restore_best: bool = True,
    ) -> None:
        super().__init__()
        check_held_out(source, target)
        check_number("Argument `guard`", guard, zero=True, remedy="two points are 0.02")
        check_number("Argument `every`", every, whole=True, remedy="1 looks at every epoch")
        if patience is not None:
            check_number("Argument `patience`", patience, whole=True, remedy="None never stops")
        self.source, self.target = source, target
        self.score = get(score)
        self.guard, self.every, self.patience = float(guard), int(every), patience
        self.path = None if path is None else Path(path)
        self.restore_best = restore_best
        self._kept = KeptEpochs()
        self._rule = {"score": self.score.name, "guard": self.guard}
        self._begun = False
        self._reason = ""

    @property
    def best_epoch(self) -> int | None:
        return pick(self._kept.seen, self.guard)

    @property
    def table(self) -> list[dict[str, float]]:
        return [
            {"epoch": epoch, self.score.name: self.score.goodness(each.goodness), "source_accuracy": each.accuracy}
            for epoch, each in sorted(self._kept.seen.items())
        ]

    def restore(self) -> None:
        """Gives the model the weights of the best epoch so far; warns and changes nothing where there is none."""
        best = self.best_epoch
        if best is None:
            reason = f": {self._reason}" if self._reason else "."
            warnings.warn(f"LabelFreeCheckpoint: no epoch has a score, the last weights stay{reason}", stacklevel=2)
            return
        assign(weights_of(self.model), self._kept.weights[best])

    def on_train_begin(self, logs: Any = None) -> None:
        self._begun = False

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if not self._begun:
            if epoch == 0:
                self._kept = KeptEpochs()
            else:
                self._go_on()
            self._begun = True

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        value = accuracy = math.nan
        if (epoch + 1) % self.every == 0 or epoch + 1 == self.params.get("epochs"):
            value, accuracy = self._look(epoch)
        if logs is not None:  # one dict for all callbacks: the history comes last
            logs["score_source_accuracy"] = accuracy
            logs[f"score_{self.score.name}"] = value
        if self.patience is not None and waited(self._kept.seen, self.guard) >= self.patience:
            self.model.stop_training = True

    def on_train_end(self, logs: Any = None) -> None:
        if not self._begun:  # interrupted after the last epoch
            self._go_on()
        if self.restore_best:
            self.restore()

    def _go_on(self) -> None:
        """Reads the epochs of before an interruption, where there are any and they are not in memory."""
        if not self._kept.seen and self.path is not None and self.path.is_file():
            self._kept = KeptEpochs.read(self.path, self._rule, weights_of(self.model))

    def _look(self, epoch: int) -> tuple[float, float]:
        """The score and the source accuracy of an epoch, whose weights are kept where it can be the best."""
        model = self.model  # on JAX, asking for it brings the weights up to date
        kept = self._kept
        with averaged(model):
            seen = observe(model, self.source, self.target)
            value, accuracy = self._value(self.score, seen), self._value(SCORES["source_accuracy"], seen)
            kept.seen[epoch] = Seen(self.score.goodness(value), accuracy)
            left = contenders(kept.seen, self.guard)
            kept.weights = {number: values for number, values in kept.weights.items() if number in left}
            if epoch in left:
                kept.weights[epoch] = values_of(weights_of(model))
        if self.path is not None:
            kept.write(self.path, self._rule)
        return value, accuracy

    def _value(self, score: Score, seen: Any) -> float:
        try:
            return score.function(seen)
        except InputError as error:
            self._reason = str(error)
            return math.nan


def check_held_out(source: Any, target: Any) -> None:
    """Raises InputError unless these are ``(x, y)`` with as many rows as labels, and rows without labels."""
    if (
        not isinstance(source, (tuple, list))
        or len(source) != 2
        or not len(source[0])
        or len(source[0]) != len(source[1])
    ):
        raise InputError(
            "Argument `source`: expected (x, y), held-out rows of the source and as many class numbers, received "
            f"{described(source)}; hold out some rows."
        )
    if isinstance(target, (tuple, list)):
        raise InputError(
            f"Argument `target`: expected an array of rows without labels, received {described(target)}; leave the "
            "labels out: nothing here may see them."
        )
    if not len(target):
        raise InputError("Argument `target`: expected at least one held-out row, received none; hold out some.")
