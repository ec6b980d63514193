"""The run folder: everything that one command produced, safe against crashes and a second writer.

``config.json`` (settings, versions, backend, data checksums), ``history.csv``, ``results.json``,
``models/*.keras``, ``observations/*.npz``, ``figures/*.png``, of several trainings ``comparison.*`` and
``selection.json``, and, last of all, ``done``.  All but the models (which Keras writes) appear whole
or not at all.  A (mode, seed) is finished when its row is in ``results.json``, so write its model and
its history first.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from flipgrad._files import locked, plain, to_json, write_whole
from flipgrad._run_config import new_config, now, read_config, stored_config
from flipgrad._run_files import NAME, ROW, is_row, key_of, read_histories, read_rows
from flipgrad._run_state import lacking, repair, set_aside
from flipgrad.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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
    def create(
        cls,
        path: str | os.PathLike[str],
        config: Mapping[str, Any],
        *,
        resume: bool = False,
        defaults: Mapping[str, Any] | None = None,
        report: Callable[[str], None] = lambda line: None,
    ) -> Run:
        """Starts a run in a new or empty folder, or goes on with an unfinished one.

        Args:
            path: the folder; made, with its parents, where it does not exist.
            config: what ``config.json`` shall say: "settings" (a mapping or a dataclass), and where
                known "backend" and "data" (checksums).  Versions, platform and time are added.
            resume: go on with the run in the folder.  Its settings, backend and data must be the
                given ones.  A folder that does not exist or is empty is a new run; one that is
                done comes back read-only, with ``done`` True.  One that is done but lacks a result
                that its settings ask for is unfinished again; a ``results.json`` or ``history.csv``
                that cannot be read, and a folder in place of a model, are kept as ``NAME.damaged``.
            defaults: values of settings that the run in the folder may leave out: an earlier version had them not.
            report: told in a line of what was damaged or missing.

        Raises:
            InputError: the folder holds something else, or another process is writing there.
        """
        path, wanted = Path(path), plain(config)
        if not isinstance(wanted.get("settings"), dict):
            raise InputError('config needs "settings", a mapping or a dataclass; give it')
        wanted.setdefault("backend", os.environ.get("KERAS_BACKEND"))
        defaults = plain(defaults or {})
        try:
            stored = stored_config(path, wanted, resume, defaults)  # refuses before anything is touched
            if stored is not None and (old := cls(path, stored)).done and lacking(old) is None:
                return old
            path.mkdir(parents=True, exist_ok=True)
            lock = locked(path)
        except OSError as error:
            begun = resume and (path / "config.json").is_file()
            remedy = "make it writable or copy it to another place" if begun else "choose another --out"
            raise InputError(f"{path}: cannot write ({error}); {remedy}") from None
        run = cls(path, {}, lock)
        try:  # look again, now that nobody else can write: another command may just have ended
            run.config = stored_config(path, wanted, resume, defaults) or new_config(wanted)
            if not (path / "config.json").exists():
                run._write("config.json", to_json(run.config))
            run._mend(report)
        except BaseException:
            run.close()
            raise
        if run.done:
            run.close()
        return run

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Run:
        """Opens a finished or unfinished run for reading; InputError when it is not a run."""
        return cls(Path(path), read_config(Path(path)))

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The rows of ``results.json``, in order of arrival; empty before the first."""
        return read_rows(self.path / "results.json", repair(self.path, self.config))

    @property
    def histories(self) -> dict[tuple[str, int], dict[str, list[float | None]]]:
        """``history.csv`` by (mode, seed): for each name one value an epoch, None where missing."""
        return read_histories(self.path / "history.csv", "restore or delete it")

    @property
    def done(self) -> bool:
        """Whether the run has come to its end."""
        return (self.path / "done").is_file()

    def finished(self, mode: str, seed: int) -> bool:
        """Whether ``results.json`` has the row of this (mode, seed)."""
        return any(key_of(row) == (mode, seed) for row in self.rows)

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
        if not is_row(new):
            raise InputError(f"{ROW}, received {new}")
        by_key = {key_of(old): old for old in rows} | {key_of(new): new}
        self._write("results.json", to_json(list(by_key.values())))

    def model_path(self, mode: str, seed: int) -> Path:
        """Where the model of this (mode, seed) belongs: ``models/{mode}-{seed}.keras``."""
        return self._place("models", f"{_safe(mode)}-{int(seed)}.keras")

    def checkpoint_path(self, mode: str, seed: int) -> Path:
        """Where the checkpoint of this (mode, seed) belongs while it is trained: ``checkpoints/{mode}-{seed}.npz``."""
        return self._place("checkpoints", f"{_safe(mode)}-{int(seed)}.npz")

    def observation_path(self, name: str) -> Path:
        """Where recorded arrays belong: ``observations/{name}.npz``, see ``recording``."""
        return self._place("observations", f"{_safe(name)}.npz")

    def save_figure(self, name: str, figure: Figure) -> Path:
        """Writes ``figures/{name}.png`` (120 dots an inch) and returns its path."""
        return self._write(f"{_safe(name)}.png", png(figure), "figures")

    def save_text(self, name: str, content: bytes) -> Path:
        """Writes a file of the folder, such as ``comparison.csv``, and returns its path."""
        return self._write(_safe(name), content)

    def finish(self) -> None:
        """Writes ``done`` and closes the run: nothing is written after it."""
        self._write("done", f"{now()}\n".encode())
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

    def _mend(self, report: Callable[[str], None]) -> None:
        """Makes a run unfinished that is done but not whole, with nothing in the way of what is written next."""
        whole = lacking(self) is None
        set_aside(self.path, self.config, report)
        if self.done and not whole:
            if missing := lacking(self, "it is trained again"):
                report(missing)
            (self.path / "done").unlink()

    def _place(self, part: str, name: str) -> Path:
        """A file in a sub-folder, if any, which is made where this run may write and must be no link."""
        folder = self.path / part
        if part and self._lock is not None:
            if folder.is_symlink():
                raise InputError(f"{folder}: is a link, which flipgrad never makes; delete it")
            folder.mkdir(exist_ok=True)
        return folder / name

    def _write(self, name: str, content: bytes, part: str = "") -> Path:
        """Writes a whole file or, when killed or out of space, leaves the old one as it was."""
        if self._lock is None:
            raise InputError(f"{self.path}: open for reading only; go on with --resume")
        return write_whole(self._place(part, name), content)


def png(figure: Figure) -> bytes:
    """A figure as a PNG file of 120 dots an inch."""
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=120, bbox_inches="tight")
    return image.getvalue()


def _safe(name: str) -> str:
    if not re.fullmatch(NAME, name):
        raise InputError(f"mode or file name: expected letters, digits and ._+-, received {name!r}; rename it")
    return name
