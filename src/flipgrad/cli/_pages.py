"""What a run is looked at by, written when it is done."""

from __future__ import annotations

import importlib.util
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from flipgrad.cli import _errors
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

    def write(self, run: Path, reporter: Reporter, show: Callable[[str], None]) -> int:
        """Writes it into the folder of a run that is done and whose result has been printed.

        What cannot be written is said on standard error, a line each: the run is none the worse for it.

        Args:
            run: the folder.
            reporter: told what is being done.
            show: called with where each page is.

        Returns:
            The exit code: 0, or ``_errors.UNWRITTEN``.
        """
        from flipgrad._run_state import resume_command
        from flipgrad.runs import Run

        again = resume_command(run, Run.open(run).config)
        wanted = []
        if self.report:
            wanted.append(("Writing the report", _report, shlex.join(["flipgrad", "report", str(run)])))
        if self.tensorboard:
            wanted.append(("Writing the logs for TensorBoard", _logs, f"{again} --tensorboard"))
        code = 0
        for title, write, command in wanted:
            reporter.line(title)
            try:
                place = write(run)
            except (InputError, OSError) as error:
                error = _errors.page_error(error) if isinstance(error, OSError) else error
                _errors.say(f"{_errors.one_line(error)}; the run is done and its result written; then say: {command}")
                code = _errors.UNWRITTEN
            else:
                show(place)
        return code


def _report(run: Path) -> str:
    from flipgrad.report import write

    return f"Report: {write(run, report=_errors.say)}"


def _logs(run: Path) -> str:
    from flipgrad.event_files import write

    return f"TensorBoard: tensorboard --logdir {write(run)}"
