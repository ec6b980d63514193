"""``flipgrad run``: one experiment, from data to figures."""

from __future__ import annotations

import importlib
import sys
from typing import Annotated

import typer
from rich.console import Console

from flipgrad.cli import _backend, _errors, _folders, _interrupt
from flipgrad.cli._pages import Pages
from flipgrad.cli._request import Request, check
from flipgrad.errors import InputError

# Every value comes as text and is checked by `_options`, so that all refusals read alike.
Text = str | None


def run(
    experiment: Annotated[
        str,
        typer.Argument(metavar="EXPERIMENT", help="blobs, digits or mnist.", show_default=False),
    ],
    out: Annotated[
        Text,
        typer.Option(
            metavar="FOLDER",
            help="The run folder: new, empty, or with --resume that of an unfinished run. "
            "[default: runs/EXPERIMENT-DATE-TIME]",
        ),
    ] = None,
    seeds: Annotated[
        Text,
        typer.Option(
            metavar="N|LIST",
            help="How many seeds, counted from 0 (5 is 0 to 4), or a list: 3,7 (and 3, for 3 "
            "alone). Results of one seed prove little. [default: the preset's, 0]",
        ),
    ] = None,
    modes: Annotated[
        Text,
        typer.Option(
            metavar="LIST",
            help="Which of the experiment's modes to train, with commas between. [default: all]",
        ),
    ] = None,
    preset: Annotated[
        Text,
        typer.Option(
            metavar="NAME",
            help="The settings to start from: seed, and for mnist also paper (20 passes over the "
            "data, as published); default for digits. [default: the first]",
        ),
    ] = None,
    steps: Annotated[Text, typer.Option(metavar="N", help="Training steps. [default: the preset's]")] = None,
    batch_size: Annotated[
        Text,
        typer.Option(metavar="N", help="Rows of each domain in one step. [default: the preset's]"),
    ] = None,
    backend: Annotated[
        Text,
        typer.Option(
            metavar="NAME",
            help="tensorflow, jax or torch. [default: $KERAS_BACKEND, then Keras' configuration "
            "file, then the first that is installed]",
        ),
    ] = None,
    precision: Annotated[
        Text,
        typer.Option(
            metavar="NAME",
            help="float32, mixed_bfloat16 or mixed_float16 (short: bfloat16, float16). "
            "[default: the preset's, float32]",
        ),
    ] = None,
    data_dir: Annotated[
        Text,
        typer.Option(
            metavar="FOLDER",
            help="Where the data files of mnist lie; missing ones are downloaded into the user's "
            "cache. [default: $FLIPGRAD_DATA]",
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with the unfinished run in --out. Its settings are taken over; finished "
            "trainings are kept, an interrupted one goes on from its last epoch. Results that a finished run has "
            "lost are trained again.",
        ),
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the table of results and nothing else.")] = False,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print only the rows of results.json on standard output."),
    ] = False,
    report: Annotated[bool, typer.Option("--report/--no-report", help="Write report.html at the end.")] = True,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write logs for TensorBoard at the end: FOLDER/tensorboard.")
    ] = False,
) -> None:
    """Train an experiment's modes on each seed, score them, and draw the figures.

    \b
    blobs   two classes of points in the plane; modes domain, source, dann, dann-deep
    digits  small handwritten digits, packaged: needs no files; modes source, dann, target
    mnist   MNIST to MNIST-M; modes source, dann, target; presets seed, paper

    Mode source trains on the source alone, dann adapts to the unlabelled target, and target trains
    on the target's labels: the upper bound.  Accuracies are on test rows (blobs has
    none: on all its points).

    The run folder receives config.json, history.csv, results.json, models/, observations/, figures/, health.json, of
    several trainings a comparison (.json, .csv, .md), the file done and, last of all, report.html.  Settings go to
    standard output, progress to standard error.  The result is printed before report.html is written: where that
    fails the run is none the worse, a line says why, and the exit code is 3.

    \b
    Examples:
      flipgrad run blobs --seeds 5
      flipgrad run mnist --modes source,dann --seeds 3 --out runs/mnist
      flipgrad run mnist --out runs/mnist --resume
      flipgrad run mnist --preset paper --precision bfloat16 --data-dir ~/data
      flipgrad run digits --quiet --json > rows.json
    """
    request = check(
        experiment,
        out=out,
        seeds=seeds,
        modes=modes,
        preset=preset,
        steps=steps,
        batch_size=batch_size,
        backend=backend,
        precision=precision,
        data_dir=data_dir,
        resume=resume,
    )
    pages = Pages(report, tensorboard).check()
    _backend.start(request.backend)
    try:
        with _interrupt.remembered():
            _perform(request, quiet=quiet, as_json=as_json, pages=pages)
    except KeyboardInterrupt:
        begun = (request.out / "config.json").exists()
        remedy = f"go on with: {request.resume_command()}" if begun else "nothing was written"
        print(f"flipgrad: interrupted; {remedy}", file=sys.stderr)
        raise typer.Exit(_errors.INTERRUPTED) from None


def _perform(request: Request, *, quiet: bool, as_json: bool, pages: Pages) -> None:
    """Trains and prints; Keras is there by now."""
    import pooch

    from flipgrad.cli import _comparison, _tables
    from flipgrad.cli._reporter import ConsoleReporter
    from flipgrad.comparison import compare
    from flipgrad.runs import Run

    module = importlib.import_module(f"flipgrad.experiments.{request.experiment}")
    settings = request.settings(module)
    # Wide enough for the table wherever it goes; a narrower terminal wraps it, and nothing is cut.
    output = Console(highlight=False, soft_wrap=True)
    output.width = max(output.width, _tables.WIDTH)
    if quiet:
        pooch.get_logger().setLevel("ERROR")  # else it says what it downloads
    if not (quiet or as_json):
        output.print(_tables.settings_table(request, settings))
    finished = _folders.finished_trainings(request.out) if request.stored else 0
    reporter = ConsoleReporter(
        Console(stderr=True, quiet=quiet, soft_wrap=True),
        total=len(settings.seeds) * len(settings.modes),
        finished=finished,
    )
    rows = module.run(settings, request.out, data_dir=request.data_dir, resume=request.resume, reporter=reporter)
    told = not (quiet or as_json)
    if as_json:
        _tables.print_json(rows)
    else:
        output.print(_tables.results_table(rows))
    if told:
        if len(rows) > 1:
            _comparison.show(output, compare([Run.open(request.out)]), beside_results=True)
        for part in _tables.remarks(request.experiment, rows, request.out):
            output.print(part)
        for line in _tables.health_lines(request.out):
            output.print(line, markup=False)
    code = pages.write(request.out, reporter, lambda line: output.print(line, markup=False) if told else None)
    if diverged := _tables.diverged_line(rows):
        raise InputError(f"{diverged} Everything else is in {request.out}.")
    if code:
        raise typer.Exit(code)
