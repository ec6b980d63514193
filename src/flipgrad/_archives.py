"""Zip archives from anywhere, looked through before anything of them is unpacked."""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import NoReturn

from flipgrad.errors import InputError

# Keras and NumPy store without compression, so all members together are as large as the file.  Whoever packs a file
# again gains a factor of two; zeros alone give a thousand.
_EXPANSION = 20
_FLOOR = 64 * 2**20


@contextmanager
def open_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    """Opens an archive for reading.

    Raises:
        InputError: no readable zip archive, or one with members that lead out of it, links, encrypted or repeated
            members, or a size out of proportion.
    """
    if not path.is_file():
        what = "expected a file, found a folder" if path.is_dir() else "there is no such file"
        raise InputError(f"{path}: {what}; check the name")
    try:
        archive = zipfile.ZipFile(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        size = path.stat().st_size
        raise InputError(f"{path}: not a zip archive, or cut short ({size} bytes); fetch or save it again") from None
    with archive:
        _check_members(archive, path)
        yield archive


def _check_members(archive: zipfile.ZipFile, path: Path) -> None:
    seen: set[str] = set()
    for info in archive.infolist():
        name = info.orig_filename  # `filename` ends at a NUL
        kind = stat.S_IFMT(info.external_attr >> 16)
        parts = PurePosixPath(name).parts
        if not parts or parts[0] == "/" or ".." in parts or any(sign in name for sign in "\\:\0"):
            _refuse(path, name, "leads out of the archive")
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            _refuse(path, name, "is a link or a device")
        if info.flag_bits & 1:
            _refuse(path, name, "is encrypted")
        if name in seen:
            _refuse(path, name, "is there twice")
        seen.add(name)
    size, unpacked = path.stat().st_size, sum(info.file_size for info in archive.infolist())
    if unpacked > max(_FLOOR, _EXPANSION * size):
        raise InputError(
            f"{path}: expected members of about the size of the file, {size / 2**20:.1f} MiB, but they would unpack to "
            f"{unpacked / 2**20:.0f} MiB; do not trust it"
        )


def _refuse(path: Path, name: str, why: str) -> NoReturn:
    raise InputError(f"{path}: member {name[:80]!r} {why}; do not trust it")
