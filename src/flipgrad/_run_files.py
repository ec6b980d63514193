"""The files of a run that are read back, ``results.json`` and ``history.csv``; both may be a stranger's."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flipgrad._files import read_json, read_text
from flipgrad.errors import InputError

NAME = r"\w[\w.+-]*"  # of a mode or a file
SEED_END = 2**32  # what Keras takes
ROW = 'expected a row with "mode" (a name), "seed" (a whole number from 0) and numbers or None as results'
_NUMBERS = ("steps", "seconds", "diverged")  # in a row, beside all that end in "accuracy"
_MOST = 1e300  # whole numbers beyond it are no floats, and cannot be averaged
_MOST_CLASSES = 100_000


def read_rows(path: Path, remedy: str) -> list[dict[str, Any]]:
    """The rows of a ``results.json``; none where there is no such file.

    Raises:
        InputError: it cannot be read, or holds something else; the line ends in ``remedy``.
    """
    rows = read_json(path, remedy) if path.exists() else []
    if not isinstance(rows, list):
        raise InputError(f"{path}: expected a list of rows, found {type(rows).__name__}; {remedy}")
    if bad := [row for row in rows if not is_row(row)]:
        raise InputError(f"{path}: {ROW}, found {bad[0]!r:.200}; {remedy}")
    return rows


def read_histories(path: Path, remedy: str) -> dict[tuple[str, int], dict[str, list[float | None]]]:
    """A ``history.csv`` by (mode, seed): for each name one value an epoch, None where missing; see ``read_rows``."""
    read: dict[tuple[str, int], dict[str, list[float | None]]] = {}
    if not path.exists():
        return read
    file = csv.DictReader(io.StringIO(read_text(path, remedy), newline=""))
    try:
        if not {"mode", "seed", "epoch"} <= {*(file.fieldnames or ())}:
            raise ValueError("expected the columns mode, seed and epoch")
        for line in file:
            if None in line.values():
                raise ValueError("a line is cut short")
            key = line.pop("mode"), int(line.pop("seed"))
            if not is_key(*key):  # it becomes the name of a folder, and of a line in a figure
                raise ValueError(f"expected the name of a mode and a seed, found {key}")
            history = read.setdefault(key, {})
            line.pop("epoch")
            for name, text in line.items():
                history.setdefault(name, []).append(float(text) if text else None)
    except (KeyError, ValueError, TypeError, csv.Error) as error:
        raise InputError(f"{path}: not a history ({error!r:.200}); {remedy}") from None
    return read


def is_row(row: Any) -> bool:
    """Whether a row, perhaps of a stranger's file, can be counted on: its key, and numbers where numbers belong."""
    if not isinstance(row, dict) or not is_key(row.get("mode"), row.get("seed")):
        return False
    numbers = [v for k, v in row.items() if k in _NUMBERS or k.endswith("accuracy") or type(v) in (int, float)]
    return all(map(_is_number, numbers)) and _is_recall(row.get("target_recall"))


def _is_number(value: Any) -> bool:
    return value is None or (type(value) in (int, float) and abs(value) < _MOST)


def _is_recall(value: Any) -> bool:
    """Whether it is None, or a share or None for each class."""
    return value is None or (
        isinstance(value, list)
        and 0 < len(value) <= _MOST_CLASSES
        and all(_is_number(each) and 0 <= (each or 0) <= 1 for each in value)
    )


def is_key(mode: Any, seed: Any) -> bool:
    """Whether these are the name and the seed of a training."""
    return type(mode) is str and type(seed) is int and bool(re.fullmatch(NAME, mode)) and 0 <= seed < SEED_END


def key_of(row: Mapping[str, Any]) -> tuple[Any, Any]:
    """(mode, seed) of a row."""
    return row.get("mode"), row.get("seed")
