"""``flipgrad info``: what a run folder or a saved model is, without loading any of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from flipgrad.errors import InputError

if TYPE_CHECKING:
    from flipgrad.runs import Run


def info(
    run: Annotated[
        str,
        typer.Argument(metavar="RUN|FILE.keras", help="A run folder, of flipgrad adapt or run, or a saved model."),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Say what a run is: data, classes, settings, scores; or what a saved model is.

    Of a run only text files of the folder are read: no model is loaded, so a folder from a stranger does no harm.
    Its state is "done", "not done", or "damaged" where a result or the model of a run of adapt is missing or cannot be
    read; beside the last two it says what to do.

    Of a .keras file the version of Keras, the date, the layers and the number of weights are read, and whether
    flipgrad.load would refuse it, and why.  Nothing of it is built or run, so a file from a stranger does no harm
    either.

    \b
    Examples:
      flipgrad info runs/photos
      flipgrad info model.keras
    """
    from flipgrad.cli import _tables
    from flipgrad.runs import Run

    path = Path(run).expanduser()
    if path.is_file() or (path.suffix == ".keras" and not path.exists()):
        _model(path, as_json)
        return
    opened = Run.open(path)
    about = _about(opened)
    if as_json:
        _tables.print_json(about)
        return
    output = Console(highlight=False, soft_wrap=True)
    output.print(_tables.lines_table({name: value for name, value in about["run"].items() if name != "remedy"}))
    if about["run"]["remedy"]:  # not in the table, which would break the command in the middle
        output.print()
        output.print(_tables.plain_text(about["run"]["remedy"]))
    for title in ("input", "settings"):
        if about[title]:
            output.print(f"\n{title}")
            output.print(_tables.lines_table(about[title]))
    output.print("\nscores")
    for row in about["scores"]:
        shown = {name: _shown(value) for name, value in row.items()}
        output.print(_tables.lines_table({name: value for name, value in shown.items() if value is not None}))
    if not about["scores"]:
        output.print("none" if about["run"]["state"] == "damaged" else "none yet")


def _model(path: Path, as_json: bool) -> None:
    from flipgrad.cli import _backend, _tables

    if path.suffix != ".keras":
        raise InputError(f"{path}: expected a run folder or a file named *.keras; name one")
    _backend.start(_backend.choose(None))  # the verdict asks Keras which of its parts a name stands for
    from flipgrad import saving  # noqa: F401  (registers the names that load accepts)
    from flipgrad._model_files import describe

    about = describe(path)
    if as_json:
        _tables.print_json(about)
        return
    output = Console(highlight=False, soft_wrap=True)
    named = {name: about[name] for name in ("file", "keras", "saved", "class", "name", "weights")}
    output.print(_tables.lines_table({name: value for name, value in named.items() if value is not None}))
    for part, layers in about["layers"].items():
        output.print(f"\n{part}")
        for layer in layers:
            output.print(_tables.plain_text(f"  {layer['name'] or '(no name)'}  {layer['class'] or '(no class)'}"))
    refused = about["refused"]
    output.print()
    output.print(_tables.plain_text(f"flipgrad.load refuses it: {refused}" if refused else "flipgrad.load accepts it"))


def _shown(value: Any) -> Any:
    """Fractions with three decimals, in a list too."""
    from flipgrad.summary import short

    if isinstance(value, list):
        return ["-" if each is None else _shown(each) for each in value]
    return short(value) if isinstance(value, float) else value


def _about(opened: Run) -> dict[str, Any]:
    from flipgrad.picking import read_pick

    config = opened.config
    run = {name: config.get(name) for name in ("experiment", "started", "backend", "platform")}
    run["versions"] = [f"{name} {version}" for name, version in _mapping(config, "versions").items()]
    scores, run["state"], run["remedy"] = _state(opened)
    run["models"] = sorted(path.name for path in (opened.path / "models").glob("*.keras"))
    if pick := read_pick(opened):
        run["picked"] = pick.picked
    described = _mapping(config, "input")
    classes = described.get("classes")
    inputs: dict[str, Any] = {name: described[name] for name in ("kind", "shape") if name in described}
    if isinstance(classes, dict):
        inputs["classes"] = classes.get("values")
    for name, value in _mapping(described, "detail").items():
        if name != "columns" or not isinstance(value, list):
            inputs[name] = value
            continue
        # In the order of the numbers that the exported model takes; a category is the number of its place.
        for number, column in enumerate(column for column in value if isinstance(column, dict)):
            categories = column.get("categories")
            shown = [column.get("name"), column.get("kind"), *(categories if isinstance(categories, list) else ())]
            inputs[f"column {number}"] = shown
    return {"run": run, "input": inputs, "settings": _mapping(config, "settings"), "scores": scores}


def _state(opened: Run) -> tuple[list[dict[str, Any]], str, str | None]:
    """(rows, state, what to do)."""
    from flipgrad._run_state import lacking, resume_command

    try:
        rows = opened.rows
    except InputError as error:
        return [], "damaged", str(error)
    if not opened.done:
        command = resume_command(opened.path, opened.config)
        return rows, "not done", command and f"finish it with: {command}"
    missing = lacking(opened)
    return rows, "damaged" if missing else "done", missing


def _mapping(config: dict[str, Any], name: str) -> dict[str, Any]:
    """A part of a configuration that may have been written by anybody."""
    value = config.get(name)
    return value if isinstance(value, dict) else {}
