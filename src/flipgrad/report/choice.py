"""The scores of every recorded epoch of a training, and which epoch each would keep."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from flipgrad._guarded import EPOCHS_GUARD, Seen, pick
from flipgrad.errors import InputError
from flipgrad.observation import Observation
from flipgrad.recording import Recording
from flipgrad.scores import DEFAULT, SCORES, Score


class Scored(NamedTuple):
    """One score of one training.

    Attributes:
        score: which.
        values: one for each frame; NaN where it has none.
        epochs: of the frames.
        picked: the epoch that the score would keep, as LabelFreeCheckpoint does; None where no frame has a value.
    """

    score: Score
    values: list[float]
    epochs: list[int]
    picked: int | None


def scores_by_epoch(recorded: Recording, source_labels: Any) -> list[Scored]:
    """Every score of the frames of a training, the default first.  The untrained model is no candidate."""
    seen = [recorded.observation(frame, source_labels) for frame in range(len(recorded.epochs))]
    epochs = [int(epoch) for epoch in recorded.epochs]
    accuracies = [value_of(SCORES["source_accuracy"], each) for each in seen]
    found = []
    for score in sorted(SCORES.values(), key=lambda score: score.name != DEFAULT):
        values = [value_of(score, each) for each in seen]
        rows = zip(epochs, values, accuracies, strict=True)
        candidates = {epoch: Seen(score.goodness(value), accuracy) for epoch, value, accuracy in rows if epoch}
        found.append(Scored(score, values, epochs, pick(candidates, EPOCHS_GUARD)))
    return found


def value_of(score: Score, seen: Observation) -> float:
    """A score of one observation; NaN where it has none, such as of a model that predicts one class."""
    try:
        return score.function(seen)
    except InputError:
        return math.nan
