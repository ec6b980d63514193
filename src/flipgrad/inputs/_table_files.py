"""CSV and Parquet files as frames of polars."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import polars as pl
from polars.exceptions import PanicException, PolarsError

from flipgrad.errors import InputError
from flipgrad.inputs._words import listed, reason, shown

MISSING = ("", "na", "n/a", "nan", "null")  # in CSV, in any case and with spaces around them


def open_table(path: Path, role: str) -> tuple[pl.LazyFrame, bool]:
    """The table, and whether its columns have types of their own.

    Those of CSV files are texts, null where they are empty or ``NA``.

    Raises:
        InputError: no such table.
    """
    with path.open("rb") as file:
        is_parquet = file.read(4) == b"PAR1"
    frame = _parquet(path, role) if is_parquet else _csv(path, role)
    names = frame.collect_schema().names()
    if not names:
        raise InputError(f"{role}: expected a table, received one without columns: {shown(os.fspath(path), 200)}.")
    patterns = [name for name in names if name == "*" or (name.startswith("^") and name.endswith("$"))]
    if patterns:  # to polars these are several columns
        raise InputError(f"{role}: expected names of columns, received patterns: {listed(patterns)}; rename them.")
    return frame, is_parquet


def collect(frame: pl.LazyFrame, role: str) -> pl.DataFrame:
    """The frame, read now.

    Raises:
        InputError: a damaged file.
    """
    try:
        return frame.collect(engine="streaming")
    # A damaged Parquet file may end in a panic of the reader, which is no Exception.
    except (PolarsError, PanicException, OSError, MemoryError) as error:
        raise InputError(f"{role}: the table is damaged ({reason(error)}); write it again.") from None


def _parquet(path: Path, role: str) -> pl.LazyFrame:
    try:
        frame = pl.scan_parquet(path, glob=False)
        frame.collect_schema()
    except (PolarsError, PanicException, OSError, MemoryError) as error:
        raise InputError(
            f"{role}: {shown(os.fspath(path), 200)} is a damaged Parquet file ({reason(error)}); write it again."
        ) from None
    return frame


def _csv(path: Path, role: str) -> pl.LazyFrame:
    where = f"{role}: {shown(os.fspath(path), 200)}"
    separator, names, rows, empty = _structure(path, where)
    try:
        frame = pl.read_csv(path.resolve(), separator=separator, infer_schema=False, new_columns=names, glob=False)
    except (PolarsError, PanicException, OSError, MemoryError) as error:
        raise InputError(f"{where} is not a readable CSV file ({reason(error)}); save it again.") from None
    # Two parsers have read it: where they differ, no one knows what it says.
    if frame.shape != (rows + len(empty), len(names)) or frame.columns != names:
        raise InputError(
            f"{where}: expected lines that end in \\n and fields quoted as a whole, received others; save it again."
        )
    if empty:
        frame = frame.filter(~pl.int_range(pl.len()).is_in(empty))
    text = pl.all().str.strip_chars().str.to_lowercase()
    return frame.select(pl.when(text.is_in(MISSING)).then(None).otherwise(pl.all()).name.keep()).lazy()


def _structure(path: Path, where: str) -> tuple[str, list[str], int, list[int]]:
    """Separator, names of the columns, number of rows, and which lines between them are empty.

    Polars would fill up short rows without a word.
    """
    line, rows = 1, 0
    empty: list[int] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            start = file.readline()
            file.seek(0)
            separator = max(",;\t", key=start.count)
            lines = csv.reader(file, delimiter=separator, strict=True)
            names = _header(next(lines, []), where)
            for row in lines:
                line = lines.line_num
                if not row and len(names) > 1:
                    empty.append(rows + len(empty))
                    continue
                if len(row or [""]) != len(names):
                    raise InputError(
                        f"{where}, line {line}: expected {len(names)} fields as in the first line, received "
                        f"{len(row)}; correct it."
                    )
                rows += 1
    except UnicodeDecodeError:
        raise InputError(f"{where} is not text in UTF-8; save it again in this encoding.") from None
    except csv.Error as error:
        raise InputError(f"{where} is not a CSV file below line {line} ({error}); correct it.") from None
    except OSError as error:
        raise InputError(f"{where} cannot be read ({reason(error)}).") from None
    if not rows:
        raise InputError(f"{where}: expected at least one row below the names of the columns, received none.")
    return separator, names, rows, empty


def _header(names: list[str], where: str) -> list[str]:
    if not names or not any(name.strip() for name in names):
        raise InputError(f"{where}: expected the names of the columns in the first line, received an empty line.")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"{where}: expected columns of different names, received twice {listed(twice)}; rename one.")
    if all(_is_number(name) for name in names):
        raise InputError(f"{where}: expected the names of the columns in the first line, received numbers; add names.")
    return names


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
