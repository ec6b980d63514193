"""Words of the messages: names shortened, listed and compared."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

Report = Callable[[str], None]


def silent(line: str) -> None:
    """The ``report`` of those who want none."""


def shown(value: Any, most: int = 60) -> str:
    """The value on one line of at most ``most`` characters, control characters escaped."""
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= most else f"{text[: most - 3]}..."


def listed(values: Iterable[Any], most: int = 8) -> str:
    """The first values, separated by commas, and how many more there are."""
    values = list(values)
    more = f" and {len(values) - most} more" if len(values) > most else ""
    return ", ".join(shown(value) for value in values[:most]) + more


def nearest(name: str, names: Sequence[str]) -> str:
    """``; did you mean 'label'?`` where one of ``names`` is like ``name``, else nothing."""
    lower = {known.casefold(): known for known in names}
    found = difflib.get_close_matches(name.casefold(), lower, n=1, cutoff=0.6)
    return f"; did you mean {shown(lower[found[0]])}?" if found else ""


def reason(error: BaseException) -> str:
    """Why the system refused, without what it refused."""
    return getattr(error, "strerror", None) or type(error).__name__
