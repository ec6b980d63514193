"""The three shapes in which every data set comes, and checksums of arrays."""

import hashlib
import os
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flipgrad.errors import InputError

Array = NDArray[Any]


class Samples(NamedTuple):
    """One labelled set.

    Attributes:
        x: the inputs, one row per sample, ``(n, ...)``.
        y: their classes, ``(n,)`` int32, counted from 0.
    """

    x: Array
    y: Array


class Splits(NamedTuple):
    """One data set: to train on, to choose settings on (where there is such a set), to report."""

    train: Samples
    validation: Samples | None
    test: Samples


class DomainPair(NamedTuple):
    """The two domains of an adaptation problem; as numbers the source is 0 and the target is 1."""

    source: Splits
    target: Splits


def sha256(array: Array) -> str:
    """The SHA-256 of the array's bytes in C order, as 64 hexadecimal digits.

    Shape and dtype do not enter: two arrays with the same bytes have the same checksum.
    """
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()


def checksums(arrays: Mapping[str, Array]) -> dict[str, str]:
    """The SHA-256 of every array, under the same names, for the configuration of a run.

    >>> checksums({"y": np.zeros(4, "uint8")})["y"][:8]
    'df3f6198'
    """
    return {name: sha256(array) for name, array in arrays.items()}


def save(path: str | os.PathLike[str], splits: Splits) -> None:
    """Write the splits to one ``.npz`` file.

    The file is written under a temporary name beside its own and then renamed, so that a half file
    never has the name.

    Args:
        path: of the file; an existing one is replaced.
        splits: what to write, under ``x_train``, ``y_train``, ``x_validation`` and so on.

    Raises:
        InputError: when the name does not end in ``.npz`` or the file cannot be written.
    """
    path = Path(path)
    if path.suffix != ".npz":
        raise InputError(f"{path}: the name of a saved data set must end in .npz; rename it.")
    arrays = {
        f"{part}_{name}": array
        for name, samples in splits._asdict().items()
        if samples is not None
        for part, array in samples._asdict().items()
    }
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.npz")
    try:
        np.savez(temporary, **arrays)
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error}); choose another place or free some space.") from error
    finally:
        temporary.unlink(missing_ok=True)


def load(path: str | os.PathLike[str]) -> Splits:
    """Read what ``save`` wrote.

    Args:
        path: of the ``.npz`` file.

    Returns:
        The splits.

    Raises:
        InputError: when the file is missing, damaged or not such a file.
    """
    names = ("x_train", "y_train", "x_test", "y_test")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise InputError(f"{path}: expected a saved data set, received no such file; give the path of one.") from None
    except (OSError, ValueError, EOFError, TypeError, zlib.error, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path}: expected a .npz file of a saved data set, received a damaged or another one "
            f"({' '.join(str(error).split())}); make it again."
        ) from error
    if not set(names) <= set(arrays):
        raise InputError(
            f"{path}: expected the arrays {', '.join(names)}, received {', '.join(arrays) or 'none'}; make it again."
        )
    _check_rows(path, arrays)
    return Splits(
        Samples(arrays["x_train"], arrays["y_train"]),
        Samples(arrays["x_validation"], arrays["y_validation"])
        if {"x_validation", "y_validation"} <= set(arrays)
        else None,
        Samples(arrays["x_test"], arrays["y_test"]),
    )


def _check_rows(path: str | os.PathLike[str], arrays: Mapping[str, Array]) -> None:
    """InputError unless every x_... has as many rows as its y_..."""
    for part in ("train", "validation", "test"):
        x, y = arrays.get(f"x_{part}"), arrays.get(f"y_{part}")
        if x is not None and y is not None and (y.ndim != 1 or x.shape[:1] != y.shape):
            raise InputError(
                f"{path}: expected as many rows in x_{part} as in y_{part}, "
                f"received the shapes {x.shape} and {y.shape}; make it again."
            )
