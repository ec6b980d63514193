"""``flipgrad compare``: finished runs held against each other."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from flipgrad.cli import _options
from flipgrad.errors import InputError

Text = str | None


def compare(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Folders of finished runs of the same data.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, a line for each mode.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown tables.")] = False,
    out: Annotated[
        Text, typer.Option("-o", "--out", metavar="FILE", help="Write a new file instead: .json, .csv or .md.")
    ] = None,
) -> None:
    """Compare trainings: over seeds, with source-only, with the upper bound, class by class.

    \b
    For each mode, and each of its settings where the runs differ in them:
    mean and standard deviation   of the accuracies, over the seeds
    to source-only                mean difference of the target accuracy to mode source of the same seed
    95 % interval                 of that mean, by bootstrap over the seeds; of 2 or 3 it is their range
    gap closed                    0 % is mode source, 100 % mode target
    by class                      accuracy on the target of each class (recall)

    Runs whose settings are the same count together.  What was not measured stays empty, and a line says why.
    Target accuracies are there to report: do not choose settings by them.

    \b
    Examples:
      flipgrad compare runs/mnist
      flipgrad compare runs/weak runs/strong --markdown
      flipgrad compare runs/* -o comparison.csv
    """
    wanted = {".json": as_json, ".csv": as_csv, ".md": as_markdown}
    endings = [ending for ending, chosen in wanted.items() if chosen]
    if len(endings) + (out is not None) > 1:
        raise InputError("compare: expected one of --json, --csv, --markdown and --out, received several; give one")
    path = None if out is None else _options.new_file("--out", out, [*wanted])

    from flipgrad._comparison_text import FORMATS
    from flipgrad._files import write_whole
    from flipgrad.cli import _comparison, _tables
    from flipgrad.comparison import compare_folders

    found = compare_folders([Path(run).expanduser() for run in runs])
    if path is not None:
        write_whole(path, FORMATS[path.suffix.lower()](found).encode(errors="backslashreplace"))
        print(f"{path}: {len(found.modes)} modes")
    elif endings:
        sys.stdout.write(FORMATS[endings[0]](found).encode(errors="backslashreplace").decode())
    else:
        output = Console(highlight=False, soft_wrap=True)
        output.width = max(output.width, _tables.WIDTH)
        _comparison.show(output, found)
        output.print(_tables.NOTE)
