"""What is seen of a run while it works.  Import it last: the base class needs Keras."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from flipgrad.cli import _interrupt
from flipgrad.training import Reporter

Show = Callable[[int, Mapping[str, Any]], None]

_SHORT = {"loss": "loss", "accuracy": "acc", "domain_accuracy": "domain acc"}
_LINES = 10  # of each training, where there is no terminal for a bar


class ConsoleReporter(Reporter):
    """A progress bar for each training on a terminal, a line now and then elsewhere.

    Args:
        console: where to write; a quiet one for silence.
        total: trainings of the whole run.
        finished: those that an earlier command finished.
    """

    def __init__(self, console: Console, total: int, finished: int = 0) -> None:
        self.console = console
        self.total = total
        self.number = finished

    def line(self, text: str) -> None:
        """One line of information."""
        _interrupt.check()
        self.console.print(text, markup=False, highlight=False)

    @contextmanager
    def training(self, title: str, steps: int) -> Iterator[Show]:
        """Shows one training; yields the function to call with (steps done, logs)."""
        _interrupt.check()
        self.number += 1
        title = f"{self.number}/{self.total} {title}"
        shown = self._bar if self.console.is_terminal else self._lines
        with shown(title, steps) as show:

            def show_unless_interrupted(done: int, logs: Mapping[str, Any]) -> None:
                _interrupt.check()
                show(done, logs)

            yield show_unless_interrupted

    @contextmanager
    def _bar(self, title: str, steps: int) -> Iterator[Show]:
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=12),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}", markup=False),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
        )
        with Progress(*columns, console=self.console) as progress:
            task = progress.add_task(title, total=steps, figures="compiling")
            yield lambda done, logs: progress.update(task, completed=done, figures=figures(logs))

    @contextmanager
    def _lines(self, title: str, steps: int) -> Iterator[Show]:
        began, said = time.monotonic(), 0

        def show(done: int, logs: Mapping[str, Any]) -> None:
            nonlocal said
            if done == said or (done < steps and done - said < steps / _LINES):
                return
            said = done
            seconds = time.monotonic() - began
            left = seconds * (steps - done) / done
            took = f"{left:.0f} s left" if done < steps else f"{seconds:.0f} s"
            self.line(f"{title}: step {done} of {steps}, {figures(logs)}, {took}")

        yield show


def figures(logs: Mapping[str, Any]) -> str:
    """Loss and accuracies of the logs, shortly."""
    shown = {short: float(logs[name]) for name, short in _SHORT.items() if name in logs}
    return " ".join(f"{short} {value:.3f}" for short, value in shown.items())
