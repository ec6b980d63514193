"""The tables of results on the page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from flipgrad.report.contents import Contents
from flipgrad.report.text import NONE, named, number, percent, signed

Words = Mapping[str, str]

_SCORES = (("source_accuracy",) * 2, ("target_accuracy",) * 2, ("held_domain_accuracy", "domain_accuracy"))
_PARTS = ("mean", "low", "high")


def by_mode(found: Contents, words: Words) -> list[list[str]]:
    """Mean and deviation over the seeds, and the difference to source-only; a line for each mode."""
    if not found.rows:
        return []
    head = [
        words[name]
        for name in ("mode", "seeds", *(word for word, _ in _SCORES), "collapsed", "diverged_count", "seconds")
    ]
    differences = _differences(found)
    if differences:
        head += [words["difference"], words["interval"], words["gap_closed"]]
    lines = [head]
    for line in found.summary:
        own = [row for row in found.rows if row["mode"] == line["mode"]]
        scores = [_spread(line.get(name)) for _, name in _SCORES]
        counts = [_count(row.get("collapsed") for row in own), _count(row.get("diverged") is not None for row in own)]
        times = [float(row["seconds"]) for row in own if isinstance(row.get("seconds"), int | float)]
        lines.append([line["mode"], str(line["n"]), *scores, *counts, f"{np.mean(times):.0f}" if times else NONE])
        if differences:
            lines[-1] += differences.get(line["mode"], [NONE] * 3)
    return lines


def _differences(found: Contents) -> dict[str, list[str]]:
    """Mode -> its difference to source-only, the interval and the gap closed; empty where nothing was to compare."""
    modes = found.comparison.modes if found.comparison else []
    if not any(mode["difference"] and mode["difference"]["n"] for mode in modes):
        return {}
    return {mode["mode"]: _difference(mode) for mode in modes}


def _difference(mode: Mapping[str, Any]) -> list[str]:
    difference = mode["difference"] or {"mean": None, "low": None, "high": None}
    mean, low, high = (NONE if difference[part] is None else signed(difference[part]) for part in _PARTS)
    share = NONE if mode["gap_closed"] is None or mode["mode"] == "target" else percent(mode["gap_closed"])
    return [mean, NONE if NONE in (low, high) else f"[{low}, {high}]", share]


def by_class(found: Contents, words: Words) -> list[list[str]]:
    """The accuracy on the target by class, where the trainings recorded it."""
    if not found.comparison or not any(mode["class_accuracy"] for mode in found.comparison.modes):
        return []
    modes = [mode for mode in found.comparison.modes if mode["class_accuracy"]]
    head = [words["class_name"], *(mode["name"] for mode in modes)]
    classes = found.comparison.classes
    return [head, *([name, *(_spread(mode["class_accuracy"][name]) for mode in modes)] for name in classes)]


def every(found: Contents, words: Words, tables: Any) -> list[list[str]]:
    """Every training, as its row of ``results.json`` says."""
    names = list(dict.fromkeys(name for row in found.rows for name in row))
    head = [tables.NAMES.get(name) or words.get(name) or named(name, tables) for name in names]
    return [head, *([number(row.get(name)) for name in names] for row in found.rows)]


def _spread(values: Mapping[str, Any] | None) -> str:
    if not values or values["mean"] is None:
        return NONE
    return number(values["mean"]) + (f"\u00a0±\u00a0{number(values['std'])}" if values["std"] is not None else "")


def _count(values: Iterable[Any]) -> str:
    return str(sum(bool(value) for value in values))
