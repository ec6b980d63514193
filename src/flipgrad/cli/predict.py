"""``flipgrad predict``: the classes of new rows."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from flipgrad.cli import _backend, _options, _progress

Text = str | None


def predict(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The folder of a run of flipgrad adapt.")],
    data: Annotated[str, typer.Argument(metavar="INPUT", help="New data of the kind that the run was trained on.")],
    out: Annotated[
        Text,
        typer.Option("-o", "--out", metavar="FILE", help="A new file: .csv, or .parquet.", show_default=False),
    ] = None,
    reject_below: Annotated[
        Text,
        typer.Option(
            metavar="P", help="Leave the class empty where the highest probability is below P. [default: never]"
        ),
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out images that cannot be read, instead of refusing them.")
    ] = False,
    training: Annotated[Text, typer.Option(metavar="MODE-SEED", help=_options.TRAINING)] = None,
    backend: Annotated[Text, typer.Option(metavar="NAME", help="tensorflow, jax or torch.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing when all goes well.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object (file, rows, rows of each class) and nothing else.")
    ] = False,
) -> None:
    """Predict the classes of new rows.

    The file has a line for each row: id (the image's file, or the number of the row from 0), predicted (the class
    by its name), and a column probability_CLASS for each class.  --json says of it the path, the number of rows, of
    each class and, with --reject-below, of those left empty.

    \b
    Examples:
      flipgrad predict runs/photos new_photos/ -o predictions.csv
      flipgrad predict runs/clinic clinic_b.csv -o predictions.parquet --reject-below 0.8
    """
    path = _options.new_file("--out", out, [".csv", ".parquet"])
    least = None if reject_below is None else _options.probability("--reject-below", reject_below)

    from flipgrad.inputs import read_domain
    from flipgrad.trained import Trained, probabilities

    trained = Trained.open(Path(run).expanduser(), training)
    console = Console(stderr=True, quiet=quiet, soft_wrap=True, highlight=False)
    rows = read_domain(
        _options.existing("INPUT", data),
        trained.form,
        labelled=False,
        skip_bad=skip_bad,
        report=lambda line: console.print(line, markup=False),
    )
    _backend.start(_backend.choose(backend))
    predictor = trained.predictor()
    with _progress.rows_bar(console, "Predicting", len(rows.x)) as progress:
        numbers = probabilities(predictor, rows.x, progress=progress)
    from flipgrad.cli._tables import print_json
    from flipgrad.predictions import counts, table, write

    frame = table(rows.ids, numbers, trained.form.classes, least)
    write(frame, path)
    if as_json:
        print_json({"file": path, "rows": len(frame), **counts(frame, trained.form.classes)})
    elif not quiet:
        print(f"{path}: {len(numbers)} rows")
        sys.stdout.flush()
