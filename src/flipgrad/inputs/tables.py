"""Tables from CSV and Parquet files."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flipgrad.errors import InputError
from flipgrad.inputs._columns import as_boolean, as_number, as_text, choose_columns, is_plain
from flipgrad.inputs._table_files import collect, open_table
from flipgrad.inputs._words import Report, listed, nearest, shown
from flipgrad.inputs.classes import classes_of, parsed
from flipgrad.inputs.formats import Domain, InputFormat

LABELS = ("label", "class", "target", "y")  # names that are taken for the label column
IN_MEMORY = 256_000_000  # bytes of rows up to which a table is kept in memory
_VALUES_AT_A_TIME = 5_000_000
Rows = NDArray[np.float32]


def read_both(source: Any, target: Any, *, label: str | None, report: Report) -> tuple[InputFormat, Domain, Domain]:
    """See ``read_domains``."""
    opened = {"source": open_table(Path(source), "source"), "target": open_table(Path(target), "target")}
    frames = {role: frame for role, (frame, _) in opened.items()}
    names = {role: frame.collect_schema().names() for role, frame in frames.items()}
    label = _label_column(names["source"], label)
    if label in names["target"]:
        report(f"target: ignored the column {shown(label)} (labels are not used here)")
    labels = _labels(frames["source"], label, "source")
    labels = labels if opened["source"][1] else _typed(labels)
    classes = classes_of(labels, f"source, column {shown(label)}")
    features = {role: frame.drop(label, strict=False) for role, frame in frames.items()}
    _check_same(*(features[role].collect_schema().names() for role in ("source", "target")))
    columns = choose_columns(features, report)
    form = InputFormat("table", (len(columns),), classes, {"label": label, "columns": columns})
    xs, xt = (_encode(features[role], columns, role) for role in ("source", "target"))
    return form, Domain(xs, classes.encode(labels), _ids(xs)), Domain(xt, None, _ids(xt))


def read_one(path: Any, form: InputFormat, *, labelled: bool, label: str | None, report: Report) -> Domain:
    """See ``read_domain``."""
    frame, _ = open_table(Path(path), "input")
    names, wanted = frame.collect_schema().names(), [column["name"] for column in form.detail["columns"]]
    missing = [name for name in wanted if name not in names]
    if missing:
        hint = nearest(missing[0], names) or f"; there are {listed(names)}."
        raise InputError(
            f"input: expected the columns of the training data, received none named {listed(missing)}{hint}"
        )
    label = form.detail["label"] if label is None else label
    if labelled and label not in names:
        raise InputError(
            f"input: expected the label column {shown(label)}, received {listed(names)}{nearest(label, names)}"
        )
    ignored = [name for name in names if name not in wanted and not (labelled and name == label)]
    if ignored:
        report(f"input: ignored the columns {listed(ignored)}")
    y = form.classes.encode(_labels(frame, label, "input"), f"input, column {shown(label)}") if labelled else None
    x = _encode(frame, form.detail["columns"], "input", report)
    return Domain(x, y, _ids(x))


def _ids(x: Rows) -> list[str]:
    return [str(row) for row in range(len(x))]


def _label_column(names: list[str], label: str | None) -> str:
    if label is not None:
        if label not in names:
            hint = nearest(label, names)
            raise InputError(
                f"source: expected the label column {shown(label)}, received the columns {listed(names, 20)}"
                f"{hint or '; name one of them.'}"
            )
        return label
    found = [name for name in names if name.strip().lower() in LABELS]
    if len(found) != 1:
        raise InputError(
            f"source: expected one column named {', '.join(LABELS)}, received {len(found)} such among "
            f"{listed(names, 20)}; name it with label= (--label)."
        )
    return found[0]


def _check_same(source: list[str], target: list[str]) -> None:
    """InputError that says which columns are in one domain only, and how similar ones are called in the other."""
    only = {
        "source": [name for name in source if name not in target],
        "target": [name for name in target if name not in source],
    }
    if not any(only.values()):
        return
    parts = [f"only in the {role}: {listed(names)}" for role, names in only.items() if names]
    hint = next((text for name in only["source"] if (text := nearest(name, only["target"]))), "")
    raise InputError(
        f"source and target: expected the same columns besides the label, received {'; '.join(parts)}"
        f"{hint or '; rename or remove them.'}"
    )


def _labels(frame: pl.LazyFrame, label: str, role: str) -> list[Any]:
    """The labels as Python values of one type; texts of CSV files become what all of them can stand for."""
    where = f"{role}, column {shown(label)}"
    column = collect(frame.select(pl.col(label)), role).to_series()
    dtype = column.dtype
    if dtype.is_float():
        column = column.fill_nan(None)
    if not len(column):
        raise InputError(f"{role}: expected at least one row, received none.")
    if column.null_count():
        raise InputError(
            f"{where}: expected a label in every row, received none in {column.null_count()} of {len(column)} rows; "
            "remove or label them."
        )
    if dtype.is_decimal():
        column = column.cast(pl.Float64)
    elif isinstance(dtype, (pl.Categorical, pl.Enum)):
        column = column.cast(pl.String)
    elif not (dtype.is_numeric() or isinstance(dtype, (pl.String, pl.Boolean))):
        raise InputError(f"{where}: expected texts, whole numbers or booleans, received {dtype}; convert the labels.")
    values: list[Any] = column.to_list()
    return values


def _typed(texts: list[str]) -> list[Any]:
    """The labels of a CSV file as booleans or numbers where all are; ``01`` and the like stay as they are."""
    different = set(texts)
    if all(isinstance(parsed(text, "bool"), bool) for text in different):
        return [parsed(text, "bool") for text in texts]
    if all(str(parsed(text, "int")) == text and isinstance(parsed(text, "int"), int) for text in different):
        return [int(text) for text in texts]
    numbers = {parsed(text, "float") for text in different}
    written_so = any("." in text or "e" in text.lower() for text in different)
    if written_so and len(numbers) == len(different) and all(isinstance(n, float) and isfinite(n) for n in numbers):
        return [float(text) for text in texts]
    return texts


def _encode(frame: pl.LazyFrame, columns: list[dict[str, Any]], role: str, report: Report = lambda line: None) -> Rows:
    """float32 ``(rows, columns)``, NaN where missing or unseen; in a temporary file where it is large."""
    schema = frame.collect_schema()
    rows = int(collect(frame.select(pl.len()), role).item())
    if not rows:
        raise InputError(f"{role}: expected at least one row, received none.")
    for column in columns:
        dtype = schema[column["name"]]
        if not is_plain(dtype) and not isinstance(dtype, pl.Null):
            raise InputError(f"{role}, column {shown(column['name'])}: expected a {column['kind']}, received {dtype}.")
    codes = frame.select(_code(column, schema[column["name"]]).alias(str(n)) for n, column in enumerate(columns))
    absent = frame.select(_absent(column["name"], schema).alias(str(n)) for n, column in enumerate(columns))
    unusable = -np.array(collect(absent, role).row(0))
    step = max(1, _VALUES_AT_A_TIME // len(columns))

    def parts() -> Iterator[Rows]:
        for begin in range(0, rows, step):
            part = collect(codes.slice(begin, step), role).to_numpy(order="c")
            np.add(unusable, (~np.isfinite(part)).sum(axis=0), out=unusable)
            yield part

    in_memory = rows * len(columns) * 4 <= IN_MEMORY
    x = np.concatenate(list(parts())) if in_memory else _in_a_file(parts(), (rows, len(columns)), role)
    for column, count in zip(columns, unusable, strict=True):
        if count and column["kind"] == "category":
            report(f"{role}: column {shown(column['name'])}: {count} of {rows} values were never seen in training")
        elif count:
            raise InputError(
                f"{role}, column {shown(column['name'])}: expected {column['kind']}s of at most 3e38, received "
                f"something else in {count} of {rows} rows; correct or empty them."
            )
    return x


def _code(column: dict[str, Any], dtype: pl.DataType) -> pl.Expr:
    if column["kind"] == "number":
        code = as_number(column["name"], dtype)
    elif column["kind"] == "boolean":
        code = as_boolean(column["name"], dtype)
    else:
        known = column["categories"]
        code = as_text(column["name"]).replace_strict(known, range(len(known)), default=None, return_dtype=pl.Float32)
    return code.cast(pl.Float32).fill_null(float("nan"))


def _absent(name: str, schema: pl.Schema) -> pl.Expr:
    """How many values are missing."""
    nan = pl.col(name).is_nan().sum() if schema[name].is_float() else 0
    return pl.col(name).null_count() + nan


def _in_a_file(parts: Iterator[Rows], shape: tuple[int, int], role: str) -> Rows:
    """The rows as a memory-mapped file without a name, which the system deletes when nothing uses it any more."""
    try:
        with tempfile.TemporaryFile() as file:
            for part in parts:
                file.write(part.data)
            file.flush()
            return np.memmap(file, np.float32, "r", shape=shape)
    except OSError as error:
        raise InputError(
            f"{role}: the rows need {shape[0] * shape[1] * 4 >> 20} MiB in {tempfile.gettempdir()}, which cannot be "
            f"written ({error.strerror}); free some space or set TMPDIR."
        ) from None
