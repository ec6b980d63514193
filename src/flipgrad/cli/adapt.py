"""``flipgrad adapt``: a classifier for one's own unlabelled data."""

from __future__ import annotations

import shlex
import sys
from dataclasses import asdict, fields
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from flipgrad.cli import _backend, _errors, _folders, _interrupt, _options
from flipgrad.cli._pages import Pages
from flipgrad.errors import InputError

Text = str | None


def adapt(
    source: Annotated[
        Text,
        typer.Option(
            metavar="PATH",
            help="Labelled data: a folder with a sub-folder of images for each class, a table (.csv, .parquet), "
            "arrays (.npz with x and y), or sparse counts (.svmlight, .svmlight.gz).",
        ),
    ] = None,
    target: Annotated[
        Text, typer.Option(metavar="PATH", help="Unlabelled data of the same kind; labels in it are ignored.")
    ] = None,
    target_labels: Annotated[
        Text,
        typer.Option(
            metavar="PATH",
            help="Labelled data of the target, a few rows will do: they are learnt from; of 60 or more a third chooses "
            "the epoch that is kept.",
        ),
    ] = None,
    target_test: Annotated[
        Text,
        typer.Option(metavar="PATH", help="Labelled data of the target: its accuracy is reported, nothing else."),
    ] = None,
    label: Annotated[
        Text,
        typer.Option(metavar="COLUMN", help="The column of a table that holds the class. [default: found by its name]"),
    ] = None,
    out: Annotated[Text, typer.Option(metavar="FOLDER", help="The run folder. [default: runs/adapt-DATE-TIME]")] = None,
    modes: Annotated[
        Text,
        typer.Option(
            "--modes",
            "--mode",
            metavar="LIST",
            help="dann adapts to the target; source does not, to compare with; source,dann trains both. "
            "[default: dann]",
        ),
    ] = None,
    seeds: Annotated[
        Text,
        typer.Option(
            metavar="N|LIST",
            help="How many seeds, counted from 0 (5 is 0 to 4), or a list: 3,7. Results of one seed prove little. "
            "[default: 0 alone]",
        ),
    ] = None,
    seed: Annotated[
        Text,
        typer.Option(metavar="N", help="That seed alone: short for --seeds with a comma behind it."),
    ] = None,
    encoder: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="auto, mlp, cnn1d, cnn, or a model of keras.applications such as ResNet50 (for larger images).",
        ),
    ] = "auto",
    weights: Annotated[
        str,
        typer.Option(metavar="NAME|FILE", help="Of such a model: none, imagenet (downloaded), or a weights file."),
    ] = "none",
    epochs: Annotated[
        Text, typer.Option(metavar="N", help="Passes over the larger domain. [default: about 3000 steps]")
    ] = None,
    batch_size: Annotated[Text, typer.Option(metavar="N", help="Rows of each domain in a step. [default: 64]")] = None,
    learning_rate: Annotated[Text, typer.Option(metavar="X", help="At the beginning. [default: 0.001]")] = None,
    strength: Annotated[
        Text, typer.Option(metavar="X", help="Of the reversed gradient at the end of its ramp. [default: 0.1]")
    ] = None,
    keep: Annotated[
        Text,
        typer.Option(
            metavar="NAME",
            help="Of mode dann the last epoch, or the best by a score without target labels: last or best. "
            "[default: last]",
        ),
    ] = None,
    size: Annotated[
        Text, typer.Option(metavar="PIXELS", help="Side to which images are brought. [default: by their size]")
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out images that cannot be read, instead of refusing them.")
    ] = False,
    backend: Annotated[
        Text,
        typer.Option(
            metavar="NAME", help="tensorflow, jax or torch. [default: $KERAS_BACKEND, then what is installed]"
        ),
    ] = None,
    resume: Annotated[
        Text, typer.Option(metavar="FOLDER", help="Go on with the run in this folder, as it was asked for.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the result and nothing else.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print only the rows of results.json.")] = False,
    report: Annotated[bool, typer.Option("--report/--no-report", help="Write report.html at the end.")] = True,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write logs for TensorBoard at the end: FOLDER/tensorboard.")
    ] = False,
) -> None:
    """Adapt a classifier to your own unlabelled data.

    It is trained on the labelled source so that it works on the unlabelled target.  Preprocessing is fitted
    on both and saved with the model.  A tenth of each domain is held out for the scores.

    Of several modes and seeds one training is picked for flipgrad predict, evaluate and export (their --training
    takes another): without target labels, by its scores on the held-out rows; where --target-labels has enough rows,
    by those of them that are not trained on.

    The run folder receives config.json, history.csv, results.json, models/, observations/, health.json, of several
    trainings selection.json and a comparison (.json, .csv, .md), the file done and, last of all, report.html; flipgrad
    predict, evaluate, export and info take it from there.  The result is printed before report.html is written: where
    that fails the run is none the worse, a line says why, and the exit code is 3.

    A training whose loss becomes NaN or infinite has diverged: it leaves no model, also where --target-labels had
    chosen an epoch before, and the exit code is 2.  Begin again with a smaller --learning-rate or --strength.

    --resume goes on with an interrupted run, and trains again what a finished one has lost: results.json or a
    model, missing or damaged.  Of one that is whole it prints the result and writes the page again; a lost history.csv
    is named, but nothing is trained again for it.

    \b
    Examples:
      flipgrad adapt --source photos/ --target new_photos/ --out runs/photos
      flipgrad adapt --source clinic_a.csv --target clinic_b.csv --label diagnosis
      flipgrad adapt --source a.npz --target b.npz --target-test b_test.npz --modes source,dann --seeds 3
      flipgrad adapt --resume runs/photos
    """
    given = {
        "label": label,
        "encoder": None if encoder == "auto" else encoder,
        "weights": None if weights == "none" else weights,
        "epochs": None if epochs is None else _options.count("--epochs", epochs),
        "batch_size": None if batch_size is None else _options.count("--batch-size", batch_size),
        "learning_rate": None if learning_rate is None else _options.positive("--learning-rate", learning_rate),
        "strength": None if strength is None else _options.positive("--strength", strength),
        "keep": keep,
        "size": None if size is None else _options.count("--size", size),
        "skip_bad": skip_bad or None,
        "modes": None if modes is None else _options.modes(modes, ("source", "dann")),
        "seeds": None if seeds is None else _options.seeds(seeds),
        "seed": None if seed is None else _options.seed(seed),
        "target_labels": None if target_labels is None else _options.existing("--target-labels", target_labels),
        "target_test": None if target_test is None else _options.existing("--target-test", target_test),
    }
    if keep is not None:
        _errors.one_of("--keep", keep, _options.KEPT)
    if seed is not None and seeds is not None:
        raise _errors.bad("--seed", "no --seeds beside it", seed, "leave one of them out")
    changes = {name: value for name, value in given.items() if value is not None}
    if resume is not None:
        path, settings, stored_backend = _to_resume(resume, source, target, out, changes)
    else:
        changes["source"] = _options.existing("--source", source)
        changes["target"] = _options.existing("--target", target)
        path, _ = _folders.check("adapt", out, False)
        settings, stored_backend = changes, None
    if backend is not None:
        _errors.one_of("--backend", backend, _backend.BACKENDS)
    chosen = _backend.choose(backend or stored_backend)
    pages = Pages(report, tensorboard).check()
    _backend.start(chosen)
    try:
        with _interrupt.remembered():
            _perform(path, settings, resume=resume is not None, quiet=quiet, as_json=as_json, pages=pages)
    except KeyboardInterrupt:
        begun = (path / "config.json").exists()
        remedy = (
            f"go on with: {shlex.join(['flipgrad', 'adapt', '--resume', str(path)])}"
            if begun
            else "nothing was written"
        )
        print(f"flipgrad: interrupted; {remedy}", file=sys.stderr)
        raise typer.Exit(_errors.INTERRUPTED) from None


def _to_resume(
    resume: str, source: Text, target: Text, out: Text, changes: dict[str, Any]
) -> tuple[Path, dict[str, Any], str | None]:
    """(folder, settings, backend) of the run to go on with."""
    from flipgrad._run_state import trainings
    from flipgrad.runs import Run

    named = [name for name, value in (("--source", source), ("--target", target), ("--out", out)) if value is not None]
    named += [f"--{name.replace('_', '-')}" for name in changes]
    if named:
        raise _errors.bad("--resume", "no other setting beside it", named[0], "leave it out: the run has its own")
    if not resume.strip():
        raise _errors.bad("--resume", "the folder of a run", resume, "name one")
    path = Path(resume).expanduser()
    config = Run.open(path).config
    if config.get("experiment") != "adapt":
        raise _errors.bad("--resume", f"a run of adapt in {path}", config.get("experiment"), "name another folder")
    settings, backend = config.get("settings"), config.get("backend")
    if not _are_places(settings) or not any(trainings(config)) or backend not in (None, *_backend.BACKENDS):
        raise InputError(f"{path}/config.json: the settings are not those of this version; start a new run")
    assert isinstance(settings, dict)
    return path, settings, backend


def _are_places(settings: Any) -> bool:
    """Whether the settings, perhaps of a stranger's file, name the data in the right types."""
    if not isinstance(settings, dict):
        return False
    size = settings.get("size")
    return (
        all(isinstance(settings.get(name), str) for name in ("source", "target"))
        and all(isinstance(settings.get(name), str | None) for name in ("target_labels", "target_test", "label"))
        and (size is None or (type(size) is int and size > 0))
        and isinstance(settings.get("skip_bad", False), bool)
        and all(isinstance(settings.get(name, []), list) for name in ("modes", "seeds"))
        and all(isinstance(mode, str) for mode in settings.get("modes", []))
        and all(type(seed) is int and 0 <= seed < 2**32 for seed in settings.get("seeds", []))
    )


def _perform(path: Path, settings: dict[str, Any], *, resume: bool, quiet: bool, as_json: bool, pages: Pages) -> None:
    """Trains and prints; Keras is there by now."""
    from flipgrad._run_state import lost_history
    from flipgrad.adaptation import Places, adapt, finished
    from flipgrad.cli import _comparison, _tables
    from flipgrad.cli._reporter import ConsoleReporter
    from flipgrad.comparison import compare
    from flipgrad.picking import read_pick
    from flipgrad.recipe import Recipe
    from flipgrad.runs import Run

    paths = {name: _path(settings.get(name)) for name in ("source", "target", "target_labels", "target_test")}
    places = Places(**{**_only(settings, Places), **paths})
    recipe = Recipe(**_only(settings, Recipe))
    modes, seeds = (tuple(settings.get(name, ())) or (getattr(recipe, name[:-1]),) for name in ("modes", "seeds"))
    output = Console(highlight=False, soft_wrap=True)
    output.width = max(output.width, _tables.WIDTH)
    if not (quiet or as_json):
        shown = {**asdict(places), **asdict(recipe), "mode": modes, "seed": seeds, "out": path}
        output.print(_tables.lines_table(shown))
    reporter = ConsoleReporter(
        Console(stderr=True, quiet=quiet, soft_wrap=True),
        total=len(modes) * len(seeds),
        finished=_folders.finished_trainings(path) if resume else 0,
    )
    rows = finished(path) if resume else None
    if rows is not None:
        reporter.line(f"{path}: the run is done; nothing is left to train")
        if lost := lost_history(Run.open(path)):
            _errors.say(lost)
    else:
        rows = adapt(places, recipe, path, modes=modes, seeds=seeds, resume=resume, reporter=reporter)
    diverged = _tables.diverged_line(rows, has_precision=False)
    told, pick = not (quiet or as_json), None
    if as_json:
        _tables.print_json(rows)
    else:
        output.print(_tables.results_table(rows))
    if told and len(rows) > 1:
        run = Run.open(path)
        _comparison.show(output, compare([run]), beside_results=True)
        pick = read_pick(run)
        for line in _tables.pick_lines(pick, len(rows)):
            output.print(line, markup=False)
    if told:
        for line in _tables.health_lines(path):
            output.print(line, markup=False)
    if told and any(row.get("diverged") is None for row in rows):
        output.print(_tables.adapt_remark(rows))
    if told and any(row.get("diverged") is None for row in rows) and (pick is None or pick.picked):
        output.print(f"Next: flipgrad predict {shlex.quote(str(path))} INPUT -o predictions.csv", markup=False)
    code = pages.write(path, reporter, lambda line: output.print(line, markup=False) if told else None)
    if diverged:
        raise InputError(f"{diverged} Everything else is in {path}.")
    if code:
        raise typer.Exit(code)


def _only(settings: dict[str, Any], kind: Any) -> dict[str, Any]:
    """The settings that a dataclass has."""
    return {field.name: settings[field.name] for field in fields(kind) if field.name in settings}


def _path(value: str | Path | None) -> Path | None:
    return None if value is None else Path(value).absolute()
