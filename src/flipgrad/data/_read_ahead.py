"""Things that take long to read, read before they are asked for."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import Any

_AHEAD = 2


class ReadAhead:
    """Calls ``read(n)`` for the next numbers in a thread while the one that was asked for is used.

    What is returned depends on the number alone, not on what was asked for before.
    """

    def __init__(self, read: Callable[[int], Any]) -> None:
        self._read = read
        self._pool = ThreadPoolExecutor(1)
        self._lock = Lock()
        self._coming: dict[int, Future[Any]] = {}

    def __call__(self, number: int) -> Any:
        """``read(number)``; what it raises is raised here."""
        with self._lock:
            wanted = range(number, number + _AHEAD + 1)
            self._coming = {n: self._coming.get(n) or self._pool.submit(self._read, n) for n in wanted}
            coming = self._coming[number]
        return coming.result()
