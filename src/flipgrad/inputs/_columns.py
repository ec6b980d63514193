"""What each column of a table is, decided on both domains and without labels."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import polars as pl

from flipgrad.errors import InputError
from flipgrad.inputs._table_files import collect
from flipgrad.inputs._words import Report, listed, shown
from flipgrad.inputs.formats import MOST_CATEGORIES

_MANY = 20  # distinct values from which on a column can be free text or a number of the row
_ID_NAME = re.compile(r"(^|.*[_\W])(id|uuid|guid|index|row|key)\d*", re.IGNORECASE)
_DATE = r"^\s*\d{4}-\d\d?-\d\d?([T ]\d\d?:\d\d.*)?\s*$"
Summary = dict[str, Any]


def as_text(name: str) -> pl.Expr:
    """The values as texts without spaces around them; null where missing."""
    return pl.col(name).cast(pl.String).str.strip_chars()


def as_number(name: str, dtype: pl.DataType) -> pl.Expr:
    """The values as Float64; null where missing or no number."""
    column = pl.col(name) if dtype.is_numeric() or dtype == pl.Boolean else as_text(name)
    return column.cast(pl.Float64, strict=False).fill_nan(None)


def as_boolean(name: str, dtype: pl.DataType) -> pl.Expr:
    """The values as booleans; null where missing or neither true nor false."""
    if dtype == pl.Boolean:
        return pl.col(name)
    if dtype.is_numeric():
        return pl.when(as_number(name, dtype).is_in([0.0, 1.0])).then(as_number(name, dtype) == 1)
    text = as_text(name).str.to_lowercase()
    return pl.when(text.is_in(["true", "false"])).then(text == "true")


def choose_columns(frames: Mapping[str, pl.LazyFrame], report: Report) -> list[dict[str, Any]]:
    """The columns to use, as ``InputFormat.detail`` describes them, in the order of the source.

    Args:
        frames: the features of ``"source"`` and ``"target"``, with the same names.
        report: called with one line about what was dropped and why.

    Raises:
        InputError: no usable column.
    """
    summaries = {role: _summaries(frame, role) for role, frame in frames.items()}
    columns, dropped = [], []
    for name in frames["source"].collect_schema().names():
        both = {role: summary[name] for role, summary in summaries.items()}
        why = _unusable(name, list(both.values()))
        if why:
            dropped.append(f"{shown(name)} ({why})")
            continue
        kinds = {summary["kind"] for summary in both.values()} - {"empty"}
        for role in [role for role in both if both[role]["kind"] == "empty"]:
            report(f"column {shown(name)} has no value in the {role}")
        if len(kinds) > 1:
            what = " and ".join(f"{summary['kind']} in the {role}" for role, summary in both.items())
            report(f"column {shown(name)} is {what}; read as categories")
        kind = kinds.pop() if len(kinds) == 1 else "category"
        columns.append({"name": name, "kind": kind})
        if kind == "category":
            columns[-1]["categories"] = _categories(name, frames, report)
    if dropped:
        more = f" and {len(dropped) - 8} more" if len(dropped) > 8 else ""
        report(f"dropped {len(dropped)} columns: {', '.join(dropped[:8])}{more}")
    if not columns:
        raise InputError(
            f"source and target: expected at least one column of numbers, booleans or categories, received none that "
            f"can be used: {listed(frames['source'].collect_schema().names())}; add one."
        )
    return columns


def _summaries(frame: pl.LazyFrame, role: str) -> dict[str, Summary]:
    """For each column its kind and the figures that decide whether it is usable."""
    schema = frame.collect_schema()
    values = [pl.len().alias("rows")]
    for place, (name, dtype) in enumerate(schema.items()):
        if is_plain(dtype):
            values += [value.alias(f"{key} {place}") for key, value in _figures(name, dtype).items()]
    row = collect(frame.select(values), role).row(0, named=True)
    summaries = {}
    for place, (name, dtype) in enumerate(schema.items()):
        figures = {key: row.get(f"{key} {place}") for key in ("count", "distinct", "numbers", "low", "high", "whole",
                                                               "booleans", "dates", "first", "last")}  # fmt: skip
        summaries[name] = {**figures, "rows": row["rows"], "kind": _kind(dtype, figures)}
    return summaries


def is_plain(dtype: pl.DataType) -> bool:
    """Whether values of this type are numbers, texts or booleans."""
    return dtype.is_numeric() or isinstance(dtype, (pl.String, pl.Boolean, pl.Categorical, pl.Enum))


def _figures(name: str, dtype: pl.DataType) -> dict[str, pl.Expr]:
    number = as_number(name, dtype)
    text = number if dtype.is_numeric() else as_text(name)
    figures = {"count": text.count(), "distinct": text.drop_nulls().n_unique(), "first": text.min(), "last": text.max()}
    if isinstance(dtype, (pl.String, pl.Boolean)):
        figures["booleans"] = as_boolean(name, dtype).count()
    if isinstance(dtype, pl.String):
        figures["dates"] = text.str.contains(_DATE).sum()
    if dtype.is_numeric() or isinstance(dtype, pl.String):
        figures |= {"numbers": number.count(), "low": number.min(), "high": number.max()}
        figures["whole"] = (number == number.floor()).all()
    return figures


def _kind(dtype: pl.DataType, figures: Summary) -> str:
    if dtype.is_temporal():
        return "date"
    if not is_plain(dtype) and not isinstance(dtype, pl.Null):
        return "nested"
    if not figures["count"]:
        return "empty"
    for kind, key in (("boolean", "booleans"), ("number", "numbers"), ("date", "dates")):
        if figures[key] == figures["count"]:
            return kind
    return "category"


def _unusable(name: str, both: list[Summary]) -> str:
    """Why a column cannot be used; nothing where it can."""
    kinds = {summary["kind"] for summary in both}
    if "nested" in kinds:
        return "lists, structures or bytes"
    if "date" in kinds:
        return "dates"
    known = [summary for summary in both if summary["kind"] != "empty"]
    if not known:
        return "no value"
    complete = all(summary["count"] == summary["rows"] for summary in both)
    if complete and len({summary[end] for summary in both for end in ("first", "last")}) == 1:
        return "one value in every row"
    many = max(summary["distinct"] for summary in known) > _MANY
    total = sum(summary["count"] for summary in known)
    if "category" in kinds and many and sum(summary["distinct"] for summary in known) > total / 2:
        return "text, different in nearly every row"
    if kinds == {"number"} and many and complete and all(summary["whole"] for summary in both):
        one_each = all(summary["distinct"] == summary["rows"] for summary in both)
        running = all(summary["high"] - summary["low"] + 1 == summary["rows"] for summary in both)
        if one_each and (running or _ID_NAME.fullmatch(name)):
            return "a number of the row"
    return ""


def _categories(name: str, frames: Mapping[str, pl.LazyFrame], report: Report) -> list[str]:
    """The most frequent categories over both domains, each domain weighing the same, in the order of the texts."""
    shares: dict[str, float] = {}
    for role, frame in frames.items():
        found = collect(frame.select(as_text(name).alias("text")).drop_nulls().group_by("text").len("rows"), role)
        total = found["rows"].sum()
        for text, count in found.iter_rows():
            shares[text] = shares.get(text, 0) + count / total
    often = sorted(shares, key=lambda text: (-shares[text], text))
    if len(often) > MOST_CATEGORIES:
        report(
            f"column {shown(name)} has {len(often)} categories; the {MOST_CATEGORIES} most frequent are used, the "
            "others count as unseen"
        )
    return sorted(often[:MOST_CATEGORIES])
