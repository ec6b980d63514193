"""Measures the health of an adaptation while it is trained, without labels of the target."""

from __future__ import annotations

import math
import time
from typing import Any

import keras
import numpy as np

from flipgrad._checks import check_number, described
from flipgrad._held_out import check_taken, held_out, spaced
from flipgrad.callbacks._weights import averaged, fingerprint
from flipgrad.errors import InputError
from flipgrad.health import Measures, Verdict, diagnose
from flipgrad.health.measures import LOOK
from flipgrad.health.measuring import measure

_PREFIX = "health_"
# The measures that are logged.
_LOGGED = (
    "source_accuracy", "online_accuracy", "fresh_accuracy", "probe_accuracy", "class_gap", "dead_units",
    "feature_scale", "effective_rank", "target_entropy", "prior_divergence", "gradient_cosine", "push",
)  # fmt: skip


class HealthMonitor(keras.callbacks.Callback):
    """Looks at held-out rows of both domains every few epochs and says what is the matter.

    ::

        monitor = fg.callbacks.HealthMonitor((xv, yv), xt_held)
        model.fit(pairs, epochs=20, callbacks=[monitor])
        for verdict in monitor.verdicts:
            print(verdict)

    The training is not changed by it: no weight, no random state.  A look trains three small probes, seconds for 1,000
    rows of each domain and 2,000 features; so all but the last take 200 rows of each.

    Logged: the measures, each as ``health_NAME``; NaN for an epoch that was not looked at and for a measure that it
    does not have.

    Args:
        source: ``(x, y)``: held-out source rows, an array or a dict of arrays, and class numbers (or one-hot).
        target: held-out target rows, no labels; 300 to 1000 of each domain are enough.
        every: epochs from one look to the next, 1 or more; the model that ``fit`` leaves is always looked at, if this
            stands after what restores weights (``LabelFreeCheckpoint``, ``EarlyStopping``).
        baseline: measures of a source-only model of the same rows, such as another monitor's ``measures``; several
            verdicts can only be given in comparison with it.
        source_peak: the best source accuracy of an interrupted training that goes on.

    Attributes:
        measures: of the last look; None before the first.
        verdicts: on it, the gravest first.
        seconds: spent so far on looking.

    Raises:
        InputError: rows that are missing or do not fit, a target with labels, a number out of its range; when ``fit``
            begins, a model that does not take the rows or has other classes.
    """

    def __init__(
        self,
        source: tuple[Any, Any],
        target: Any,
        every: int = 1,
        baseline: Measures | None = None,
        source_peak: float | None = None,
    ) -> None:
        super().__init__()
        self.source, self.target = held_out(source, target)
        check_number("Argument `every`", every, whole=True, remedy="1 looks at every epoch")
        if not isinstance(baseline, Measures | None):
            raise InputError(
                f"Argument `baseline`: expected Measures, received {described(baseline)}; give another monitor's "
                "`measures`, or what health.measure returns."
            )
        self.every = int(every)
        self.baseline = baseline
        self.source_peak = self._given_peak = source_peak
        self.measures: Measures | None = None
        self.seconds = 0.0
        self._begun = False
        self._seen: np.ndarray | None = None  # the fingerprint of the model at the last look, if it was at all rows

    @property
    def verdicts(self) -> list[Verdict]:
        return [] if self.measures is None else diagnose(self.measures, self.baseline)

    def on_train_begin(self, logs: Any = None) -> None:
        check_taken(self.model, self.source, self.target, "HealthMonitor")
        self.seconds, self._begun = 0.0, False

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if not self._begun and epoch == 0:  # another training
            self.measures, self.source_peak, self._seen = None, self._given_peak, None
        self._begun = True

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        found: dict[str, Any] = {}
        if (epoch + 1) % self.every == 0 or epoch + 1 == self.params.get("epochs"):
            with averaged(self.model):
                seen = self.look(LOOK if epoch + 1 < self.params.get("epochs", 0) else None)
                found = {**vars(seen), "push": seen.push}
        if logs is not None:
            logs.update({_PREFIX + name: math.nan if found.get(name) is None else found[name] for name in _LOGGED})

    def on_train_end(self, logs: Any = None) -> None:
        # Ended early, or an earlier epoch was restored.
        if self._seen is None or not np.array_equal(self._seen, fingerprint(self.model), equal_nan=True):
            self.look()

    def look(self, rows: int | None = None) -> Measures:
        """Measures the model as it is now, on so many rows of each domain, evenly spaced; None for all.

        Of some of the rows only what the model makes of them is measured, not the raw rows.
        """
        began = time.perf_counter()
        (x, y), target = self.source, self.target
        if rows:
            x, y, target = (spaced(each, rows) for each in (x, y, target))
        self.measures = measure(self.model, (x, y), target, source_peak=self.source_peak, raw=rows is None)
        self.source_peak = self.measures.source_peak
        self._seen = None if rows else fingerprint(self.model)
        self.seconds += time.perf_counter() - began
        return self.measures
