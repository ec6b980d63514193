"""Everything that the page is made of, and which training it is about."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flipgrad._comparison_groups import mapping
from flipgrad.comparison import Comparison
from flipgrad.picking import Pick
from flipgrad.recording import Inputs, Recording
from flipgrad.summary import summarise

Key = tuple[str, int]  # mode and seed

# What of the page is missing where a part of the folder cannot be read.
PARTS = {
    "rows": "the table of results",
    "histories": "the curves, the domain accuracy while training, and the measures",
    "inputs": "the embeddings, the classes, the confusion matrices and the samples",
    "recordings": "the embeddings of this training, and what is drawn from them",
    "health": "the diagnoses",
    "comparison": "the comparison of the trainings",
    "pick": "which training was picked",
}

# The columns of history.csv that say how the training went; all others are measures and scores.
_TRAINING_LOGS = ("loss", "accuracy", "learning_rate", "strength")


@dataclass
class Contents:
    """What was found in a run folder.

    Attributes:
        path: the folder.
        config: of ``config.json``.
        done: whether the run has come to its end.
        rows: of ``results.json``.
        histories: of ``history.csv``, by (mode, seed).
        inputs: the rows that were observed; None where there are none.
        recordings: the frames, by (mode, seed).
        health: (mode, seed) -> verdicts and measures.
        comparison: of the trainings; None where there is one only.
        pick: which of several trainings ``predict`` uses, and why; None for one training.
        problems: of each part (a key of ``PARTS``) that was not readable: why, a line a file.
        left_out: trainings whose frames are not in the page, because there are too many.
    """

    path: Path
    config: dict[str, Any]
    done: bool
    rows: list[dict[str, Any]] = field(default_factory=list)
    histories: dict[Key, dict[str, list[float | None]]] = field(default_factory=dict)
    inputs: Inputs | None = None
    recordings: dict[Key, Recording] = field(default_factory=dict)
    health: dict[Key, dict[str, Any]] = field(default_factory=dict)
    comparison: Comparison | None = None
    pick: Pick | None = None
    problems: dict[str, list[str]] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    @property
    def summary(self) -> list[dict[str, Any]]:
        """A line a mode: see ``summary.summarise``."""
        return summarise(self.rows)

    @property
    def trainings(self) -> list[Key]:
        """Every (mode, seed) of which anything is known, in order of appearance."""
        keys = [(row["mode"], row["seed"]) for row in self.rows]
        return list(dict.fromkeys([*keys, *self.histories, *self.recordings, *self.health]))

    def row(self, key: Key | None) -> dict[str, Any]:
        """The row of a training in ``results.json``; empty where it has none."""
        return next((row for row in self.rows if (row["mode"], row["seed"]) == key), {})

    def target_accuracies(self, mode: str) -> dict[int, float]:
        """Seed -> target accuracy, to report, of the trainings of a mode that have one."""
        own = [row for row in self.rows if row["mode"] == mode and row.get("target_accuracy") is not None]
        return {row["seed"]: float(row["target_accuracy"]) for row in own}

    @property
    def main(self) -> Key | None:
        """The training that the page is about: adapted, the picked one or the first; with frames where any has some."""
        order = [*(self.recordings or self.trainings)]
        picked = self.pick.picked if self.pick else None
        return min(
            order, key=lambda key: (_rank(key[0]), f"{key[0]}-{key[1]}" != picked, order.index(key)), default=None
        )

    def baseline(self, key: Key | None) -> Key | None:
        """The source-only training of the same seed; None where there is none, or it is itself the one."""
        other = ("source", key[1]) if key else None
        return other if other in self.trainings and other != key else None

    def kept(self, key: Key | None) -> Recording | None:
        """The frames of a training up to the epoch whose weights its model has; None where there are none."""
        recorded = self.recordings.get(key) if key else None
        chosen = self.row(key).get("chosen_epoch")
        return recorded.until(chosen) if recorded is not None and type(chosen) is int else recorded

    @property
    def damages(self) -> list[str]:
        """A line for each file that was not readable: why, and what the page is therefore without."""
        return [f"{why}; the page is without {PARTS[part]}" for part, lines in self.problems.items() for why in lines]

    @property
    def wanted(self) -> int | None:
        """How many trainings the run is to have; None where the settings do not say."""
        settings = mapping(self.config.get("settings"))
        seeds, modes = settings.get("seeds"), settings.get("modes")
        if isinstance(seeds, list) and isinstance(modes, list):
            return len(seeds) * len(modes)
        return 1 if "mode" in settings else None


def is_training_log(name: str) -> bool:
    """Whether a column of the history tells of the training itself, rather than a measure or a score."""
    return not name.startswith(("health_", "score_")) and name.removeprefix("val_").endswith(_TRAINING_LOGS)


def _rank(mode: str) -> int:
    """Adapted trainings first, of them ``dann``; then source-only; then what no user has."""
    return {"dann": 0, "source": 2, "domain": 3, "target": 4}.get(mode, 1)
