"""Everything that the page is made of, read from a run folder; what is missing is said, not made up."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flipgrad import recording
from flipgrad._files import plain
from flipgrad._run_state import lacking
from flipgrad.comparison import Comparison, compare
from flipgrad.errors import InputError
from flipgrad.health import records
from flipgrad.picking import Pick, read_pick
from flipgrad.recording import Inputs, Recording
from flipgrad.runs import Run
from flipgrad.summary import summarise

Key = tuple[str, int]  # mode and seed

MOST_TRAININGS = 12  # whose frames go into one page: it stays below 15 MB

# What of the page is missing where a part of the folder cannot be read.
PARTS = {
    "rows": "the table of results",
    "histories": "the curves, the domain accuracy while training, and the scores",
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

    @property
    def main(self) -> Key | None:
        """The training that the page is about: adapted, with frames; the picked one, or the first seed's."""
        order = [*self.recordings, *self.trainings]
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
        row = next((row for row in self.rows if (row["mode"], row["seed"]) == key), {})
        chosen = row.get("chosen_epoch")
        return recorded.until(chosen) if recorded is not None and type(chosen) is int else recorded

    @property
    def damages(self) -> list[str]:
        """A line for each file that was not readable: why, and what the page is therefore without."""
        return [f"{why}; the page is without {PARTS[part]}" for part, lines in self.problems.items() for why in lines]

    @property
    def wanted(self) -> int | None:
        """How many trainings the run is to have; None where the settings do not say."""
        settings = mapping(self.config, "settings")
        seeds, modes = settings.get("seeds"), settings.get("modes")
        if isinstance(seeds, list) and isinstance(modes, list):
            return len(seeds) * len(modes)
        return 1 if "mode" in settings else None


def gather(path: str | os.PathLike[str]) -> Contents:
    """Reads a run folder.

    Raises:
        InputError: it is no run.
    """
    run = Run.open(path)
    found = Contents(run.path, run.config, run.done)

    def part(name: str, read: Callable[[], Any]) -> None:
        try:
            setattr(found, name, read())
        except (InputError, OSError) as error:
            found.problems[name] = [str(error)]

    part("rows", lambda: run.rows)
    if run.done and not found.problems and (missing := lacking(run, models=False)):
        found.problems["rows"] = [missing]
    part("histories", lambda: run.histories)
    part("pick", lambda: read_pick(run))
    if len(found.rows) > 1:
        part("comparison", lambda: compare([run]))
    inputs = run.path / "observations" / "inputs.npz"
    part("inputs", lambda: recording.read(inputs, Inputs) if inputs.is_file() else None)
    part(
        "health",
        lambda: {(entry["mode"], entry["seed"]): plain(entry) for entry in records.entries(records.read(run.path))},
    )
    if found.inputs is not None:
        _add_recordings(run, found, found.inputs)
    return found


def mapping(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A part of a configuration that may have been written by anybody."""
    value = config.get(name)
    return value if isinstance(value, dict) else {}


def is_training_log(name: str) -> bool:
    """Whether a column of the history tells of the training itself, rather than a measure or a score."""
    return not name.startswith(("health_", "score_")) and name.removeprefix("val_").endswith(_TRAINING_LOGS)


def command(config: Mapping[str, Any]) -> str | None:
    """The command that makes such a run again; None where the configuration does not tell."""
    experiment, settings = config.get("experiment"), mapping(config, "settings")
    if not isinstance(experiment, str) or not settings:
        return None
    words = ["flipgrad", "adapt"] if experiment == "adapt" else ["flipgrad", "run", experiment]
    for name in _OPTIONS["adapt" if experiment == "adapt" else "run"]:
        value = settings.get(name)
        option = f"--{name.replace('_', '-')}"
        if value is True:
            words.append(option)
        elif isinstance(value, list):
            words += [option, ",".join(map(str, value)) + ("," if name == "seeds" and len(value) == 1 else "")]
        elif value is not None and value is not False:
            words += [option, str(value)]
    if isinstance(config.get("backend"), str):
        words += ["--backend", config["backend"]]
    return shlex.join(words)


_OPTIONS = {
    "adapt": (
        "source", "target", "target_labels", "target_test", "label", "mode", "modes", "encoder", "weights", "epochs",
        "batch_size", "learning_rate", "strength", "keep", "size", "skip_bad", "seed", "seeds",
    ),
    "run": ("preset", "seeds", "modes", "steps", "batch_size", "precision"),
}  # fmt: skip


def _rank(mode: str) -> int:
    """Adapted trainings first, of them ``dann``; then source-only; then what no user has."""
    return {"dann": 0, "source": 2, "domain": 3, "target": 4}.get(mode, 1)


def _add_recordings(run: Run, found: Contents, inputs: Inputs) -> None:
    names = {f"{mode}-{seed}": (mode, seed) for mode, seed in found.trainings}
    folder = run.path / "observations"
    # Trainings that are not finished have no row and maybe no history yet.
    for path in sorted(folder.glob("*.npz")):
        mode, _, seed = path.stem.rpartition("-")
        if path.stem not in names and mode and seed.isdecimal():
            names[path.stem] = (mode, int(seed))
    present = [(key, folder / f"{name}.npz") for name, key in names.items() if (folder / f"{name}.npz").is_file()]
    present.sort(key=lambda entry: entry[0][1])  # stable: the first seed of each mode, then the second
    for key, path in present:
        if len(found.recordings) == MOST_TRAININGS:
            found.left_out.append(f"{key[0]}-{key[1]}")
            continue
        try:
            recorded: Recording = recording.read(path, Recording)
            if not recorded.of(inputs):
                raise InputError(f"{path}: of other rows than {folder}/inputs.npz; delete it and train again")
            found.recordings[key] = recorded
        except InputError as error:
            found.problems.setdefault("recordings", []).append(str(error))
