"""Which trainings of several runs belong together, and which of them are held against each other."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flipgrad.errors import InputError
from flipgrad.runs import Run

# What may differ between runs whose seeds belong together.  The data are told by their checksums, not by their paths.
_NO_SETTINGS = ("seed", "seeds", "mode", "modes", "source", "target", "target_labels", "target_test")

Row = Mapping[str, Any]


@dataclass
class Group:
    """The trainings of one mode with the same settings and data, of one run or several."""

    mode: str
    settings: str
    runs: list[str] = field(default_factory=list)
    rows: dict[int, Row] = field(default_factory=dict)  # by seed

    @property
    def accuracies(self) -> dict[int, float]:
        """Seed -> target accuracy, where it was measured."""
        return {seed: float(v) for seed, row in self.rows.items() if (v := row.get("target_accuracy")) is not None}

    @property
    def recalls(self) -> list[list[float | None]]:
        """The accuracy of each class on the target, of each training where it was recorded."""
        return [row["target_recall"] for row in self.rows.values() if row.get("target_recall")]


def refuse_other_data(runs: Sequence[Run]) -> None:
    """Raises InputError unless all runs are scored on the same rows, as far as their checksums tell."""
    if not runs:
        raise InputError("compare: expected at least one run, received none; name a run folder")
    first, *others = runs
    known = _data(first)
    for run in others:
        own = _data(run)
        if run.config.get("experiment") != first.config.get("experiment"):
            names = [f"{each.config.get('experiment')!s:.40}" for each in (run, first)]
            raise InputError(f"{run.path}: of the experiment {names[0]}, {first.path} of {names[1]}; leave one out")
        shared = [name for name in known if name in own]
        if differ := [name for name in shared if known[name] != own[name]]:
            what = f"{', '.join(differ):.80}"
            raise InputError(f"{run.path}: of other data than {first.path} ({what} differ); leave one out")
        if not shared:
            raise InputError(f"{run.path}: its config.json tells no data that {first.path} has too; leave one out")


def _data(run: Run) -> dict[str, Any]:
    """What must be the same where two runs have it; labelled rows are learnt from, so that they are a setting."""
    data, settings = mapping(run.config.get("data")), mapping(run.config.get("settings"))
    own = {name: value for name, value in data.items() if name != "labelled"}
    # The scores of digits are of one split of the same data.
    return own | ({"split": settings["split"]} if own and "split" in settings else {})


def groups_of(runs: Sequence[Run], notes: list[str]) -> list[Group]:
    """The trainings by mode and settings, in order of arrival; ``notes`` says which are there twice."""
    groups: dict[tuple[str, str], Group] = {}
    for run in runs:
        settings = _settings(run)
        twice: dict[str, list[int]] = {}
        for row in run.rows:
            mode, seed = row["mode"], row["seed"]
            group = groups.setdefault((mode, settings), Group(mode, settings))
            if seed in group.rows:
                twice.setdefault(mode, []).append(seed)
                continue
            group.rows[seed] = row
            if str(run.path) not in group.runs:
                group.runs.append(str(run.path))
        for mode, seeds in twice.items():
            notes.append(f"{run.path}: {mode}, seeds {listed(seeds)}: left out, a run before has them too")
    return list(groups.values())


def _settings(run: Run) -> str:
    """The settings that can move a result, as one text."""
    own = {k: v for k, v in mapping(run.config.get("settings")).items() if k not in _NO_SETTINGS}
    labelled = mapping(run.config.get("data")).get("labelled")
    return json.dumps([own, run.config.get("backend"), labelled], sort_keys=True)


def partner(group: Group, mode: str, groups: Iterable[Group], name: str, notes: list[str]) -> dict[int, float]:
    """Seed -> target accuracy of ``mode``, of the group's own settings where there, else of the others.

    ``notes`` gets a line where it is of other settings; ``name`` is the group's.
    """
    candidates = sorted((g for g in groups if g.mode == mode), key=lambda g: g.settings != group.settings)
    found: dict[int, float] = {}
    for candidate in candidates:
        new = {seed: v for seed, v in candidate.accuracies.items() if seed in group.accuracies and seed not in found}
        if new and candidate.settings != group.settings:
            where = f"{mode} of {candidate.runs[0]}, of other settings"
            notes.append(f"{name} is held against {where} (seeds {listed(list(new))})")
        found |= new
    return found


def classes_of(runs: Sequence[Run], groups: Iterable[Group]) -> list[str]:
    """The names in the configuration where their number is that of the rows, else the numbers."""
    count = max((len(recall) for group in groups for recall in group.recalls), default=0)
    values = mapping(mapping(runs[0].config.get("input")).get("classes")).get("values")
    if isinstance(values, list) and len(values) == count == len(set(map(str, values))):
        return [str(value) for value in values]
    return [str(number) for number in range(count)]


def listed(seeds: Sequence[int]) -> str:
    """``0 to 4`` where they follow each other, else ``3, 7``."""
    first, last = seeds[0], seeds[-1]
    if len(seeds) > 2 and list(seeds) == list(range(first, last + 1)):
        return f"{first} to {last}"
    return ", ".join(map(str, seeds))


def mapping(value: Any) -> dict[str, Any]:
    """A part of a configuration that may have been written by anybody."""
    return value if isinstance(value, dict) else {}
