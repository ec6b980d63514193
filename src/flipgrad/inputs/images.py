"""Folders of images."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flipgrad.errors import InputError
from flipgrad.inputs._decoding import BadImageError, ImageRows, decode, each, size_of
from flipgrad.inputs._listing import image_files
from flipgrad.inputs._words import Report, listed, shown
from flipgrad.inputs.classes import Classes, classes_of
from flipgrad.inputs.formats import Domain, InputFormat

IN_MEMORY = 256_000_000  # bytes of pixels up to which a folder is decoded once
_SMALL = 64  # the largest common size that is kept, and the square for small images
_LARGE = 224  # the square that the usual backbones were trained on
_LARGE_FROM = 160  # median shorter side from which on images are large
Size = tuple[int, int]


def read_both(
    source: Any, target: Any, *, size: int | Size | None, skip_bad: bool, report: Report
) -> tuple[InputFormat, Domain, Domain]:
    """See ``read_domains``."""
    folders = {"source": Path(source), "target": Path(target)}
    wanted = None if size is None else _checked_size(size)
    files = {role: image_files(folder, role, report, labelled=role == "source") for role, folder in folders.items()}
    labels_of(files["source"], "source")  # before anything is decoded
    if wanted is None:
        wanted = _common_size(folders, files)
    rows = {role: _rows(folders[role], files[role], wanted, role, skip_bad, report) for role in folders}
    (xs, source_ids), (xt, target_ids) = rows["source"], rows["target"]
    labels = labels_of(source_ids, "source")
    classes = classes_of(labels, "source")
    form = InputFormat("images", (*wanted, 3), classes, {"size": list(wanted)})
    return form, Domain(xs, classes.encode(labels), source_ids), Domain(xt, None, target_ids)


def read_one(path: Any, form: InputFormat, *, labelled: bool, skip_bad: bool, report: Report) -> Domain:
    """See ``read_domain``."""
    folder = Path(path)
    files = image_files(folder, "input", report, labelled=labelled)
    if labelled:
        _encoded(files, form.classes)
    size = form.shape[0], form.shape[1]
    x, ids = _rows(folder, files, size, "input", skip_bad, report)
    return Domain(x, _encoded(ids, form.classes) if labelled else None, ids)


def labels_of(files: list[str], role: str) -> list[str]:
    """The first folder of each path, which is its class.

    Raises:
        InputError: images that lie in no such folder.
    """
    outside = [file for file in files if "/" not in file]
    if outside:
        raise InputError(
            f"{role}: expected one sub-folder per class, received {len(outside)} images of {len(files)} outside of "
            f"them: {listed(outside, 3)}; move them into folders named after their classes."
        )
    return [file.split("/")[0] for file in files]


def _encoded(files: list[str], classes: Classes) -> NDArray[np.int32]:
    return classes.encode(labels_of(files, "input"), "input, sub-folders")


def _checked_size(size: Any) -> Size:
    pair = size if isinstance(size, (tuple, list)) else (size, size)
    if len(pair) != 2 or any(isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= 4096 for n in pair):
        raise InputError(
            f"size: expected pixels from 1 to 4096, one number or (height, width), received {shown(size)}; correct it."
        )
    return pair[0], pair[1]


def _common_size(folders: dict[str, Path], files: dict[str, list[str]]) -> Size:
    """The size for both domains, from the headers of all images."""
    paths = [folders[role] / file for role in folders for file in files[role]]

    def known(number: int) -> Size | None:
        try:
            return size_of(paths[number])
        except BadImageError:  # named when it is decoded
            return None

    with warnings.catch_warnings(action="ignore"):
        sizes = [size for size in each(known, len(paths)) if size]
    if len(set(sizes)) == 1 and max(sizes[0]) <= _SMALL:
        return sizes[0]
    side = _LARGE if sizes and np.median([min(size) for size in sizes]) >= _LARGE_FROM else _SMALL
    return side, side


def _rows(
    folder: Path, files: list[str], size: Size, role: str, skip_bad: bool, report: Report
) -> tuple[Any, list[str]]:
    """Pixels, in memory where they are few, and the files they came from; every file has been decoded once."""
    in_memory = len(files) * size[0] * size[1] * 3 <= IN_MEMORY
    pixels = np.empty((len(files) if in_memory else 0, *size, 3), np.uint8)

    def problem(number: int) -> str:
        try:
            decoded = decode(folder / files[number], size)
        except BadImageError as bad:
            return str(bad)
        if in_memory:
            pixels[number] = decoded
        return ""

    with warnings.catch_warnings(action="ignore"):  # Pillow's, about metadata and about sizes refused here
        problems = each(problem, len(files))
    good = [number for number, why in enumerate(problems) if not why]
    if len(good) < len(files):
        bad = [f"{file} ({why})" for file, why in zip(files, problems, strict=True) if why]
        _handle_bad(bad, len(files), role, skip_bad, report)
        files = [files[number] for number in good]
        pixels = pixels[good] if in_memory else pixels
    return (pixels if in_memory else ImageRows(folder, files, size)), files


def _handle_bad(bad: list[str], count: int, role: str, skip_bad: bool, report: Report) -> None:
    named = ", ".join(bad[:3]) + (f" and {len(bad) - 3} more" if len(bad) > 3 else "")
    named = named if named.isprintable() else ascii(named)
    if len(bad) == count:
        raise InputError(f"{role}: expected images, received {count} files none of which can be decoded: {named}.")
    if not skip_bad:
        raise InputError(
            f"{role}: expected images, received {len(bad)} of {count} files that cannot be decoded: {named}; remove "
            "them, or leave them out with skip_bad=True (--skip-bad)."
        )
    report(f"{role}: skipped {len(bad)} of {count} images that cannot be decoded: {named}")
