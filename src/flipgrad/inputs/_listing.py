"""The image files below a folder."""

from __future__ import annotations

import os
from pathlib import Path

from flipgrad.errors import InputError
from flipgrad.inputs._decoding import ENDINGS
from flipgrad.inputs._words import Report, listed, reason, shown


def image_files(folder: Path, role: str, report: Report, *, labelled: bool = False) -> list[str]:
    """Paths of all images below ``folder``, relative to it, with ``/``, sorted.

    Links are followed; a folder that several links lead to is read once, so that loops of links end.  Hidden files
    and those without the ending of an image are reported and left out; where the folders are classes (``labelled``),
    those without an image are reported too.

    Raises:
        InputError: a folder that cannot be listed, or none with images.
    """
    images: list[str] = []
    others: list[str] = []
    again: list[str] = []
    top: list[str] = []  # the folders directly below, which may be the classes
    seen: set[tuple[int, int]] = set()
    waiting = [""]
    while waiting:
        place = waiting.pop(0)
        try:
            with os.scandir(folder / place) as entries:
                inside = sorted(entries, key=lambda entry: (entry.is_symlink(), entry.name))
            known = os.stat(folder / place)
        except OSError as error:
            raise InputError(
                f"{role}: the folder {shown(str(folder / place), 200)} cannot be read ({reason(error)})."
            ) from None
        if (known.st_dev, known.st_ino) in seen:
            again.append(place)
            continue
        seen.add((known.st_dev, known.st_ino))
        for entry in inside:
            path = f"{place}/{entry.name}".lstrip("/")
            if entry.name.startswith(".") or entry.name == "__MACOSX":
                others.append(path)
            elif _is_folder(entry):
                waiting.append(path)
                if not place:
                    top.append(path)
            else:
                is_image = os.path.splitext(entry.name)[1].lower() in ENDINGS
                (images if is_image else others).append(path)
    if again:
        report(f"{role}: ignored {len(again)} links to folders that were read already: {listed(again, 3)}")
    if others:
        report(f"{role}: ignored {len(others)} files that are hidden or no images: {listed(others, 3)}")
    if not images:
        raise InputError(
            f"{role}: expected images ({', '.join(sorted(ENDINGS))}), received a folder without any: "
            f"{shown(str(folder), 200)}."
        )
    if labelled and (empty := sorted({*top} - {*again} - {image.split("/")[0] for image in images})):
        report(f"{role}: {len(empty)} sub-folders without an image are no classes: {listed(empty, 3)}")
    return sorted(images)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False
