"""The run folder, looked at before anything is trained or written."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from flipgrad.cli._errors import bad
from flipgrad.errors import InputError


def check(experiment: str, out: str | None, resume: bool) -> tuple[Path, dict[str, Any] | None]:
    """The run folder, and the ``config.json`` of the run to resume (None for a new run).

    ``Run.create`` looks again when it locks the folder; this only saves reading data in vain.

    Raises:
        InputError: the folder cannot be used.
    """
    if out is None:
        if resume:
            raise bad("--resume", "--out with the folder of the run", None, "name it: --out FOLDER")
        return _unused(experiment), None
    if not out.strip():
        raise bad("--out", "the name of a folder", out, "name one")
    path = Path(out).expanduser()
    _refuse_unwritable(path, resume)
    return path, _stored(experiment, path, resume)


def finished_trainings(path: Path) -> int:
    """How many trainings an earlier command finished; none where their results are damaged: they are trained again."""
    from flipgrad.runs import Run

    try:
        return len(Run.open(path).rows)
    except InputError:
        return 0


def stored_settings(path: Path, config: dict[str, Any], settings: Callable[..., Any]) -> Any:
    """The settings in a ``config.json`` as the experiment's own class.

    Raises:
        InputError: they are of another version of the experiment.
    """
    stored = config.get("settings", {})
    try:
        return settings(**{k: tuple(v) if isinstance(v, list) else v for k, v in stored.items()})
    except (TypeError, AttributeError) as error:
        raise InputError(
            f"{path}/config.json: the settings are not those of this version ({error}); "
            "start a new run with another --out"
        ) from None


def _stored(experiment: str, path: Path, resume: bool) -> dict[str, Any] | None:
    """The configuration of the run to go on with; None where a new run may start."""
    from flipgrad import _run_config  # imports NumPy: not for --help

    if not resume:
        _run_config.stored_config(path, {"settings": {}}, False)
        return None
    if _run_config.is_unused(path):
        return None
    stored = _run_config.read_config(path)
    if stored.get("experiment", experiment) != experiment:
        remedy = f"say: flipgrad run {stored['experiment']}, or choose another --out"
        raise bad("--resume", f"a run of {experiment} in {path}", stored["experiment"], remedy)
    return stored


def _refuse_unwritable(path: Path, resume: bool = False) -> None:
    """InputError where the folder can never be made or written."""
    place = path.absolute()
    try:
        while not place.exists():
            place = place.parent
    except OSError as error:  # a name that is too long
        remedy = f"{error.strerror}; choose another"
        raise bad("--out", "a folder that can be made", str(path), remedy) from None
    if not place.is_dir():
        raise bad("--out", "a folder", str(path), f"{place} is a file; choose another --out")
    if not os.access(place, os.W_OK | os.X_OK):
        begun = resume and (path / "config.json").is_file()
        instead = "make it writable or copy it to another place" if begun else "choose another --out"
        remedy = f"you may not write in {place}; {instead}"
        raise bad("--out", "a folder that can be written", str(path), remedy)


def _unused(experiment: str) -> Path:
    """``runs/EXPERIMENT-DATE-TIME``, with a number where that is taken."""
    name = f"{experiment}-{datetime.now():%Y%m%d-%H%M%S}"
    path, number = Path("runs") / name, 1
    while path.exists():
        number += 1
        path = Path("runs") / f"{name}-{number}"
    _refuse_unwritable(path)
    return path
