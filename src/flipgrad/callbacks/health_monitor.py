"""Measures the health of an adaptation while it is trained, without labels of the target."""

from __future__ import annotations

import math
import time
from typing import Any

import keras

from flipgrad._checks import check_number
from flipgrad.callbacks._weights import averaged
from flipgrad.callbacks.label_free_checkpoint import check_held_out
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
    rows of each domain and 2,000 features; so all but the last take about 200 rows of each.

    Logged: the measures, each as ``health_NAME``; NaN for an epoch that was not looked at and for a measure that it
    does not have.

    Args:
        source: ``(x, y)``: held-out source rows and class numbers.
        target: held-out target rows, no labels; 300 to 1000 of each domain are enough.
        every: epochs from one look to the next, 1 or more; the last epoch is always looked at.
        baseline: measures of a source-only model of the same rows, such as another monitor's ``measures``; several
            verdicts can only be given in comparison with it.
        source_peak: the best source accuracy of an interrupted training that goes on.

    Attributes:
        measures: of the last look; None before the first.
        verdicts: on it, the gravest first.
        seconds: spent so far on looking.

    Raises:
        InputError: rows that are missing or do not fit, a target with labels, a number out of its range.
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
        check_held_out(source, target)
        check_number("Argument `every`", every, whole=True, remedy="1 looks at every epoch")
        self.source, self.target = source, target
        self.every = int(every)
        self.baseline = baseline
        self.source_peak = source_peak
        self.measures: Measures | None = None
        self.seconds = 0.0

    @property
    def verdicts(self) -> list[Verdict]:
        return [] if self.measures is None else diagnose(self.measures, self.baseline)

    def on_train_begin(self, logs: Any = None) -> None:
        self.seconds = 0.0

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        found: dict[str, Any] = {}
        if (epoch + 1) % self.every == 0 or epoch + 1 == self.params.get("epochs"):
            with averaged(self.model):
                seen = self.look(LOOK if epoch + 1 < self.params.get("epochs", 0) else None)
                found = {**vars(seen), "push": seen.push}
        if logs is not None:
            logs.update({_PREFIX + name: math.nan if found.get(name) is None else found[name] for name in _LOGGED})

    def look(self, rows: int | None = None) -> Measures:
        """Measures the model as it is now, on about so many rows of each domain, evenly spaced; None for all.

        Of some of the rows only what the model makes of them is measured, not the raw rows.
        """
        began = time.perf_counter()
        (x, y), target = self.source, self.target
        if rows:
            step = [-(-len(each) // rows) for each in (x, target)]
            x, y, target = x[:: step[0]], y[:: step[0]], target[:: step[1]]
        self.measures = measure(self.model, (x, y), target, source_peak=self.source_peak, raw=rows is None)
        self.source_peak = self.measures.source_peak
        self.seconds += time.perf_counter() - began
        return self.measures
