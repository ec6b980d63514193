"""What the program says when it cannot do what was asked: one line, and an exit code."""

from __future__ import annotations

import difflib
import errno
import sys
from collections.abc import Iterable

from flipgrad.errors import InputError

REFUSED = 2
UNWRITTEN = 3  # what was asked for is done and valid, but a page of it could not be written
INTERRUPTED = 130  # 128 + SIGINT, as shells expect
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


def one_line(error: Exception) -> str | None:
    """The message for an error that the user can mend; None for any other: a fault of ours."""
    if isinstance(error, InputError):
        text = str(error)
    elif isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        text = f"{place}{error.strerror or error}; {_remedy(error)}choose another place"
    elif hasattr(error, "format_message"):
        # A wrong use of options.  Its class lives in click or in typer, by typer's version.
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "flipgrad"
        text = f"{error.format_message().rstrip('.')}; see {command} --help"
    else:
        return None
    return _shown(text)


def page_error(error: OSError) -> InputError:
    """That a page cannot be written, which has its place in the folder of the run."""
    place = f"{error.filename}: " if error.filename else ""
    remedy = "free some space" if error.errno in _FULL else "make the folder writable"
    return InputError(f"{place}{error.strerror or error}; {remedy} or copy the run to another place")


def say(text: str) -> None:
    """One line on standard error, as all that goes wrong is told."""
    print(f"flipgrad: {_shown(text)}", file=sys.stderr, flush=True)


def _shown(text: str) -> str:
    """Line breaks become spaces; other control characters, perhaps of a stranger's file, a terminal would obey."""
    return " ".join("".join(c for c in text if c.isprintable() or c.isspace()).split())


def _remedy(error: OSError) -> str:
    if error.errno in _FULL:
        return "free some space or "
    return "check the permissions or " if error.errno in _FORBIDDEN else "check the name or "


def bad(option: str, expected: str, received: object, remedy: str) -> InputError:
    """The error for a wrong value of an option or argument."""
    shown = received if received is None else f"{received!r:.200}"
    return InputError(f"{option}: expected {expected}, received {shown or 'nothing'}; {remedy}")


def one_of(option: str, value: str, names: Iterable[str]) -> str:
    """``value`` where it is one of ``names``.

    Raises:
        InputError: it is not; the message offers the nearest name.
    """
    names = list(names)
    if value in names:
        return value
    near = difflib.get_close_matches(value.lower(), names, n=1, cutoff=0.5)
    remedy = f"did you mean {near[0]!r}?" if near else "choose one of these"
    raise bad(option, listed(names), value, remedy)


def listed(names: Iterable[str]) -> str:
    """``a``, ``a or b``, ``a, b or c``."""
    *first, last = names
    return f"{', '.join(first)} or {last}" if first else last
