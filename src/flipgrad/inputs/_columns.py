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
    """The values as texts without spaces around them, whole numbers without ".0"; null where missing.

    The same category is an integer in one file and, where a value is missing, a float in another.
    """
    return pl.col(name).cast(pl.String).str.strip_chars().str.replace(r"^(-?\d+)\.0$", "$1")


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
    """For each column its kind and the figures that decide whether it is usable.

    Different values are counted only where it matters: it takes longer than everything else.
    """
    schema = frame.collect_schema()
    rows = int(collect(frame.select(pl.len()), role).item())
    plain = {name: dtype for name, dtype in schema.items() if is_plain(dtype)}
    counted = {name: dtype for name, dtype in plain.items() if dtype != pl.Boolean}
    numbers = frame.select(as_number(name, dtype).alias(name) for name, dtype in counted.items())
    first = _measure(frame, {name: {"count": pl.col(name).count()} for name in plain}, role)
    for name, figures in _measure(numbers, {name: _numbers(name) for name in counted}, role).items():
        # NaN is missing in columns of numbers; what is no number is not in columns of texts.
        first[name] |= {**figures, "count": figures["numbers"]} if counted[name].is_numeric() else figures
    second: dict[str, dict[str, pl.Expr]] = {}
    for name, figures in first.items():
        if figures["count"] != figures.get("numbers"):
            second[name] = _texts(name, plain[name])
        elif figures["whole"] and figures["count"] == rows and rows > _MANY:
            running = figures["high"] - figures["low"] + 1 == rows
            if running or _ID_NAME.fullmatch(name):
                second[name] = {"distinct": pl.col(name).n_unique()}
    more = _measure(frame, second, role)
    found = {name: {**_NOTHING, "rows": rows, **first.get(name, {}), **more.get(name, {})} for name in schema}
    return {name: {**figures, "kind": _kind(schema[name], figures)} for name, figures in found.items()}


_NOTHING: Summary = dict.fromkeys(("count", "numbers", "low", "high", "distinct", "booleans", "dates"))


def _measure(frame: pl.LazyFrame, figures: Mapping[str, Mapping[str, pl.Expr]], role: str) -> dict[str, Summary]:
    """The values of figures, by column and by name, in one pass over the frame."""
    places = [(name, key) for name, expressions in figures.items() for key in expressions]
    values = [figures[name][key].alias(str(place)) for place, (name, key) in enumerate(places)]
    row = collect(frame.select(values), role).row(0) if values else ()
    found: dict[str, Summary] = {name: {} for name in figures}
    for (name, key), value in zip(places, row, strict=True):
        found[name][key] = value
    return found


def is_plain(dtype: pl.DataType) -> bool:
    """Whether values of this type are numbers, texts or booleans."""
    return dtype.is_numeric() or isinstance(dtype, (pl.String, pl.Boolean, pl.Categorical, pl.Enum))


def _numbers(name: str) -> dict[str, pl.Expr]:
    number = pl.col(name)
    whole = (number == number.floor()).all()
    return {"numbers": number.count(), "low": number.min(), "high": number.max(), "whole": whole}


def _texts(name: str, dtype: pl.DataType) -> dict[str, pl.Expr]:
    text = as_text(name)
    return {
        "distinct": text.drop_nulls().n_unique(),
        "low": text.min(),
        "high": text.max(),
        "booleans": as_boolean(name, dtype).count(),
        "dates": text.str.contains(_DATE).sum(),
    }


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
    if complete and len({summary[end] for summary in both for end in ("low", "high")}) == 1:
        return "one value in every row"
    texts = [summary for summary in known if summary["kind"] == "category"]
    different = [summary["distinct"] for summary in texts]
    if texts and max(different) > _MANY and sum(different) > sum(summary["count"] for summary in texts) / 2:
        return "text, different in nearly every row"
    if kinds == {"number"} and all(summary["distinct"] == summary["rows"] for summary in both):
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
