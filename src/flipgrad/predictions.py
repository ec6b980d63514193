"""Predictions as a table: which row, which class, how probable each class."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from flipgrad._files import write_whole
from flipgrad.inputs import Classes


def table(
    ids: Sequence[str], probabilities: np.ndarray, classes: Classes, reject_below: float | None = None
) -> pl.DataFrame:
    """The table of predictions.

    Args:
        ids: file or number of each row.
        probabilities: ``(rows, classes)``.
        classes: their names, in the order of the columns.
        reject_below: rows whose highest probability is smaller have no class (null); None: every row has one.

    Returns:
        Columns ``id``, ``predicted`` (of the type that the labels had) and ``probability_CLASS`` for each class.
    """
    predicted = pl.Series("predicted", classes.decode(probabilities.argmax(-1)), strict=False)
    frame = pl.DataFrame({"id": pl.Series(ids, dtype=pl.String), "predicted": predicted})
    if reject_below is not None:
        sure = pl.Series(probabilities.max(-1) >= reject_below)
        frame = frame.with_columns(pl.when(sure).then(pl.col("predicted")).alias("predicted"))
    columns = [
        pl.Series(f"probability_{name}", probabilities[:, number].astype("float32"))
        for number, name in enumerate(classes.names)
    ]
    return frame.with_columns(columns)


def counts(frame: pl.DataFrame, classes: Classes) -> dict[str, Any]:
    """How many rows of the table have each class, by its name, and how many have none: ``classes`` and ``empty``."""
    found = dict(frame["predicted"].value_counts().iter_rows())
    of_each = {name: found.get(value, 0) for name, value in zip(classes.names, classes.values, strict=True)}
    return {"classes": of_each, "empty": frame["predicted"].null_count()}


def write(frame: pl.DataFrame, path: Path) -> None:
    """Writes the table whole or not at all, as Parquet where the name ends so, else as CSV."""
    content = io.BytesIO()
    if path.suffix.lower() == ".parquet":
        frame.write_parquet(content)
    else:
        frame.write_csv(content)
    write_whole(path, content.getvalue())
