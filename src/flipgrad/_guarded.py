"""Which epoch is the best by a score, among those that have not lost the source; and which may still become it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

# How far the source accuracy may lie below the best, where nothing else is asked for: of epochs, and of models, for
# adapting costs some (docs/selection.md).
EPOCHS_GUARD, MODELS_GUARD = 0.02, 0.1
_ROUNDING = 1e-9  # of accuracies, which are counts divided


class Seen(NamedTuple):
    """What is known of an epoch: its goodness (greater is better; NaN where it has none) and source accuracy."""

    goodness: float
    accuracy: float


def admitted(seen: Mapping[int, Seen], guard: float) -> dict[int, Seen]:
    """The epochs that have a score and a source accuracy within ``guard`` of the best so far."""
    best = max((each.accuracy for each in seen.values() if not math.isnan(each.accuracy)), default=math.nan)
    return {
        epoch: each
        for epoch, each in seen.items()
        if not math.isnan(each.goodness) and each.accuracy >= best - guard - _ROUNDING
    }


def pick(seen: Mapping[int, Seen], guard: float) -> int | None:
    """The admitted epoch of the best score; of equal ones that of the better source accuracy, then the first."""
    left = admitted(seen, guard)
    return max(left, key=lambda epoch: (*left[epoch], -epoch), default=None)


def contenders(seen: Mapping[int, Seen], guard: float) -> set[int]:
    """The epochs that are the pick or can become it, whatever comes.

    The best source accuracy only rises, so an epoch that is not admitted never will be, and one that another beats in
    score and accuracy both falls no later than that other.  The rest differ in accuracy, so of n source rows at most
    ``1 + guard * n`` are left.
    """
    left = admitted(seen, guard)
    best = -math.inf
    front = set()
    for epoch in sorted(left, key=lambda epoch: (-left[epoch].accuracy, -left[epoch].goodness, epoch)):
        if left[epoch].goodness > best:
            best = left[epoch].goodness
            front.add(epoch)
    return front


def waited(seen: Mapping[int, Seen], guard: float) -> int:
    """How many epochs were looked at since one was the pick as soon as it was seen."""
    so_far: dict[int, Seen] = {}
    count = 0
    for epoch in sorted(seen):
        so_far[epoch] = seen[epoch]
        count = 0 if pick(so_far, guard) == epoch else count + 1
    return count
