"""What a run lacks of what its settings ask for, and the one command that mends it."""

from __future__ import annotations

import os
import re
import shlex
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flipgrad._archives import open_zip
from flipgrad._run_files import NAME, is_key, key_of, read_histories, read_rows
from flipgrad.errors import InputError

if TYPE_CHECKING:
    from flipgrad.runs import Run


_MEMBERS = {"config.json", "metadata.json", "model.weights.h5"}  # of a saved model
# What reading a damaged archive raises.
_DAMAGES = (InputError, OSError, EOFError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error)


def resume_command(path: Path, config: Mapping[str, Any]) -> str | None:
    """The command that goes on with a run, and trains again what it lacks; None where nobody knows which made it."""
    experiment = config.get("experiment")
    if experiment == "adapt":
        return shlex.join(["flipgrad", "adapt", "--resume", str(path)])
    if not isinstance(experiment, str) or not re.fullmatch(NAME, experiment):
        return None
    return shlex.join(["flipgrad", "run", experiment, "--out", str(path), "--resume"])


def repair(path: Path, config: Mapping[str, Any]) -> str:
    """What to do about a result that is missing or damaged: the same words wherever it is met."""
    command = resume_command(path, config)
    return f"train again what is missing with: {command}" if command else "restore it"


def trainings(config: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Every (mode, seed) that a run is to have, each once; none where its settings, perhaps a stranger's, say none."""
    settings = config.get("settings")
    if not isinstance(settings, dict):
        return
    modes, seeds = settings.get("modes"), settings.get("seeds")
    if config.get("experiment") == "adapt":  # of one training; what the settings leave out is as `Recipe` has it
        modes = settings.get("modes", [settings.get("mode", "dann")])
        seeds = settings.get("seeds", [settings.get("seed", 0)])
    if not isinstance(modes, list) or not isinstance(seeds, list):
        return
    for seed in dict.fromkeys(seed for seed in seeds if is_key("any", seed)):
        yield from ((mode, seed) for mode in dict.fromkeys(mode for mode in modes if is_key(mode, seed)))


def lacking(run: Run, then: str | None = None, *, models: bool = True) -> str | None:
    """One line on the first thing that the run should have by its end and has not; None where it is whole.

    That is a readable result of each training and, of ``adapt``, the model, without which such a run is of no use.  The
    models of an experiment may be deleted.

    Args:
        run: finished or not.
        then: what the line ends in; by default the command that mends it.
        models: whether to look for that model.
    """
    then = then or repair(run.path, run.config)
    path = run.path / "results.json"
    try:
        rows = {key_of(row): row for row in read_rows(path, then)}
    except InputError as error:
        return str(error)
    for mode, seed in trainings(run.config):
        if (mode, seed) not in rows:
            return f"{path}: expected the result of {mode}, seed {seed}, found none; {then}"
        if models and not _has_model(run, rows[mode, seed]):
            model = run.model_path(mode, seed)
            found = "a damaged file" if model.is_file() else "a folder" if model.is_dir() else "none"
            return f"{model}: expected the model of {mode}, seed {seed}, found {found}; {then}"
    return None


def lost_history(run: Run) -> str | None:
    """One line where ``history.csv`` has not every training; None where it has.  Nothing is trained again for that."""
    path, then = run.path / "history.csv", "the results and models are whole, so nothing is trained again for it"
    try:
        lost = set(trainings(run.config)) - set(read_histories(path, then))
    except InputError as error:
        return str(error)
    found = "less" if path.exists() else "none"
    return f"{path}: expected the history of every training, found {found}; {then}" if lost else None


def lacks(run: Run, mode: str, seed: int) -> bool:
    """Whether the run has still, or again, to train this (mode, seed)."""
    row = next((row for row in run.rows if key_of(row) == (mode, seed)), None)
    return row is None or not _has_model(run, row)


def _has_model(run: Run, row: Mapping[str, Any]) -> bool:
    """Whether the model of a row is there, where it must be: a training of ``adapt`` that has not diverged."""
    if run.config.get("experiment") != "adapt" or row.get("diverged") is not None:
        return True
    model = run.model_path(row["mode"], row["seed"])
    if not model.is_file():
        return False
    about = model.stat()
    return _is_whole(model, about.st_size, about.st_mtime_ns, about.st_ctime_ns)


@lru_cache(
    maxsize=10_000
)  # asked several times of each model, which may be large; the file as it was then is in the key
def _is_whole(model: Path, *_: int) -> bool:
    """Whether a file is an archive with the parts of a saved model, each with the checksum that it was stored with."""
    try:
        with open_zip(model) as archive:
            return set(archive.namelist()) >= _MEMBERS and archive.testzip() is None
    except _DAMAGES:
        return False


def set_aside(run: Path, config: Mapping[str, Any], report: Callable[[str], None]) -> None:
    """Renames what is in the way of a run that goes on, and says so.

    That is a ``results.json`` or ``history.csv`` that cannot be read, and a folder in place of a model.
    """
    for name, read in (("results.json", read_rows), ("history.csv", read_histories)):
        kept = damaged_name(run / name)
        try:
            read(run / name, f"kept as {kept.name}")
        except InputError as error:
            os.replace(run / name, kept)
            report(str(error))
    if (run / "models").is_symlink():
        return  # refused where the model is written
    for mode, seed in trainings(config):
        model = run / "models" / f"{mode}-{seed}.keras"
        if model.is_dir() and not model.is_symlink():
            kept = damaged_name(model)
            os.replace(model, kept)
            report(f"{model}: expected a model, found a folder; kept as {kept.name}")


def damaged_name(path: Path) -> Path:
    """``NAME.damaged`` beside it; with a number where that is taken, for it may be somebody's only copy."""
    kept, number = path.with_name(f"{path.name}.damaged"), 1
    while kept.exists() or kept.is_symlink():
        number += 1
        kept = path.with_name(f"{path.name}.damaged-{number}")
    return kept
