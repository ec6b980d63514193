"""The bar over rows: on a terminal, and nowhere else."""

import io

import pytest
from rich.console import Console

from flipgrad.cli._progress import rows_bar


@pytest.mark.parametrize(("terminal", "quiet"), [(True, False), (True, True), (False, False)])
def test_a_bar_on_a_terminal_alone(terminal: bool, quiet: bool) -> None:
    told = io.StringIO()
    with rows_bar(Console(file=told, force_terminal=terminal, quiet=quiet, width=80), "[red]a", 300) as progress:
        progress(256)
        progress(300)
    assert ("300/300" in told.getvalue()) is (terminal and not quiet)
    assert ("[red]a" in told.getvalue()) is (terminal and not quiet)
    assert not (told.getvalue() and quiet)


def test_every_row_is_counted_once() -> None:
    from flipgrad.scoring import outputs

    done: list[int] = []
    assert outputs(lambda batch: [[row, row] for row in batch], list(range(600)), 256, done.append).shape == (600, 2)
    assert done == [256, 512, 600]
