"""Reads what the page is made of from a run folder; what is missing or damaged is said, not made up."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flipgrad import recording
from flipgrad._files import plain
from flipgrad._run_state import lacking
from flipgrad.comparison import compare
from flipgrad.errors import InputError
from flipgrad.health import records
from flipgrad.picking import read_pick
from flipgrad.recording import Inputs, Recording
from flipgrad.report.contents import Contents
from flipgrad.runs import Run

MOST_TRAININGS = 12  # whose frames go into one page: it stays below 15 MB
_REMEDY = "delete it: the page is then made without"


def gather(path: str | os.PathLike[str]) -> Contents:
    """Reads a run folder.

    Raises:
        InputError: it is no run.
    """
    run = Run.open(path)
    found = Contents(run.path, run.config, run.done)

    def part(name: str, read: Callable[[], Any]) -> None:
        try:
            setattr(found, name, read())
        except (InputError, OSError) as error:
            found.problems[name] = [str(error)]

    part("rows", lambda: run.rows)
    if run.done and not found.problems and (missing := lacking(run, models=False)):
        found.problems["rows"] = [missing]
    part("histories", lambda: run.histories)
    part("pick", lambda: read_pick(run))
    if len(found.rows) > 1:
        part("comparison", lambda: compare([run]))
    inputs = run.path / "observations" / "inputs.npz"
    part("inputs", lambda: _read(inputs, Inputs) if inputs.is_file() else None)
    part(
        "health",
        lambda: {(entry["mode"], entry["seed"]): plain(entry) for entry in records.entries(records.read(run.path))},
    )
    if found.inputs is not None:
        _add_recordings(run, found, found.inputs)
    return found


def _add_recordings(run: Run, found: Contents, inputs: Inputs) -> None:
    """The frames of as many trainings as a page takes: first those that the page is about, then seed by seed."""
    names = {f"{mode}-{seed}": (mode, seed) for mode, seed in found.trainings}
    folder = run.path / "observations"
    # Trainings that are not finished have no row and maybe no history yet.
    for path in sorted(folder.glob("*.npz")):
        mode, _, seed = path.stem.rpartition("-")
        if path.stem not in names and mode and seed.isdecimal():
            names[path.stem] = (mode, int(seed))
    present = [(key, folder / f"{name}.npz") for name, key in names.items() if (folder / f"{name}.npz").is_file()]
    picked = names.get(found.pick.picked or "") if found.pick else None
    first = (picked, ("source", picked[1])) if picked else ()
    present.sort(key=lambda entry: (entry[0] not in first, entry[0][1]))  # stable: of a seed in order of arrival
    for key, path in present:
        if len(found.recordings) == MOST_TRAININGS:
            found.left_out.append(f"{key[0]}-{key[1]}")
            continue
        try:
            recorded: Recording = _read(path, Recording)
            if not recorded.of(inputs):
                raise InputError(f"{path}: of other rows than {folder}/inputs.npz; {_REMEDY}")
            found.recordings[key] = recorded
        except InputError as error:
            found.problems.setdefault("recordings", []).append(str(error))


def _read(path: Path, kind: type[Any]) -> Any:
    """As ``recording.read``, and says what to do about a file that nobody can fetch or save again."""
    try:
        return recording.read(path, kind)
    except InputError as error:
        raise InputError(f"{str(error).rpartition('; ')[0] or error}; {_REMEDY}") from None
