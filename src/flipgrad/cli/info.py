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
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run folder, of flipgrad adapt or run.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Say what a run is: data, classes, settings, scores.

    Only text files of the folder are read: no model is loaded, so a folder from a stranger does no harm.  Its state is
    "done", "not done", or "damaged" where a result or the model of a run of adapt is missing or cannot be read; beside
    the last two it says what to do.

    \b
    Example:
      flipgrad info runs/photos
    """
    from flipgrad.cli import _tables
    from flipgrad.runs import Run

    opened = Run.open(Path(run).expanduser())
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
