"""Keeps the weights of the best epoch, judged without labels of the target."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np

from flipgrad._checks import check_number
from flipgrad._guarded import EPOCHS_GUARD, Seen, contenders, pick, waited
from flipgrad._held_out import check_taken, held_out
from flipgrad.callbacks._kept_epochs import KeptEpochs
from flipgrad.callbacks._weights import assign, averaged, fingerprint, values_of, weights_of
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
        source: ``(x, y)``: held-out source rows, an array or a dict of arrays, and class numbers (or one-hot).
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
            labels; when ``fit`` begins, a model that does not take the rows or has other classes, and a ``path`` that
            belongs to something else; later, one that cannot be written.

    Reference:
        The guard: Saito et al., ICCV 2021, and Musgrave et al., arXiv 2208.07360, 2022, who set aside models that are
        much worse on the source.
    """

    def __init__(
        self,
        source: tuple[Any, Any],
        target: Any,
        score: str | Score = DEFAULT,
        guard: float = EPOCHS_GUARD,
        every: int = 1,
        path: str | Path | None = None,
        patience: int | None = None,
        restore_best: bool = True,
    ) -> None:
        super().__init__()
        self.source, self.target = held_out(source, target)
        check_number("Argument `guard`", guard, zero=True, most=1, remedy="two points are 0.02")
        check_number("Argument `every`", every, whole=True, remedy="1 looks at every epoch")
        if patience is not None:
            check_number("Argument `patience`", patience, whole=True, remedy="None never stops")
        self.score = get(score)
        self.guard, self.every, self.patience = float(guard), int(every), patience
        self.path = None if path is None else Path(path)
        self.restore_best = restore_best
        self._kept = KeptEpochs()
        self._rule = {"score": self.score.name, "guard": self.guard}
        self._of: Any = None  # the model that the kept epochs are of
        self._begun = False
        # The epoch that has ended last, if it was not looked at, and the fingerprint of its model.
        self._unseen: tuple[int, np.ndarray] | None = None
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
        check_taken(self.model, self.source, self.target, "LabelFreeCheckpoint")
        self._begun, self._unseen = False, None

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if not self._begun:
            self._go_on(epoch)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        value = accuracy = math.nan
        if (epoch + 1) % self.every == 0 or epoch + 1 == self.params.get("epochs"):
            value, accuracy = self._look(epoch)
        else:
            with averaged(self.model):
                self._unseen = epoch, fingerprint(self.model)
        if logs is not None:  # one dict for all callbacks: the history comes last
            logs["score_source_accuracy"] = accuracy
            logs[f"score_{self.score.name}"] = value
        if self.patience is not None and waited(self._kept.seen, self.guard) >= self.patience:
            self.model.stop_training = True

    def on_train_end(self, logs: Any = None) -> None:
        if not self._begun:  # interrupted after the last epoch
            self._go_on(None)
        # Another callback has ended the training, and has not put other weights in the place of the epoch's.
        if self._unseen and np.array_equal(self._unseen[1], fingerprint(self.model), equal_nan=True):
            self._look(self._unseen[0])
        if self.restore_best:
            self.restore()

    def _go_on(self, epoch: int | None) -> None:
        """Begins with this epoch, and with those before it that are in memory or in the file; None: none is left."""
        if self._of is not self.model or epoch == 0:
            self._kept = KeptEpochs()
        self._of, self._begun = self.model, True
        there = self.path is not None and self.path.is_file()
        if self.path is not None and there and epoch == 0:
            KeptEpochs.expect(self.path)
        elif self.path is not None and there and not self._kept.seen:
            self._kept = KeptEpochs.read(self.path, self._rule, weights_of(self.model))
        if epoch is not None:
            self._kept.forget_from(epoch, self.guard)

    def _look(self, epoch: int) -> tuple[float, float]:
        """The score and the source accuracy of an epoch, whose weights are kept where it can be the best."""
        model = self.model  # on JAX, asking for it brings the weights up to date
        kept = self._kept
        self._unseen = None
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
