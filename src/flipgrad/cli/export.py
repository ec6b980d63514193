"""``flipgrad export``: the predictor of a run, for use elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flipgrad.cli import _errors, _options

Text = str | None


def export(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The folder of a run of flipgrad adapt.")],
    kind: Annotated[
        Text, typer.Option("--format", metavar="FORMAT", help="savedmodel, onnx or keras.", show_default=False)
    ] = None,
    out: Annotated[
        Text,
        typer.Option(
            "-o",
            "--out",
            metavar="PATH",
            help="A new file, or for savedmodel a new folder. [default: predictor in the current folder]",
        ),
    ] = None,
    training: Annotated[Text, typer.Option(metavar="MODE-SEED", help=_options.TRAINING)] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing when all goes well.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object (file, format, difference) and nothing else.")
    ] = False,
) -> None:
    """Write the predictor alone, with its preprocessing: raw rows in, class probabilities out.

    What was written is read again and must give the same probabilities to 1e-4.  It needs TensorFlow, and for
    onnx also tf2onnx and onnxruntime: pip install "flipgrad[export]".

    SavedModel and ONNX files need nothing of flipgrad.  A .keras file is loaded with flipgrad.load, or with Keras
    after "import flipgrad.layers": its preprocessing layers are flipgrad's.

    The predictor takes rows as numbers; flipgrad info RUN says which column is which, and the classes in
    the order of the probabilities.

    \b
    Examples:
      flipgrad export runs/photos --format onnx -o photos.onnx
      flipgrad export runs/clinic --format savedmodel -o clinic_model
    """
    from flipgrad.cli._tables import print_json
    from flipgrad.export import KINDS, TOLERANCE, export
    from flipgrad.trained import Trained

    if kind is None:
        raise _errors.bad("--format", _errors.listed(KINDS), None, "choose one of these")
    _errors.one_of("--format", kind, KINDS)
    ending = KINDS[kind]
    path = _options.new_file("--out", out or f"predictor{ending}", [ending])
    trained = Trained.open(Path(run).expanduser(), training)
    difference = export(trained.model_path, path, kind, trained.form.shape, len(trained.form.classes))
    if as_json:
        print_json({"file": path, "format": kind, "difference": difference, "allowed": TOLERANCE})
    elif not quiet:
        print(f"{path}: probabilities differ by at most {difference:.1e} (allowed: {TOLERANCE:.0e})")
