"""The run folder: everything that one command produced, safe against crashes and a second writer.

``config.json`` (settings, versions, backend, data checksums), ``history.csv``, ``results.json``,
``models/*.keras``, ``figures/*.png`` and, last of all, ``done``.  All but the models (which
Keras writes) appear whole or not at all.  A (mode, seed) is finished when its row is in
``results.json``, so write its model and its history first.
"""

from __future__ import annotations

import csv
import importlib.metadata
import io
import os
import platform
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from flipgrad._files import locked, plain, read_json, to_json, write_whole
from flipgrad.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FORMAT = 1  # in config.json under "flipgrad_run": tells a run from any folder with a config.json
_COMPARED = ("settings", "backend", "data")  # what must be equal for a run to be resumed
LEFTOVERS = {".lock", ".config.json.tmp"}  # all that a run which died at once can leave
_PACKAGES = ["flipgrad", "keras", "tensorflow", "tensorflow-cpu", "jax", "torch"]
_PACKAGES += ["numpy", "scikit-learn", "matplotlib"]
_KEYS = ("mode", "seed", "epoch")

History = Mapping[str, Sequence[Any]]


class Run:
    """One run folder.  Made by ``Run.create`` (which may write) or ``Run.open`` (which may not).

    Attributes:
        path: the folder.
        config: the content of ``config.json``.
    """

    def __init__(self, path: Path, config: dict[str, Any], lock: IO[bytes] | None = None) -> None:
        self.path = path
        self.config = config
        self._lock = lock

    @classmethod
    def create(cls, path: str | os.PathLike[str], config: Mapping[str, Any], *, resume: bool = False) -> Run:
        """Starts a run in a new or empty folder, or goes on with an unfinished one.

        Args:
            path: the folder; made, with its parents, where it does not exist.
            config: what ``config.json`` shall say: "settings" (a mapping or a dataclass), and where
                known "backend" and "data" (checksums).  Versions, platform and time are added.
            resume: go on with the run in the folder.  Its settings, backend and data must be the
                given ones.  A folder that does not exist or is empty is a new run; one that is
                done comes back read-only, with ``done`` True.

        Raises:
            InputError: the folder holds something else, or another process is writing there.
        """
        path, wanted = Path(path), plain(config)
        if not isinstance(wanted.get("settings"), dict):
            raise InputError('config needs "settings", a mapping or a dataclass; give it')
        wanted.setdefault("backend", os.environ.get("KERAS_BACKEND"))
        try:
            stored = stored_config(path, wanted, resume)  # refuses before anything is touched
            if stored is not None and (path / "done").is_file():
                return cls(path, stored)
            path.mkdir(parents=True, exist_ok=True)
            lock = locked(path)
        except OSError as error:
            raise InputError(f"{path}: cannot write ({error}); choose another --out") from None
        run = cls(path, {}, lock)
        try:  # look again, now that nobody else can write: another command may just have ended
            run.config = stored_config(path, wanted, resume) or _described(wanted)
            if not (path / "config.json").exists():
                run._write("config.json", to_json(run.config))
        except BaseException:
            run.close()
            raise
        if run.done:
            run.close()
        return run

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Run:
        """Opens a finished or unfinished run for reading; InputError when it is not a run."""
        return cls(Path(path), _read_config(Path(path)))

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The rows of ``results.json``, in order of arrival; empty before the first."""
        path = self.path / "results.json"
        rows = read_json(path) if path.exists() else []
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise InputError(f"{path}: expected a list of rows; delete the file and use --resume")
        return rows

    @property
    def histories(self) -> dict[tuple[str, int], dict[str, list[float | None]]]:
        """``history.csv`` by (mode, seed): for each name one value an epoch, None where missing."""
        path = self.path / "history.csv"
        read: dict[tuple[str, int], dict[str, list[float | None]]] = {}
        if not path.exists():
            return read
        try:
            with path.open(encoding="utf-8", newline="") as file:
                for line in csv.DictReader(file):
                    history = read.setdefault((line.pop("mode"), int(line.pop("seed"))), {})
                    line.pop("epoch")
                    for name, text in line.items():
                        history.setdefault(name, []).append(float(text) if text else None)
        except (KeyError, ValueError, TypeError, csv.Error) as error:
            raise InputError(f"{path}: not a history ({error!r}); delete it") from None
        return read

    @property
    def done(self) -> bool:
        """Whether the run has come to its end."""
        return (self.path / "done").is_file()

    def finished(self, mode: str, seed: int) -> bool:
        """Whether ``results.json`` has the row of this (mode, seed)."""
        return any(_key(row) == (mode, seed) for row in self.rows)

    def add_history(self, mode: str, seed: int, history: History) -> None:
        """Writes the history of one (mode, seed) to ``history.csv``, in place of its old one.

        Columns are mode, seed, epoch (from 1) and the union of all names; what is missing stays
        empty, and a list shorter than the others is taken to begin at epoch 1.
        """
        if taken := [name for name in history if name in _KEYS]:
            raise InputError(f"history: {taken[0]!r} is a column already; choose another name")
        key = (_safe(mode), int(seed))
        histories: dict[tuple[str, int], History] = {**self.histories, key: history}
        names = list(dict.fromkeys(name for each in histories.values() for name in each))
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([*_KEYS, *names])
        for key, each in histories.items():
            for epoch in range(max(map(len, each.values()), default=0)):
                values = [each[n][epoch] if epoch < len(each.get(n, ())) else None for n in names]
                writer.writerow([*key, epoch + 1, *("" if v is None else float(v) for v in values)])
        self._write("history.csv", text.getvalue().encode())

    def add_row(self, row: Mapping[str, Any]) -> None:
        """Writes one row to ``results.json``, in place of an old one of the same mode and seed.

        Args:
            row: "mode", "seed", and the results: accuracies in 0 to 1 or None, counts, seconds.
        """
        new, rows = plain(row), self.rows
        if not isinstance(new.get("mode"), str) or not isinstance(new.get("seed"), int):
            raise InputError(f'row needs "mode" (text) and "seed" (whole number); received {new}')
        by_key = {_key(old): old for old in rows} | {_key(new): new}
        self._write("results.json", to_json(list(by_key.values())))

    def model_path(self, mode: str, seed: int) -> Path:
        """Where the model of this (mode, seed) belongs: ``models/{mode}-{seed}.keras``."""
        path = self.path / "models" / f"{_safe(mode)}-{int(seed)}.keras"
        path.parent.mkdir(exist_ok=True)
        return path

    def save_figure(self, name: str, figure: Figure) -> Path:
        """Writes ``figures/{name}.png`` (120 dots an inch) and returns its path."""
        return self._write(f"figures/{_safe(name)}.png", png(figure))

    def finish(self) -> None:
        """Writes ``done`` and closes the run: nothing is written after it."""
        self._write("done", f"{_now()}\n".encode())
        self.close()

    def close(self) -> None:
        """Lets other processes write to the folder; this one no longer can."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, name: str, content: bytes) -> Path:
        """Writes a whole file or, when killed or out of space, leaves the old one as it was."""
        if self._lock is None:
            raise InputError(f"{self.path}: open for reading only; go on with --resume")
        return write_whole(self.path / name, content)


def summarise(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Mean and spread over the seeds, for each mode in order of appearance.

    Args:
        rows: as in ``results.json``; of their keys those that end in "accuracy" are summarised.

    Returns:
        One dict a mode: "mode", "n" (its rows), and for every accuracy key a dict of n, mean, std
        (with n - 1; None below two values), median, min and max.  None and NaN are left out; with
        no value left, all but n are None.
    """
    rows = list(rows)
    keys = dict.fromkeys(key for row in rows for key in row if key.endswith("accuracy"))
    summary = []
    for mode in dict.fromkeys(row["mode"] for row in rows):
        own = [row for row in rows if row["mode"] == mode]
        summary.append({"mode": mode, "n": len(own)} | {k: _spread(own, k) for k in keys})
    return summary


def stored_config(path: Path, wanted: dict[str, Any], resume: bool) -> dict[str, Any] | None:
    """The configuration of the run to go on with; None where a new run may start.  Only reads."""
    if path.exists() and not path.is_dir():
        raise InputError(f"{path}: expected a folder, found a file; choose another --out")
    names = sorted(p.name for p in path.iterdir()) if path.exists() else []
    if not set(names) - LEFTOVERS:
        return None
    stored = _read_config(path)  # refuses a folder with other files
    if not resume:
        state = "a finished" if "done" in names else "an unfinished"
        raise InputError(f"{path}: holds {state} run; choose another --out, or --resume it")
    changes = [change for part in _COMPARED for change in _changes(part, stored, wanted)]
    if changes:
        what = "; ".join(changes)
        raise InputError(f"{path}: cannot resume, {what}; use the old ones or choose another --out")
    return stored


def png(figure: Figure) -> bytes:
    """A figure as a PNG file of 120 dots an inch."""
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=120, bbox_inches="tight")
    return image.getvalue()


def _changes(part: str, stored: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """What differs in one part of the configuration, each as "name was old, now new"."""
    old, new = stored.get(part), wanted.get(part)
    if part != "settings" and None in (old, new):
        return []  # not known on one side
    if not isinstance(old, dict) or not isinstance(new, dict):
        return [] if old == new else [f"{part} was {old!r}, now {new!r}"]
    return [
        f"{name} was {old.get(name)!r}, now {new.get(name)!r}"
        for name in {**old, **new}
        if old.get(name) != new.get(name)
    ]


def _read_config(path: Path) -> dict[str, Any]:
    """``config.json`` of a run; InputError that says why the folder is none."""
    if not path.is_dir():
        raise InputError(f"{path}: there is no such folder; give the --out of a run")
    if not (path / "config.json").is_file():
        names = sorted(p.name for p in path.iterdir())
        holds = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "") or "nothing"
        raise InputError(f"{path}: not a run: config.json missing, holds {holds}; choose another")
    config = read_json(path / "config.json")
    if not isinstance(config, dict) or config.get("flipgrad_run") != _FORMAT:
        found = config.get("flipgrad_run") if isinstance(config, dict) else None
        raise InputError(
            f"{path}: not a run of this version: config.json must say flipgrad_run = {_FORMAT}, "
            f"says {found!r}; choose another folder"
        )
    return config


def _described(wanted: dict[str, Any]) -> dict[str, Any]:
    """The content of ``config.json``: what was given and what it runs on."""
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return {
        "flipgrad_run": _FORMAT,
        "started": _now(),
        **wanted,
        "versions": versions,
        "platform": platform.platform(),
    }


def _spread(rows: Sequence[Mapping[str, Any]], key: str) -> dict[str, float | int | None]:
    values = [float(v) for row in rows if (v := plain(row.get(key))) is not None]
    spread: dict[str, float | int | None] = dict.fromkeys(("mean", "std", "median", "min", "max"))
    if values:
        spread |= {"mean": statistics.fmean(values), "median": statistics.median(values)}
        spread |= {"min": min(values), "max": max(values)}
    if len(values) > 1:
        spread["std"] = statistics.stdev(values)
    return {"n": len(values)} | spread


def _key(row: Mapping[str, Any]) -> tuple[Any, Any]:
    return row.get("mode"), row.get("seed")


def _safe(name: str) -> str:
    if not re.fullmatch(r"\w[\w.+-]*", name):
        raise InputError(f"mode or file name: expected letters, digits and ._+-, received {name!r}; rename it")
    return name


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
