"""Files written whole or not at all, strict JSON, and a lock on a folder."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import socket
import sys
from collections.abc import Mapping, Sequence, Set
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np

from flipgrad.errors import InputError


def write_whole(path: Path, content: bytes) -> Path:
    """Writes a whole file or, when killed or out of space, leaves the old one as it was."""
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    return path


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
        InputError: another process, or another ``Run`` of this one, holds it.
    """
    file = (path / ".lock").open("a+b")
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


def read_json(path: Path) -> Any:
    """The content of a JSON file; InputError where it is not readable as such."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not readable as JSON ({error}); restore or delete it") from None


def to_json(value: Any) -> bytes:
    """Indented JSON without NaN literals."""
    text = json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    return text.encode(errors="backslashreplace")  # a lone surrogate (odd file name) as \\udcxx
