"""Which kind of input a path is, by its ending or, where that says nothing, by its content."""

from __future__ import annotations

import gzip
import os
import re
import zipfile
import zlib
from pathlib import Path

from flipgrad.errors import InputError
from flipgrad.inputs._words import reason, shown

_ENDINGS = {
    ".csv": "table",
    ".tsv": "table",
    ".parquet": "table",
    ".pq": "table",
    ".npz": "arrays",
    ".svmlight": "sparse",
    ".svm": "sparse",
    ".libsvm": "sparse",
}
EXPECTED = (
    "a folder of images, a table (.csv, .parquet), arrays (.npz) or sparse features (.svmlight, .svmlight.gz; also "
    ".svm, .libsvm)"
)
_SVMLIGHT = re.compile(rb"[-+]?[0-9][-+.eE0-9]*(\s+qid:[0-9]+)?(\s+[0-9]+:[-+.eE0-9a-zA-Z]+)+\s*(#.*)?")


def kind_of(path: str | os.PathLike[str], role: str) -> str:
    """``"images"``, ``"table"``, ``"arrays"`` or ``"sparse"``.

    Args:
        path: of a folder or a file.
        role: what it is to the user, for messages: source, target, input.

    Raises:
        InputError: nothing there, nothing in it, or something else.
    """
    path = Path(path)
    try:
        if path.is_dir():
            return "images"
        if not path.is_file():
            what = "something else" if path.exists() else "a path where nothing is"
            raise InputError(f"{role}: expected {EXPECTED}, received {what}: {shown(str(path), 200)}.")
        endings = [ending.lower() for ending in path.suffixes]
        if endings[-1:] == [".gz"]:
            endings.pop()
        with path.open("rb") as file:
            start = file.read(4096)
        if not start:
            raise InputError(f"{role}: expected {EXPECTED}, received an empty file: {shown(str(path), 200)}.")
        kind = _ENDINGS.get(endings[-1] if endings else "") or _by_content(path, start)
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{role}: {shown(str(path), 200)} cannot be read ({reason(error)}).") from None
    if kind is None:
        raise InputError(f"{role}: expected {EXPECTED}, received a file of another kind: {shown(str(path), 200)}.")
    return kind


def _by_content(path: Path, start: bytes) -> str | None:
    if start[:4] == b"PAR1":
        return "table"
    if start[:4] == b"PK\x03\x04":
        return "arrays" if _holds_arrays(path) else None
    packed = start[:2] == b"\x1f\x8b"
    if packed:
        try:
            with gzip.open(path) as file:
                start = file.read(4096)
        except (OSError, EOFError, zlib.error):
            return None
    lines = [line for line in start.splitlines() if line.strip() and not line.startswith(b"#")]
    first = lines[0] if lines else b""
    if _SVMLIGHT.fullmatch(first) or (lines == [first] and _SVMLIGHT.match(first)):
        return "sparse"
    is_text = b"\0" not in start and any(separator in first for separator in (b",", b";", b"\t"))
    return "table" if is_text and not packed else None


def _holds_arrays(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):
        return False
    return bool(names) and all(name.endswith(".npy") for name in names)
