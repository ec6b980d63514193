"""What every score asks of its arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from flipgrad.errors import InputError


def rows_of(values: Any, name: str) -> np.ndarray:
    """``values`` as float64 ``(rows, n)``; InputError where they are empty, of another shape, NaN or infinite."""
    array = np.asarray(values)
    if array.ndim != 2 or not array.size or array.dtype.kind not in "biuf":
        raise InputError(
            f"Argument `{name}`: expected numbers of shape (rows, n), at least one row and one column, received "
            f"{array.dtype} {array.shape}; hold out some rows."
        )
    array = array.astype("float64")
    if not np.isfinite(array).all():
        raise InputError(
            f"Argument `{name}`: expected finite numbers, received NaN or infinity: the training has diverged; take an "
            "earlier epoch or lower the learning rate."
        )
    return array


def logits_of(values: Any, name: str = "logits", *, several: bool = True) -> np.ndarray:
    """Class logits as float64 ``(rows, classes)``.

    Args:
        values: the logits.
        name: of the argument, for the message.
        several: whether more than one class must be predicted, and as many rows be there as classes.

    Raises:
        InputError: as ``rows_of``; fewer than two classes; with ``several`` also fewer rows than classes or one class
            predicted for all rows.
    """
    logits = rows_of(values, name)
    rows, classes = logits.shape
    if classes < 2:
        raise InputError(f"Argument `{name}`: expected two class logits a row or more, received {logits.shape}.")
    if several and rows < classes:
        raise InputError(
            f"Argument `{name}`: expected as many rows as classes or more, received {rows} rows of {classes} classes; "
            "hold out more rows."
        )
    predicted = np.unique(logits.argmax(axis=1))
    if several and len(predicted) == 1:
        raise InputError(
            f"Argument `{name}`: expected predictions of two classes or more, received class {predicted[0]} for all "
            f"{rows} rows: such a model has no score; take another epoch or another model."
        )
    return logits


def labels_of(values: Any, logits: np.ndarray, name: str = "labels") -> np.ndarray:
    """Class numbers ``(rows,)`` that fit the logits; InputError where they do not."""
    labels = np.asarray(values)
    classes = logits.shape[1]
    if labels.shape != logits.shape[:1] or labels.dtype.kind not in "biuf" or (labels != np.floor(labels)).any():
        raise InputError(
            f"Argument `{name}`: expected whole class numbers, one for each of {len(logits)} rows, received "
            f"{labels.dtype} {labels.shape}; of one-hot labels give y.argmax(-1)."
        )
    if labels.min() < 0 or labels.max() >= classes:
        raise InputError(
            f"Argument `{name}`: expected classes 0 to {classes - 1}, received {labels.min()} to {labels.max()}; "
            "number the classes from 0."
        )
    return labels.astype("int64")


def same_rows(first: np.ndarray, second: np.ndarray, names: str) -> None:
    """Raises InputError unless both have as many rows."""
    if len(first) != len(second):
        raise InputError(f"Arguments {names}: expected as many rows in each, received {len(first)} and {len(second)}.")
