"""Ctrl-C that is never lost.

A KeyboardInterrupt that rises in a destructor or a weak reference's callback is not raised but
reported ("Exception ignored in"), and when a model goes between two trainings thousands of them run.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

_lost = False


@contextmanager
def remembered() -> Iterator[None]:
    """Inside, a lost interrupt is not reported but kept for ``check``."""
    global _lost
    _lost = False
    usual = sys.unraisablehook

    def keep(report: UnraisableHookArgs) -> None:
        global _lost
        if issubclass(report.exc_type, KeyboardInterrupt):
            _lost = True
        else:
            usual(report)

    sys.unraisablehook = keep
    try:
        yield
    finally:
        sys.unraisablehook = usual
        _lost = False


def check() -> None:
    """Raises the KeyboardInterrupt that got lost."""
    if _lost:
        raise KeyboardInterrupt
