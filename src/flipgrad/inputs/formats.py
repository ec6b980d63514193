"""One domain as rows, and what must be known to read another file as the same kind of rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flipgrad.errors import InputError
from flipgrad.inputs.classes import Classes

KINDS = ("images", "table", "arrays", "sparse")
COLUMN_KINDS = ("number", "boolean", "category")
MOST_CATEGORIES = 100


@dataclass(frozen=True)
class Domain:
    """One domain.

    Attributes:
        x: an array ``(rows, ...)``, or an array-like whose rows are decoded when they are asked for.
        y: class numbers, int32 ``(rows,)``; None where no labels were read.
        ids: one text a row: the file below the folder, with ``/``, or the number of the row from 0 on.
    """

    x: Any
    y: NDArray[np.int32] | None
    ids: list[str]

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: NDArray[np.int64]) -> Domain:
        """The rows of these numbers; what is not in memory stays where it is."""
        y = None if self.y is None else self.y[rows]
        return Domain(take_rows(self.x, rows), y, [self.ids[row] for row in rows])


def take_rows(x: Any, rows: NDArray[np.int64]) -> Any:
    """The rows of these numbers of an array; what is not in memory stays where it is."""
    return x[rows] if type(x) is np.ndarray else SomeRows(x, rows)


class SomeRows:
    """Some rows of an array-like that is too large to copy, read when they are asked for.

    Args:
        x: the array-like.
        rows: the numbers of its rows.
    """

    def __init__(self, x: Any, rows: NDArray[np.int64]) -> None:
        self.x, self.rows = x, rows
        self.shape, self.dtype, self.ndim = (len(rows), *x.shape[1:]), x.dtype, x.ndim

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: Any) -> Any:
        return self.x[self.rows[rows]]


@dataclass(frozen=True)
class InputFormat:
    """How the files of a data set are read; JSON can hold all of it.

    Attributes:
        kind: ``"images"``, ``"table"``, ``"arrays"`` or ``"sparse"``.
        shape: of one row.
        classes: of the source.
        detail: what this kind needs to know.  Images: ``size``, [height, width] in pixels.  Tables: ``label``, the
            name of that column, and ``columns``, a list of ``{"name", "kind"}`` with ``categories`` where the kind is
            category.  Arrays: ``dtype``, uint8 or float32.  Sparse: ``counts``, whether all values are whole and not
            negative, and ``zero_based``, whether the numbers of the features begin with 0.

    Raises:
        InputError: anything that does not fit together.
    """

    kind: str
    shape: tuple[int, ...]
    classes: Classes
    detail: dict[str, Any]

    def __post_init__(self) -> None:
        if self.kind not in list(KINDS):
            raise InputError(f"input format: expected one of the kinds {', '.join(KINDS)}; restore the file.")
        whole = isinstance(self.shape, tuple) and all(type(n) is int and 0 < n < 2**31 for n in self.shape)
        if not whole or not 0 < len(self.shape) < 8:
            raise InputError("input format: expected a shape of positive whole numbers; restore the file.")
        if not isinstance(self.classes, Classes) or not isinstance(self.detail, dict):
            raise InputError("input format: expected classes and a description; restore the file.")
        if not _CHECKS[self.kind](self.shape, self.detail):
            raise InputError(f"input format: the description of the {self.kind} does not hold; restore the file.")

    def to_dict(self) -> dict[str, Any]:
        """The format as JSON can hold it."""
        return {
            "kind": self.kind,
            "shape": list(self.shape),
            "classes": self.classes.to_dict(),
            "detail": self.detail,
        }

    @classmethod
    def from_dict(cls, described: Any) -> InputFormat:
        """The format that ``to_dict`` described; nothing in ``described`` is trusted.

        Raises:
            InputError: anything else.
        """
        if not isinstance(described, Mapping) or set(described) != {"kind", "shape", "classes", "detail"}:
            raise InputError(
                "input format: expected kind, shape, classes and detail, received something else; restore the file."
            )
        if not isinstance(described["shape"], list):
            raise InputError("input format: expected a list as the shape; restore the file.")
        classes = Classes.from_dict(described["classes"])
        return cls(described["kind"], tuple(described["shape"]), classes, described["detail"])


def _images(shape: tuple[int, ...], detail: dict[str, Any]) -> bool:
    return set(detail) == {"size"} and detail["size"] == list(shape[:2]) and shape[2:] == (3,) and max(shape) <= 4096


def _table(shape: tuple[int, ...], detail: dict[str, Any]) -> bool:
    if set(detail) != {"label", "columns"} or type(detail["label"]) is not str or type(detail["columns"]) is not list:
        return False
    columns = detail["columns"]
    names = [column.get("name") for column in columns if type(column) is dict]
    if len(names) != len(columns) or any(type(name) is not str for name in [*names]):
        return False
    distinct = len({*names, detail["label"]}) == len(names) + 1
    return distinct and shape == (len(columns),) and all(map(_is_column, columns))


def _is_column(column: dict[str, Any]) -> bool:
    if column.get("kind") not in list(COLUMN_KINDS):
        return False
    if column["kind"] != "category":
        return set(column) == {"name", "kind"}
    categories = column.get("categories")
    return (
        set(column) == {"name", "kind", "categories"}
        and type(categories) is list
        and 0 < len(categories) <= MOST_CATEGORIES
        and all(type(category) is str for category in categories)
        and len(set(categories)) == len(categories)
    )


def _arrays(shape: tuple[int, ...], detail: dict[str, Any]) -> bool:
    return set(detail) == {"dtype"} and detail["dtype"] in ["uint8", "float32"]


def _sparse(shape: tuple[int, ...], detail: dict[str, Any]) -> bool:
    booleans = all(type(value) is bool for value in detail.values())
    return set(detail) == {"counts", "zero_based"} and booleans and len(shape) == 1


_CHECKS = {"images": _images, "table": _table, "arrays": _arrays, "sparse": _sparse}
