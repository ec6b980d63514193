"""``flipgrad health``: did it work, and what is the matter?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from flipgrad.cli import _backend, _errors


def health(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run folder, of flipgrad adapt or run.")],
    backend: Annotated[
        str | None, typer.Option(metavar="NAME", help="tensorflow, jax or torch, where models must be loaded.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what health.json holds and nothing else.")] = False,
) -> None:
    """Say whether the adaptation worked, by held-out rows of both domains and without target labels.

    Each verdict comes with the numbers it rests on, what it means and what to do.  Trainings are held against
    source-only training of the same seed, where the run has one: train both modes.

    The figures were measured at the end of each training and lie in RUN/health.json; of a run that has none, the
    models are loaded and looked at now.

    Aligned is not accurate: only labelled rows of the target tell how good the predictions are.

    \b
    Examples:
      flipgrad health runs/photos
      flipgrad health runs/mnist --json
    """
    from flipgrad.cli import _tables
    from flipgrad.health import records
    from flipgrad.runs import Run

    opened = Run.open(Path(run).expanduser())
    found = records.read(opened.path)
    if any((row["mode"], row["seed"]) not in found for row in opened.rows):
        _backend.start(_backend.choose(backend))
        from flipgrad.health.examining import examine

        console = Console(stderr=True, soft_wrap=True, highlight=False, quiet=as_json)
        found = examine(opened, found, lambda line: console.print(line, markup=False))
        records.write(opened.path, found)
    if not opened.done:
        _errors.say(f"{opened.path}: the run is not finished; these are its trainings so far")
    if as_json:
        _tables.print_json(records.entries(found))
        return
    output = Console(highlight=False, soft_wrap=True)
    if not found:
        why = "has a classifier to judge" if opened.rows else "has ended"
        output.print(f"No training of this run {why}.", markup=False)
    for key, verdicts in records.diagnoses(found).items():
        for text in _lines(key, verdicts, found[key].online_loss is None):
            output.print(text, markup=False)


def _lines(key: tuple[str, int], verdicts: list[Any], alone: bool) -> list[str]:
    title = f"{key[0]}, seed {key[1]}"
    if not verdicts:
        reason = "no discriminator" if alone else "its discriminator is at chance, and there is no fresh one beside it"
        return [f"{title}: nothing to judge: {reason}", ""]
    lines = [f"{title}: {'; '.join(each.name for each in verdicts)}"]
    for each in verdicts:
        lines += [f"  {each.name}", f"    {each.meaning}", f"    {each.advice}", f"    [{each.numbers}]"]
    return [*lines, ""]
