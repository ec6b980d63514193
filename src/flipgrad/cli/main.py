"""The program ``flipgrad``: its commands, and how it ends."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from flipgrad.cli import _errors
from flipgrad.cli.adapt import adapt
from flipgrad.cli.compare import compare
from flipgrad.cli.data import app as data_app
from flipgrad.cli.evaluate import evaluate
from flipgrad.cli.export import export
from flipgrad.cli.health import health
from flipgrad.cli.info import info
from flipgrad.cli.predict import predict
from flipgrad.cli.report import report
from flipgrad.cli.run import run

app = typer.Typer(
    name="flipgrad",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
app.command("adapt", short_help="Adapt a classifier to your own unlabelled data.")(adapt)
app.command("predict", short_help="Predict the classes of new rows.")(predict)
app.command("evaluate", short_help="Compare predictions with labels.")(evaluate)
app.command("export", short_help="Write the predictor alone: SavedModel, ONNX or Keras.")(export)
app.command("info", short_help="Say what a run or a saved model is, without loading it.")(info)
app.command("compare", short_help="Compare runs: over seeds, with source-only, class by class.")(compare)
app.command("health", short_help="Say whether the adaptation worked, and what is the matter.")(health)
app.command("report", short_help="Write the page of a run: did it work, what does it look like?")(report)
app.command("run", short_help="Train an experiment, score it and draw its figures.")(run)
app.add_typer(data_app, name="data")


@app.callback(invoke_without_command=True)
def flipgrad(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False,
) -> None:
    """Domain-adversarial training (DANN) for Keras 3.

    A classifier is trained on the labelled rows of one domain, the source, so that it works on the
    unlabelled rows of another, the target.  `flipgrad adapt` does so with your own data, and `predict`,
    `evaluate`, `export` and `info` take it from there.  `flipgrad run` repeats the known experiments from
    data to figures; `flipgrad data` makes their data sets.  `flipgrad compare` holds finished runs against
    each other.

    \b
    Examples:
      flipgrad adapt --source photos/ --target new_photos/ --out runs/photos
      flipgrad predict runs/photos new_photos/ -o predictions.csv
      flipgrad health runs/photos
      flipgrad run blobs
      flipgrad run mnist --modes source,dann --seeds 3 --out runs/mnist
      flipgrad run mnist --out runs/mnist --resume
      flipgrad compare runs/mnist
      flipgrad data mnist-m --kind official --out mnist_m.npz

    \b
    Environment:
      KERAS_BACKEND   tensorflow, jax or torch, where --backend is not given
      FLIPGRAD_DATA   a folder in which to look for data files

    \b
    Exit codes:
      0    success
      2    an argument, a file or a training that cannot be used; one line says why
      3    the run is done and its result valid, but report.html or the logs for
           TensorBoard could not be written; a line for each says why
      130  interrupted
    """
    if version:
        from flipgrad import __version__

        print(f"flipgrad {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit


def main() -> None:
    """Runs the program and ends the process with its exit code."""
    try:
        code = app(standalone_mode=False)
        sys.stdout.flush()  # a full disk behind standard output shows here, not at exit
    except (KeyboardInterrupt, typer.Abort):
        print("flipgrad: interrupted", file=sys.stderr)
        code = _errors.INTERRUPTED
    except Exception as error:
        text = _errors.one_line(error)
        if text is None:
            raise
        _errors.say(text)
        _give_up_stdout()
        code = _errors.REFUSED
    sys.exit(code or 0)


def _give_up_stdout() -> None:
    """Where standard output cannot be written, keeps Python from trying again, aloud, at exit."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
