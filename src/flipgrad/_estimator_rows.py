"""What the scikit-learn estimator does with rows before Keras is imported."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import check_array

from flipgrad.errors import InputError


def checked_weights(sample_weight: Any, rows: int) -> np.ndarray | None:
    """The weights as float64 ``(rows,)``; None where there are none.

    Raises:
        InputError: another number of weights, negative ones, or only zeros.
    """
    if sample_weight is None:
        return None
    weights: np.ndarray = check_array(sample_weight, ensure_2d=False, dtype=np.float64, input_name="sample_weight")
    if weights.shape != (rows,) or weights.min() < 0 or weights.max() == 0:
        raise InputError(
            f"sample_weight: expected one weight a row, none negative and not all zero, received shape "
            f"{weights.shape} for {rows} rows, {weights.min():g} to {weights.max():g}."
        )
    return weights


def split_domains(
    x: np.ndarray, y: np.ndarray, weights: np.ndarray | None, target: np.ndarray | None, unlabeled_label: Any
) -> tuple[tuple[np.ndarray, ...], np.ndarray | None]:
    """The labelled rows of the source and the rows of the target.

    Args:
        x: rows.
        y: their labels.
        weights: of the rows, or None.
        target: rows of the target, or None.
        unlabeled_label: the label of rows of ``x`` that are the target; None for no such label.

    Returns:
        ``((x, y) or (x, y, weights), target or None)``.  Rows of weight 0 are left out and the weights have mean 1, so
        that they do not move the balance between the classes and the domains.  All rows have one dtype.

    Raises:
        InputError: no labelled rows; no target, or two of them, where ``unlabeled_label`` is given.
    """
    used = np.ones(len(y), bool) if weights is None else weights > 0
    if unlabeled_label is not None:
        unlabeled = np.array([label == unlabeled_label for label in y.tolist()], bool)
        if unlabeled.any() == (target is not None):
            raise InputError(
                f"Argument `unlabeled_label`: expected rows with y == {unlabeled_label!r}, or X_target, received "
                f"{'neither' if target is None else 'both'}; give the target in one way."
            )
        target = x[unlabeled] if target is None else target
        used &= ~unlabeled
    if not used.any():
        raise InputError("y: expected labelled rows of two classes or more, received none.")
    if target is not None and target.dtype != x.dtype:
        x, target = x.astype("float32"), target.astype("float32")
    if not used.all():
        x, y = x[used], y[used]
    if weights is None:
        return (x, y), target
    return (x, y, (weights[used] / weights[used].mean()).astype("float32")), target


def labelled_rows(
    target: np.ndarray | None, y_target: Any, classes: np.ndarray, unlabeled_label: Any
) -> tuple[np.ndarray, np.ndarray] | None:
    """The rows of the target that have labels, and the numbers of their classes, int32; None where none has.

    Args:
        target: rows of the target, or None.
        y_target: their labels; None, NaN or ``unlabeled_label`` for a row without one.  Or None for no labels.
        classes: the labels of the source, in the order of their numbers.
        unlabeled_label: see ``split_domains``.

    Raises:
        InputError: labels without rows, another number of labels than rows, a label that the source does not have.
    """
    if y_target is None:
        return None
    given = np.asarray(y_target, dtype=object)
    rows = 0 if target is None else len(target)
    if target is None or given.shape != (rows,):
        raise InputError(f"y_target: expected one label or None a row of X_target ({rows}), received {given.shape}.")
    labels = given.tolist()
    missing = (unlabeled_label,) if unlabeled_label is not None else ()
    if odd := [label for label in labels if not label.__hash__]:
        raise InputError(f"y_target: expected labels of y or None, received a {type(odd[0]).__name__}; give labels.")
    known = [row for row, label in enumerate(labels) if not (_is_missing(label) or label in missing)]
    numbers = {label: number for number, label in enumerate(classes.tolist())}
    booleans = any(map(_is_bool, classes.tolist()))  # True equals 1, and is another label
    if unknown := [labels[row] for row in known if labels[row] not in numbers or _is_bool(labels[row]) != booleans]:
        raise InputError(
            f"y_target: expected labels of y or None, received {unknown[0]!r} and {len(unknown) - 1} more that y does "
            "not have; leave them out, or give source rows of that class."
        )
    if not known:
        return None
    return target[known], np.array([numbers[labels[row]] for row in known], "int32")


def _is_bool(label: Any) -> bool:
    return isinstance(label, (bool, np.bool_))


def _is_missing(label: Any) -> bool:
    return label is None or type(label).__name__ == "NAType" or label != label
