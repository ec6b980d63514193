"""One domain as an endless stream of batches."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from keras import tree

from flipgrad.errors import InputError


class ArrayStream:
    """Arrays, read pass after pass, each pass in an order of its own.

    Args:
        parts: ``(x,)``, ``(x, y)`` or ``(x, y, sample_weight)``; arrays, or dicts of arrays for ``x``.
        role: ``"source"``, ``"target"`` or ``"target_labelled"``, for messages.
        rows: rows of a batch.
        seed: numbers that fix the order together with the number of the pass.
        allow_missing: whether ``x`` may be NaN.
    """

    def __init__(
        self, parts: tuple[Any, ...], role: str, rows: int | None, seed: list[int], allow_missing: bool = False
    ) -> None:
        self.parts = tuple(as_arrays(part) for part in parts)
        self.length = check_parts(self.parts, role, allow_missing)
        if isinstance(rows, bool) or not isinstance(rows, (int, np.integer)) or rows < 1:
            raise InputError(
                f"Argument `batch_size`: expected a positive whole number for the {role} arrays, received {rows!r}; "
                "give for example 64."
            )
        self.rows = int(rows)
        self.seed = seed
        self.error: InputError | None = None  # of rows that could not be read; what reads them may wrap the error
        self.steps = math.ceil(self.length / self.rows)
        self.sample = self.take(np.arange(1))

    @property
    def labels(self) -> Any:
        """The labels, None without any."""
        return self.parts[1] if len(self.parts) > 1 else None

    def order(self, first_step: int, steps: int) -> np.ndarray:
        """Row numbers of ``steps`` batches from ``first_step`` on: int32 ``(steps, rows)``."""
        begin, end = first_step * self.rows, (first_step + steps) * self.rows
        passes = range(begin // self.length, math.ceil(end / self.length))
        orders = [np.random.default_rng([*self.seed, number]).permutation(self.length) for number in passes]
        skipped = begin - passes.start * self.length
        rows = np.concatenate(orders)[skipped : skipped + end - begin]
        return rows.astype(np.int32).reshape(steps, self.rows)

    def take(self, order: np.ndarray) -> tuple[Any, ...]:
        """The rows numbered ``order`` of every part."""
        return tuple(tree.map_structure(lambda a: self.rows_of(a, order), part) for part in self.parts)

    def rows_of(self, array: Any, order: np.ndarray) -> Any:
        """The rows numbered ``order`` of one array; an image that has vanished since is remembered in ``error``."""
        try:
            return array[order]
        except InputError as error:
            self.error = error
            raise

    def batch(self, step: int) -> tuple[Any, ...]:
        """The batch of one step, counted from the beginning of the run."""
        return self.take(self.order(step, 1)[0])


# Keras reads this many batches before it trains, at most, and then reads them again.
_READ_AHEAD = 4
_CHECKED_AT_A_TIME = 2**24  # values


class LoaderStream:
    """A dataset of batches, begun again whenever it ends.

    Its batches come in turn: ``batch(step)`` gives the next one, or the same one again for a step that was
    asked for a moment ago, so that what Keras looks at before it trains is not lost.
    """

    def __init__(self, loader: Any, role: str, seed: list[int], allow_missing: bool = False) -> None:
        self.loader, self.role, self.seed, self.allow_missing = loader, role, seed, allow_missing
        self.labels = None  # they come batch by batch, see ``begin``
        try:
            self.steps: int | None = len(loader)
        except TypeError:
            self.steps = None
        self._recent: dict[int, tuple[Any, ...]] = {}
        self._check: Callable[[Any], None] | None = None
        self.error: InputError | None = None  # of the batch that was refused; what reads it may wrap the error
        self._batches = self._endless()
        self.sample: tuple[Any, ...] = self._next()
        self._batches = itertools.chain([self.sample], self._batches)

    def begin(self) -> None:
        """A new run: its steps have the same numbers and get new batches."""
        self._recent.clear()

    def check_each(self, check: Callable[[Any], None]) -> None:
        """From now on the labels of every new batch go to ``check``, which raises InputError where they are wrong."""
        self._check, self.error = check, None

    def batch(self, step: int) -> tuple[Any, ...]:
        """The next batch, as NumPy arrays; the same one again for the same ``step``."""
        if step not in self._recent:
            if len(self._recent) == _READ_AHEAD:
                del self._recent[next(iter(self._recent))]
            self._recent[step] = self._next()
        return self._recent[step]

    def _next(self) -> tuple[Any, ...]:
        try:
            batch = next(self._batches)
            check_parts(batch, self.role, self.allow_missing)
            if self._check and len(batch) > 1:
                self._check(batch[1])
        except InputError as error:
            self.error = error
            raise
        return batch

    def _endless(self) -> Iterator[tuple[Any, ...]]:
        number = 0
        while True:
            empty = True
            for batch in self._one_pass(number):
                empty = False
                parts = batch if isinstance(batch, (tuple, list)) else (batch,)
                parts = parts if self.role == "source" else parts[:1]
                yield tuple(tree.map_structure(_to_numpy, part) for part in parts)
            if empty:
                raise InputError(
                    f"Argument `{self.role}`: expected a dataset of one batch or more, received none; look whether it "
                    "is empty or was read to its end."
                )
            number += 1

    def _one_pass(self, number: int) -> Iterator[Any]:
        if not hasattr(self.loader, "__getitem__"):
            yield from self.loader
            return
        order = np.random.default_rng([*self.seed, number]).permutation(len(self.loader))
        for index in order:
            yield self.loader[int(index)]
        if hasattr(self.loader, "on_epoch_end"):
            self.loader.on_epoch_end()


def on_disk(array: Any) -> bool:
    """Whether the rows of an array-like are read or computed when they are asked for.

    That is a memory map, or what has a shape, a NumPy dtype and rows but cannot be converted by NumPy: everything
    that can (pandas, tensors, h5py) is converted, because its rows may be numbered in another way.
    """
    if isinstance(array, np.ndarray):
        return isinstance(array, np.memmap)
    has_rows = all(hasattr(array, name) for name in ("shape", "ndim", "__len__", "__getitem__"))
    return has_rows and isinstance(getattr(array, "dtype", None), np.dtype) and not hasattr(array, "__array__")


def as_arrays(part: Any) -> Any:
    """A list is one array, a dict several."""
    if isinstance(part, list):
        return np.asarray(part)
    return tree.map_structure(lambda array: array if on_disk(array) else np.asarray(array), part)


def _to_numpy(tensor: Any) -> np.ndarray:
    if hasattr(tensor, "detach"):
        tensor = tensor.detach().cpu()
    return np.asarray(tensor)


def check_parts(parts: tuple[Any, ...], role: str, allow_missing: bool = False) -> int:
    """Checks the arrays of one domain at first contact and returns their number of rows.

    Raises:
        InputError: no rows, unequal lengths, NaN (unless ``allow_missing``, and then in x only) or infinity, labels
            that are no whole numbers, objects.
    """
    names = ("x", "y", "sample_weight")
    if role != "target" and len(parts) not in (2, 3):
        raise InputError(
            f"Argument `{role}`: expected (x, y) or (x, y, sample_weight), received {len(parts)} parts; give both."
        )
    lengths = {}
    for name, part in zip(names, parts, strict=False):
        leaves = tree.flatten_with_path(part)
        for path, array in leaves:
            where = f"Argument `{role}`, {'.'.join([name, *map(str, path)])}"
            _check_array(array, where, allow_missing and name == "x")
            lengths[where.split(", ")[1]] = len(array)
    if len(set(lengths.values())) > 1:
        raise InputError(
            f"Argument `{role}`: expected equally many rows in every part, received {lengths}; leave out the excess."
        )
    if len(parts) > 1:
        _check_labels(parts[1], role)
    return next(iter(lengths.values()))


def _check_array(array: Any, where: str, allow_missing: bool) -> None:
    if array.ndim == 0 or len(array) == 0:
        raise InputError(f"{where}: expected at least one row, received shape {array.shape}; give more.")
    # bfloat16 and its kin have kind "V" and are numbers all the same; the strings "1" and "2" are not.
    if array.dtype.kind == "V" and not array.dtype.names and array.dtype.type is not np.void:
        array = array.astype("float32")
    if array.dtype.kind not in "biuf":
        raise InputError(
            f"{where}: expected numbers, received {array.dtype}; encode strings and objects as numbers "
            "(labels: np.unique(y, return_inverse=True)[1])."
        )
    # Rows that are computed when they are asked for would all be computed here.
    if array.dtype.kind == "f" and isinstance(array, np.ndarray) and (bad := _wrong_rows(array, allow_missing)):
        expected, received = ("finite values or NaN", "") if allow_missing else ("finite values", "NaN or ")
        raise InputError(
            f"{where}: expected {expected}, received {received}infinity in {len(bad)} of {len(array)} rows, first "
            f"in row {bad[0]}; remove or fill them."
        )


def _wrong_rows(array: np.ndarray, allow_missing: bool) -> list[int]:
    """Numbers of the rows with infinity or, unless it is allowed, NaN; some rows at a time."""
    step = max(1, _CHECKED_AT_A_TIME * len(array) // max(1, array.size))
    found: list[int] = []
    for begin in range(0, len(array), step):
        rows = array[begin : begin + step]
        wrong = np.isinf(rows) if allow_missing else ~np.isfinite(rows)
        if wrong.any():
            found += (begin + np.flatnonzero(wrong.reshape(len(rows), -1).any(axis=1))).tolist()
    return found


def is_class_numbers(labels: Any) -> bool:
    """Whether ``labels`` are ``(rows,)`` or ``(rows, 1)``, and not one-hot."""
    return tuple(getattr(labels, "shape", (0, 0)))[1:] in ((), (1,))


def _check_labels(labels: Any, role: str) -> None:
    if is_class_numbers(labels) and labels.dtype.kind == "f":
        fractional = labels[labels != np.floor(labels)]
        if len(fractional):
            raise InputError(
                f"Argument `{role}`, y: expected class numbers, received fractions such as "
                f"{fractional[0]}; number the classes 0, 1, 2, ..."
            )
