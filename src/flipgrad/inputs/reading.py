"""Files and folders as domains."""

from __future__ import annotations

import importlib
import os
from typing import Any

import numpy as np

from flipgrad.errors import InputError
from flipgrad.inputs._words import Report, listed, silent
from flipgrad.inputs.formats import Domain, InputFormat
from flipgrad.inputs.kinds import kind_of

Path = str | os.PathLike[str]
_READERS = {"images": "images", "table": "tables", "arrays": "arrays", "sparse": "sparse"}


def read_domains(
    source: Path,
    target: Path,
    *,
    label: str | None = None,
    size: int | tuple[int, int] | None = None,
    skip_bad: bool = False,
    report: Report = silent,
) -> tuple[InputFormat, Domain, Domain]:
    """Reads a labelled source and an unlabelled target, which must be of one kind.

    ============ ============================================ ================================================
    kind         source                                       target
    ============ ============================================ ================================================
    images       a folder with one sub-folder per class       a folder of images; sub-folders are no labels
    table        ``.csv`` or ``.parquet`` with a label column the same columns; a label column is ignored
    arrays       ``.npz`` with ``x`` ``(rows, ...)`` and ``y`` ``.npz`` with ``x``
    sparse       svmlight, also ``.gz``                       the same; the labels are ignored
    ============ ============================================ ================================================

    Whatever is decided from the data, such as the size of images or the categories of a column, is decided on both
    domains and without labels.

    Args:
        source: the labelled file or folder.
        target: the unlabelled one.
        label: the label column of a table; None where it is called label, class, target or y.
        size: of images in pixels, ``(height, width)`` or the side of a square, 1 to 4096.  None: the size that all
            have if it is at most 64, else a square of 224, or of 64 where the median shorter side is under 160.  An
            image of another size is scaled until its shorter side fits, and the middle is cut out: nothing is
            distorted, and the ends of long images are lost.
        skip_bad: whether images that cannot be decoded are left out instead of refused.
        report: called with one line about everything that was ignored, dropped or skipped.

    Returns:
        The format, the source with class numbers, the target with ``y`` None.

    Raises:
        InputError: what cannot be used; one line that says what, where and what to do.
    """
    kind = kind_of(source, "source")
    if kind_of(target, "target") != kind:
        raise InputError(
            f"source and target: expected two of one kind, received {kind} and {kind_of(target, 'target')}; bring "
            "both into the same form."
        )
    _check_options(kind, label=label, size=size)
    options: dict[str, Any] = {"report": report}
    if kind == "table":
        options["label"] = label
    if kind == "images":
        options |= {"size": size, "skip_bad": skip_bad}
    form, read_source, read_target = _reader(kind).read_both(source, target, **options)
    single = [name for name, count in zip(form.classes.names, np.bincount(read_source.y), strict=True) if count == 1]
    if single:
        report(f"source: one sample only of {len(single)} classes, too few to learn from: {listed(single)}")
    return form, read_source, read_target


def read_domain(
    path: Path,
    form: InputFormat,
    *,
    labelled: bool,
    label: str | None = None,
    skip_bad: bool = False,
    report: Report = silent,
) -> Domain:
    """Reads one more file or folder as ``form`` says: to predict, to evaluate, a target test set.

    Args:
        path: of the same kind as the data that ``form`` was made from.
        form: what ``read_domains`` returned.
        labelled: whether labels are read, and so must be there, among the classes of ``form``.
        label: the label column of a table; None where it is called as in the source.
        skip_bad: whether images that cannot be decoded are left out instead of refused.
        report: called with one line about everything that was ignored or skipped.

    Returns:
        The rows; ``y`` is None unless ``labelled``.

    Raises:
        InputError: what cannot be used, such as other columns, other shapes, unknown labels.
    """
    kind = kind_of(path, "input")
    if kind != form.kind:
        raise InputError(f"input: expected {form.kind}, as in training, received {kind}: {os.fspath(path)!r}.")
    _check_options(kind, label=label)
    options: dict[str, Any] = {"labelled": labelled, "report": report}
    if kind == "table":
        options["label"] = label
    if kind == "images":
        options["skip_bad"] = skip_bad
    domain: Domain = _reader(kind).read_one(path, form, **options)
    return domain


def _reader(kind: str) -> Any:
    return importlib.import_module(f"flipgrad.inputs.{_READERS[kind]}")


def _check_options(kind: str, label: Any = None, size: Any = None) -> None:
    if label is not None and kind != "table":
        raise InputError(f"label: expected with tables only, received {label!r} with {kind}; leave it out.")
    if size is not None and kind != "images":
        raise InputError(f"size: expected with images only, received {size!r} with {kind}; leave it out.")
