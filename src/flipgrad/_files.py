"""Files written whole or not at all, strict JSON, and a lock on a folder."""

from __future__ import annotations

import dataclasses
import errno
import json
import math
import os
import re
import secrets
import socket
import sys
from collections.abc import Mapping, Sequence, Set
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np

from flipgrad.errors import InputError

_LIMIT = 64 * 2**20  # bytes of a text file; the largest that flipgrad writes have a few MiB
_RANDOM = "[0-9a-f]" * 8  # in the name of a temporary file


def write_whole(path: Path, content: bytes) -> Path:
    """Writes a whole file or, when killed or out of space, leaves the old one as it was; follows no link.

    Raises:
        InputError: there is a folder of that name.
        OSError: it cannot be written; its ``filename`` is that of the file, not of the temporary one.
    """
    if path.is_dir() and not path.is_symlink():
        raise InputError(f"{path}: expected a file or none, found a folder of that name; move it away or delete it")
    path.parent.mkdir(exist_ok=True)
    for name in leftovers(path):
        with suppress(OSError):
            path.with_name(name).unlink()
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename, error.filename2 = str(path), None
        raise
    return path


def leftovers(path: Path) -> set[str]:
    """The names of what killed writings of this file have left beside it."""
    temporary = re.compile(rf"\.{re.escape(path.name)}\.({_RANDOM}\.)?tmp")
    return {name for name in os.listdir(path.parent) if temporary.fullmatch(name)}


def plain(value: Any) -> Any:
    """The value as JSON can hold it: NaN and infinities as None, NumPy, paths and dataclasses too.

    Raises:
        InputError: a value of another type, named.
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Path):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Sequence | Set) and not isinstance(value, bytes | bytearray):
        return [plain(item) for item in (sorted(value) if isinstance(value, Set) else value)]
    if hasattr(value, "__array__") and (array := np.asarray(value)).dtype.kind in "biufU":
        return plain(array.tolist())
    raise InputError(f"cannot write a {type(value).__name__} as JSON: {value!r}; convert it first")


def locked(path: Path) -> IO[bytes]:
    """The open lock file of a folder; the system frees it when the process ends, however it ends.

    Raises:
        InputError: another process, or another ``Run`` of this one, holds it; or it is a link.
    """
    try:
        file = open(path / ".lock", "a+b", opener=_no_link)  # noqa: SIM115  (held as long as the run is written)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise InputError(f"{path}/.lock: is a link, which flipgrad never makes; delete it") from None
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(2**30)  # behind the text, which stays readable
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        file.seek(0)
        holder = file.read().decode(errors="replace").strip() or "unknown process"
        file.close()
        raise InputError(f"{path}: another command is writing here ({holder}); wait or choose another --out") from None
    except BaseException:
        file.close()
        raise
    file.truncate(0)
    file.write(f"pid {os.getpid()} on {socket.gethostname()}\n".encode())
    file.flush()
    return file


def _no_link(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


def read_text(path: Path, remedy: str = "restore or delete it") -> str:
    """The text of a file that may come from a stranger.

    Raises:
        InputError: a pipe or a device, a file of more than 64 MiB, or one that is not UTF-8; it ends in ``remedy``.
    """
    if not path.is_file():
        raise InputError(f"{path}: expected a file, found none, or a folder, pipe or device; {remedy}")
    try:
        with path.open("rb") as file:
            content = file.read(_LIMIT + 1)
        if len(content) > _LIMIT:
            raise InputError(f"{path}: larger than {_LIMIT // 2**20} MiB; {remedy}")
        return content.decode()
    except (OSError, UnicodeError) as error:
        raise InputError(f"{path}: not readable ({error}); {remedy}") from None


def read_json(path: Path, remedy: str = "restore or delete it") -> Any:
    """The content of a JSON file, NaN and infinities as None; InputError where it is not readable as such."""
    text = read_text(path, remedy)
    try:
        return plain(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not readable as JSON ({error}); {remedy}") from None


def to_json(value: Any) -> bytes:
    """Indented JSON without NaN literals."""
    text = json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    return text.encode(errors="backslashreplace")  # a lone surrogate (odd file name) as \\udcxx
