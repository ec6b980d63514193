"""Sparse features from svmlight files, as dense rows."""

from __future__ import annotations

import gzip
import io
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from sklearn.datasets import load_svmlight_file

from flipgrad.errors import InputError
from flipgrad.inputs._words import Report, reason, shown
from flipgrad.inputs.classes import classes_of
from flipgrad.inputs.formats import Domain, InputFormat

MOST_BYTES = 2**32  # of the dense rows of one domain, and of the text: 4 GiB
Array = np.ndarray[Any, Any]


def read_both(source: Any, target: Any, *, report: Report) -> tuple[InputFormat, Domain, Domain]:
    """See ``read_domains``."""
    (xs, ys), (xt, _) = _load(source, "source"), _load(target, "target")
    report("target: the labels of the svmlight file are ignored")
    # As scikit-learn's "auto" for several files: from 1 on unless any of them has a feature 0.
    zero_based = any(_has_feature_0(x) for x in (xs, xt))
    features = max(xs.shape[1], xt.shape[1]) - (not zero_based)
    if not len(xs.indices) and not len(xt.indices):
        raise InputError("source and target: expected features such as 3:1.5, received rows without any.")
    for x, role in ((xs, "source"), (xt, "target")):
        _check_size(x.shape[0], features, role)
    labels = _labels(ys)
    classes = classes_of(labels, "source, labels")
    counts = all(bool((x.data >= 0).all() and (x.data == np.floor(x.data)).all()) for x in (xs, xt))
    form = InputFormat("sparse", (features,), classes, {"counts": counts, "zero_based": zero_based})
    return (
        form,
        Domain(_dense(xs, form, "source", report), classes.encode(labels), _ids(xs)),
        Domain(_dense(xt, form, "target", report), None, _ids(xt)),
    )


def read_one(path: Any, form: InputFormat, *, labelled: bool, report: Report) -> Domain:
    """See ``read_domain``."""
    x, y = _load(path, "input")
    if not form.detail["zero_based"] and _has_feature_0(x):
        raise InputError("input: expected features numbered from 1 on, as in training, received a feature 0; add 1.")
    dense = _dense(x, form, "input", report)
    return Domain(dense, form.classes.encode(_labels(y), "input, labels") if labelled else None, _ids(x))


def _has_feature_0(x: Any) -> bool:
    return bool(len(x.indices)) and x.indices.min() == 0


def _check_size(rows: int, features: int, role: str) -> None:
    if rows * features * 4 > MOST_BYTES:
        raise InputError(
            f"{role}: expected at most {MOST_BYTES >> 30} GiB as dense float32 rows, received {rows} rows of "
            f"{features} features; keep fewer features or rows."
        )


def _ids(x: Any) -> list[str]:
    return [str(row) for row in range(x.shape[0])]


def _labels(y: Array) -> list[Any]:
    """Whole numbers where all are: the file does not tell 1 from 1.0."""
    return (y.astype(np.int64) if (y == np.floor(y)).all() and abs(y).max() < 2**53 else y).tolist()  # type: ignore[no-any-return]


def _dense(x: Any, form: InputFormat, role: str, report: Report) -> Array:
    """float32 ``(rows, features)``; features beyond those of the format are dropped and reported."""
    features = form.shape[0]
    first = 0 if form.detail["zero_based"] else 1
    _check_size(x.shape[0], features, role)
    beyond = set(x.indices[x.indices >= features + first].tolist())
    if beyond:
        report(f"{role}: dropped {len(beyond)} features beyond the {features} of the training data")
    x = x[:, first : min(features + first, x.shape[1])]
    dense = np.zeros((x.shape[0], features), np.float32)
    with np.errstate(over="ignore"):
        dense[:, : x.shape[1]] = x.astype(np.float32).toarray()
    bad = np.flatnonzero(~np.isfinite(dense).all(axis=1))
    if len(bad):
        raise InputError(
            f"{role}: expected finite numbers, received NaN, infinity or numbers beyond float32 in {len(bad)} of "
            f"{len(dense)} rows, first in row {bad[0]}; remove or correct them."
        )
    return dense


def _load(path: Any, role: str) -> tuple[Any, Array]:
    """The sparse matrix, its columns numbered as in the file, and the labels."""
    try:
        with _open(Path(path)) as file:
            x, y = load_svmlight_file(_Lines(file, role), dtype=np.float64, zero_based=True)
    except InputError:
        raise
    except (ValueError, OverflowError, IndexError, MemoryError) as error:
        raise InputError(
            f"{role}: expected lines such as 1 3:0.5 8:2, a label and then features in ascending order, received "
            f"others ({_why(error)}): {shown(os.fspath(path), 200)}; write 0 where there is no label."
        ) from None
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{role}: {shown(os.fspath(path), 200)} is damaged or unreadable ({reason(error)}).") from None
    if not x.shape[0]:
        raise InputError(f"{role}: expected at least one row, received none: {shown(os.fspath(path), 200)}.")
    if not np.isfinite(y).all():
        raise InputError(f"{role}, labels: expected finite numbers, received NaN or infinity; correct them.")
    return x, y


def _open(path: Path) -> IO[bytes]:
    """The text of the file, unpacked if it is packed, whatever its name."""
    file = path.open("rb")
    packed = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    return io.BufferedReader(gzip.GzipFile(fileobj=file)) if packed else file


def _why(error: Exception) -> str:
    """A few words that show nothing of the file."""
    return "not ascending" if "sorted" in str(error) else type(error).__name__


class _Lines:
    """The lines of a file, which end with an error where a packed file would never end."""

    def __init__(self, file: IO[bytes], role: str) -> None:
        self.file, self.role = file, role

    def read(self) -> bytes:
        """Tells scikit-learn that this is an open file, and is not called."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[bytes]:
        read = 0
        while line := self.file.readline(MOST_BYTES // 16):
            read += len(line)
            if read > MOST_BYTES or len(line) == MOST_BYTES // 16:
                raise InputError(f"{self.role}: expected at most {MOST_BYTES >> 30} GiB of text, received more.")
            yield line
