"""``flipgrad evaluate``: how good a run is on labelled rows."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from flipgrad.cli import _backend, _options, _progress

Text = str | None


def evaluate(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The folder of a run of flipgrad adapt.")],
    data: Annotated[
        str, typer.Argument(metavar="LABELLED", help="Labelled data of the kind that the run was trained on.")
    ],
    figure: Annotated[
        Text,
        typer.Option(
            metavar="FILE.png",
            help="A new file for the confusion matrix. [default: confusion.png in RUN/figures, if new]",
        ),
    ] = None,
    label: Annotated[
        Text, typer.Option(metavar="COLUMN", help="The column of a table that holds the class. [default: the run's]")
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out images that cannot be read, instead of refusing them.")
    ] = False,
    training: Annotated[Text, typer.Option(metavar="MODE-SEED", help=_options.TRAINING)] = None,
    backend: Annotated[Text, typer.Option(metavar="NAME", help="tensorflow, jax or torch.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the result and nothing else.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Compare a run's predictions with labels.

    Printed are accuracy, balanced accuracy (the mean recall over the classes), and for each class precision,
    recall and F1; the confusion matrix is drawn.

    Of the target, use these figures to report, not to choose settings by.

    \b
    Examples:
      flipgrad evaluate runs/photos labelled_photos/
      flipgrad evaluate runs/clinic clinic_b_labelled.csv --json > scores.json
    """
    from flipgrad.evaluation import evaluate_predictions
    from flipgrad.inputs import read_domain
    from flipgrad.trained import Trained, probabilities

    trained = Trained.open(Path(run).expanduser(), training)
    console = Console(stderr=True, quiet=quiet, soft_wrap=True, highlight=False)
    picture = _picture(figure, trained.run.path, lambda line: console.print(line, markup=False))
    rows = read_domain(
        _options.existing("LABELLED", data),
        trained.form,
        labelled=True,
        label=label,
        skip_bad=skip_bad,
        report=lambda line: console.print(line, markup=False),
    )
    assert rows.y is not None
    _backend.start(_backend.choose(backend))
    predictor = trained.predictor()
    with _progress.rows_bar(console, "Predicting", len(rows.x)) as progress:
        predicted = probabilities(predictor, rows.x, progress=progress).argmax(-1)
    found = evaluate_predictions(rows.y, predicted, trained.form.classes.names)
    _print(found, as_json)
    if picture is not None:
        title = f"{trained.run.path.name}: {found.rows} rows, accuracy {found.accuracy:.3f}"
        _draw(picture, found, trained.form.classes.names, title)
        if not (quiet or as_json):
            Console(highlight=False, soft_wrap=True).print(f"Confusion matrix: {picture}", markup=False)


def _picture(figure: Text, run: Path, report: Callable[[str], None]) -> Path | None:
    """Where the confusion matrix is written; None for nowhere."""
    if figure is None:
        path = run / "figures" / "confusion.png"
        if path.parent.is_symlink() or (path.parent.exists() and not path.parent.is_dir()):
            report(f"{path.parent}: expected a folder, found a link or a file; no figure is drawn without --figure")
            return None
        place = path.parent if path.parent.exists() else run
        if os.path.lexists(path):
            report(f"{path}: exists and is kept; no figure is drawn without --figure")
        elif not os.access(place, os.W_OK):
            report(f"{place}: cannot be written; no figure is drawn without --figure")
        else:
            return path
        return None
    return _options.new_file("--figure", figure, [".png"])


def _draw(path: Path, found: Any, names: list[str], title: str) -> None:
    from flipgrad import plots
    from flipgrad._files import write_whole
    from flipgrad.runs import png

    write_whole(path, png(plots.confusion_matrix(found.confusion, names, title)))


def _print(found: Any, as_json: bool) -> None:
    from flipgrad.cli import _tables
    from flipgrad.summary import short

    if as_json:
        _tables.print_json(found)
        return
    output = Console(highlight=False, soft_wrap=True)
    output.print(_tables.classes_table(found))
    output.print(
        f"{found.rows} rows: accuracy {short(found.accuracy)}, balanced accuracy {short(found.balanced_accuracy)}"
    )
