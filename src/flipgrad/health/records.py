"""``health.json`` of a run: measures and verdicts of each training."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from flipgrad._files import plain, read_json, to_json, write_whole
from flipgrad.errors import InputError
from flipgrad.health.measures import Measures
from flipgrad.health.verdicts import Verdict, diagnose

Key = tuple[str, int]  # mode and seed

FILE = "health.json"


def read(run: Path) -> dict[Key, Measures]:
    """The measures of each training; empty where there is no file, which may be a stranger's.

    Raises:
        InputError: something else.
    """
    path = run / FILE
    if not path.exists():
        return {}
    entries = read_json(path)
    if not isinstance(entries, list) or not all(map(_is_entry, entries)):
        raise InputError(
            f"{path}: expected a list of diagnoses, found something else; delete it and run flipgrad health"
        )
    try:
        return {(entry["mode"], entry["seed"]): Measures.from_dict(entry["measures"]) for entry in entries}
    except InputError as error:
        raise InputError(f"{path}: {error}; delete it and run flipgrad health") from None


def diagnoses(measures: Mapping[Key, Measures]) -> dict[Key, list[Verdict]]:
    """The verdicts on each training, held against the source-only training of the same seed."""
    return {
        (mode, seed): diagnose(own, None if mode == "source" else measures.get(("source", seed)))
        for (mode, seed), own in measures.items()
    }


def entries(measures: Mapping[Key, Measures]) -> list[dict[str, Any]]:
    """What the file holds: mode, seed, verdicts and measures of each training."""
    return [
        {
            "mode": mode,
            "seed": seed,
            "verdicts": [asdict(each) for each in verdicts],
            "measures": asdict(measures[mode, seed]),
        }
        for (mode, seed), verdicts in diagnoses(measures).items()
    ]


def write(run: Path, measures: Mapping[Key, Measures]) -> None:
    """Writes the file, whole or not at all.  The verdicts on all trainings are drawn anew."""
    write_whole(run / FILE, to_json(plain(entries(measures))))


def add(run: Path, key: Key, measures: Measures, report: Callable[[str], None]) -> None:
    """Adds the measures of one training; a file that cannot be read is kept as ``health.json.damaged``, and said."""
    try:
        known = read(run)
    except InputError as error:
        report(f"{error}; kept as {FILE}.damaged")
        (run / FILE).replace(run / f"{FILE}.damaged")
        known = {}
    write(run, {**known, key: measures})


def _is_entry(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("mode"), str)
        and bool(re.fullmatch(r"[\w.+-]{1,80}", entry["mode"]))
        and type(entry.get("seed")) is int
        and isinstance(entry.get("measures"), dict)
    )
