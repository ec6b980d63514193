"""What could be chosen without target labels: the scores of every recorded epoch, and of every training of the run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from flipgrad._guarded import Seen, pick
from flipgrad.errors import InputError
from flipgrad.observation import Observation
from flipgrad.recording import Recording
from flipgrad.report.contents import Contents
from flipgrad.report.text import named, number
from flipgrad.scores import DEFAULT, SCORES, Score

GUARD = 0.02  # of LabelFreeCheckpoint


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
        found.append(Scored(score, values, epochs, pick(candidates, GUARD)))
    return found


def value_of(score: Score, seen: Observation) -> float:
    """A score of one observation; NaN where it has none, such as of a model that predicts one class."""
    try:
        return score.function(seen)
    except InputError:
        return math.nan


def picked_training(found: Contents, words: Mapping[str, str], tables: Any) -> dict[str, Any] | None:
    """Which training was picked and why, and the table of the scores; None for a run without a pick."""
    if found.pick is None:
        return None
    scores = found.pick.scores
    names = list(dict.fromkeys(name for values in scores.values() for name in values))
    head = [words["training"], *(named(name, tables) for name in names)]
    lines = [[training, *(number(values.get(name)) for name in names)] for training, values in scores.items()]
    said, picked = found.pick.reason, found.pick.picked
    if picked in scores:
        score = next((name for name in ("target_labelled_accuracy", DEFAULT) if name in scores[picked]), "")
        count = len(scores.keys() - found.pick.left_out.keys())
        value = number(scores[picked].get(score))
        said = words["pick"].format(picked=picked, score=named(score, tables), value=value, count=count)
    left_out = [words["pick_left_out"].format(f"{name} ({why})") for name, why in found.pick.left_out.items()]
    return {
        "said": said,
        "warning": found.pick.warning and words["pick_warning"].format(found.pick.warning),
        "left_out": left_out,
        "table": [head, *lines] if lines else [],
        "picked": picked,
    }
