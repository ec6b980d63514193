"""What a run is looked at by, written when it is done."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from flipgrad.errors import InputError

if TYPE_CHECKING:
    from flipgrad.training import Reporter


class Pages(NamedTuple):
    """What was asked for."""

    report: bool
    tensorboard: bool

    def check(self) -> Pages:
        """Itself; InputError, before anything is trained, where it cannot be written."""
        if self.tensorboard and importlib.util.find_spec("tensorboard") is None:
            remedy = "install it with: pip install 'flipgrad[tensorboard]'"
            raise InputError(f"--tensorboard: TensorBoard is not installed; {remedy}, or leave it out")
        return self

    def write(self, run: Path, reporter: Reporter) -> str:
        """Writes it into the run folder; returns where it is, a line each."""
        lines = []
        if self.report:
            from flipgrad.report import write

            reporter.line("Writing the report")
            lines.append(f"Report: {write(run)}")
        if self.tensorboard:
            from flipgrad.event_files import write as write_events

            lines.append(f"TensorBoard: tensorboard --logdir {write_events(run)}")
        return "\n".join(lines)
