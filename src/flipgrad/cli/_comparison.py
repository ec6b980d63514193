"""A comparison as the command line shows it."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, RenderableType
from rich.table import Table

from flipgrad._comparison_text import class_lines, difference_cells, score_lines
from flipgrad.cli import _tables
from flipgrad.comparison import Comparison

MOST_CLASSES = 30  # in a terminal
_WIDEST = 1000


def show(output: Console, found: Comparison, *, beside_results: bool = False) -> None:
    """Prints it, on a console that is made wide enough.

    Args:
        output: where to.
        found: what to print.
        beside_results: leave out what the table of results, printed before it, has already.
    """
    for part in _parts(found, beside_results):
        if isinstance(part, Table):
            wide = output.options.update(width=_WIDEST)
            output.width = max(output.width, output.measure(part, options=wide).maximum)
        output.print(part, markup=False)


def _parts(found: Comparison, beside_results: bool) -> Iterator[RenderableType]:
    if not beside_results:
        yield _table(score_lines(found))
    elif any(mode["difference"] and mode["difference"]["n"] for mode in found.modes):
        yield _table(_difference_lines(found))
    if any(mode["class_accuracy"] for mode in found.modes):
        if len(found.classes) <= MOST_CLASSES:
            yield "Accuracy on the target by class:"
            yield _table(class_lines(found))
        else:
            yield f"Accuracy on the target by class: {len(found.classes)} classes, see --csv or comparison.csv."
    yield from found.notes


def _difference_lines(found: Comparison) -> Iterator[list[str]]:
    yield ["mode", "pairs", "to source-only", "95 % interval", "gap closed"]
    for mode in found.modes:
        if mode["difference"] is not None:
            yield [mode["name"], str(mode["difference"]["n"]), *difference_cells(mode)]


def _table(lines: Iterator[list[str]]) -> Table:
    table = _tables.empty_table(*next(lines))
    for line in lines:
        table.add_row(*map(_tables.plain_text, line))
    return table
