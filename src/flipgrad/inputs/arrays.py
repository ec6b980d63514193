"""Arrays from ``.npz`` files."""

from __future__ import annotations

import os
import zipfile
import zlib
from typing import Any, cast

import numpy as np

from flipgrad.errors import InputError
from flipgrad.inputs._words import Report, listed, reason, shown
from flipgrad.inputs.classes import classes_of
from flipgrad.inputs.formats import Domain, InputFormat

MOST_BYTES = 2**33  # of one array: 8 GiB
Array = np.ndarray[Any, Any]


def read_both(source: Any, target: Any, *, report: Report) -> tuple[InputFormat, Domain, Domain]:
    """See ``read_domains``."""
    xs, labels = _load(source, "source", labelled=True, report=report)
    xt, _ = _load(target, "target", labelled=False, report=report)
    if xs.shape[1:] != xt.shape[1:]:
        raise InputError(
            f"source and target: expected rows of one shape, received {xs.shape[1:]} and {xt.shape[1:]}; bring both "
            "to the same shape."
        )
    dtype = "uint8" if xs.dtype == xt.dtype == np.uint8 else "float32"
    if (xs.dtype == np.uint8) != (xt.dtype == np.uint8):
        report(f"x is {xs.dtype} in the source and {xt.dtype} in the target; make sure that both have one scale")
    values = _values(labels, "source, y")
    classes = classes_of(values, "source, y")
    form = InputFormat("arrays", xs.shape[1:], classes, {"dtype": dtype})
    y = classes.encode(values)
    return (
        form,
        Domain(_as_dtype(xs, dtype, "source, x"), y, _ids(xs)),
        Domain(_as_dtype(xt, dtype, "target, x"), None, _ids(xt)),
    )


def read_one(path: Any, form: InputFormat, *, labelled: bool, report: Report) -> Domain:
    """See ``read_domain``."""
    x, labels = _load(path, "input", labelled=labelled, report=report)
    if x.shape[1:] != form.shape:
        raise InputError(f"input, x: expected rows of shape {form.shape}, as in training, received {x.shape[1:]}.")
    y = form.classes.encode(_values(labels, "input, y"), "input, y") if labelled else None
    return Domain(_as_dtype(x, form.detail["dtype"], "input, x"), y, _ids(x))


def _ids(x: Array) -> list[str]:
    return [str(row) for row in range(len(x))]


def _load(path: Any, role: str, labelled: bool, report: Report) -> tuple[Array, Array | None]:
    """``x`` and, where asked for, ``y`` of one file."""
    wanted = ("x", "y") if labelled else ("x",)
    try:
        with np.load(path, allow_pickle=False) as file:
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise InputError(
                    f"{role}: expected a .npz file, received a single array; save it with np.savez(x=...)."
                )
            missing = [name for name in wanted if name not in file.files]
            if missing:
                raise InputError(
                    f"{role}: expected the arrays {listed(wanted)}, received {listed(file.files) or 'none'}; save "
                    f"{'the labels as y' if missing == ['y'] else 'the rows as x'}."
                )
            for name in wanted:
                _check_member(cast(zipfile.ZipFile, file.zip), name, role)
            arrays = [file[name] for name in wanted]
            ignored = [name for name in file.files if name not in wanted]
    except InputError:
        raise
    # What NumPy and zipfile raise about damaged files is not written down anywhere.
    except (OSError, ValueError, EOFError, KeyError, TypeError, SyntaxError, NotImplementedError, RuntimeError,
            MemoryError, zlib.error, zipfile.BadZipFile) as error:  # fmt: skip
        why = "objects, which could run code" if "allow_pickle" in str(error) else f"a damaged file ({reason(error)})"
        raise InputError(
            f"{role}: expected a .npz file of numbers and labels, received {why}: {shown(os.fspath(path), 200)}; "
            "save it again from arrays of numbers or texts."
        ) from None
    if ignored:
        why = " (labels are not used here)" if ignored == ["y"] else ""
        report(f"{role}: ignored the arrays {listed(ignored)}{why}")
    x, y = arrays[0], arrays[1] if labelled else None
    _check_rows(x, y, role)
    return x, y


def _check_member(archive: zipfile.ZipFile, name: str, role: str) -> None:
    """InputError where the array would be unpacked to more than ``MOST_BYTES``."""
    name = f"{name}.npy" if f"{name}.npy" in archive.namelist() else name
    with archive.open(name) as member:
        version = np.lib.format.read_magic(member)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(member)
    size = dtype.itemsize
    for length in shape:
        size *= int(length)
    if max(size, archive.getinfo(name).file_size) > MOST_BYTES:
        raise InputError(f"{role}, {name}: expected at most {MOST_BYTES >> 30} GiB unpacked, received more; divide it.")


def _check_rows(x: Array, y: Array | None, role: str) -> None:
    if x.dtype.kind not in "biuf":
        raise InputError(f"{role}, x: expected numbers, received {x.dtype}; encode everything else as numbers.")
    if x.ndim < 2 or 0 in x.shape or x.ndim > 7:
        raise InputError(
            f"{role}, x: expected rows along the first of two to seven axes, none of them empty, received the shape "
            f"{x.shape}{'; one number a row is x[:, None].' if x.ndim == 1 and len(x) else '.'}"
        )
    if y is not None and (y.ndim > 2 or y.shape not in ((len(x),), (len(x), 1))):
        raise InputError(
            f"{role}: expected one label a row, received x of shape {x.shape} and y of shape {y.shape}; of one-hot "
            "labels save y.argmax(-1)."
        )


def _as_dtype(x: Array, dtype: str, where: str) -> Array:
    """Finite rows in the type of the format, nothing rounded to something else."""
    if dtype == "uint8" and x.dtype != np.uint8:
        with np.errstate(invalid="ignore"):
            whole = x.astype(np.uint8)
        if x.dtype == bool or not (whole == x).all():
            raise InputError(
                f"{where}: expected pixels of type uint8, 0 to 255, as in training, received {x.dtype}; scale and "
                "round them as the training data were."
            )
        return whole
    with np.errstate(over="ignore"):
        rows = x.astype(dtype, copy=False)
    if rows.dtype.kind == "f":
        finite = np.isfinite(rows).reshape(len(rows), -1).all(axis=1)
        if not finite.all():
            raise InputError(
                f"{where}: expected finite numbers, received NaN, infinity or numbers beyond float32 in "
                f"{(~finite).sum()} of {len(x)} rows, first in row {int(finite.argmin())}; remove or fill them."
            )
    return rows


def _values(labels: Array | None, where: str) -> list[Any]:
    """The labels as Python values, none missing."""
    assert labels is not None
    labels = labels.reshape(-1)
    if labels.dtype.kind == "S":
        try:
            labels = np.char.decode(labels, "utf-8")
        except UnicodeDecodeError:
            raise InputError(f"{where}: expected texts in UTF-8, received other bytes; save str labels.") from None
    if labels.dtype.kind not in "biufU":
        raise InputError(
            f"{where}: expected whole numbers, texts or booleans, received {labels.dtype}; convert the labels."
        )
    if labels.dtype.kind == "f" and (bad := int((~np.isfinite(labels)).sum())):
        raise InputError(f"{where}: expected a label in every row, received none in {bad} of {len(labels)}; drop them.")
    values: list[Any] = labels.tolist()
    return values
