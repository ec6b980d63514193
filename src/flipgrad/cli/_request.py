"""What a ``flipgrad run`` was asked for."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from flipgrad.cli import _backend, _errors, _folders, _options
from flipgrad.cli._experiments import EXPERIMENTS

Text = str | None


@dataclass(frozen=True)
class Request:
    """What was asked for, checked as far as it can be without Keras."""

    experiment: str
    preset: str | None
    out: Path
    backend: str
    data_dir: Path | None
    resume: bool
    changes: dict[str, Any]  # of the settings: only those that were given
    stored: dict[str, Any] | None  # the config.json of the run to resume

    def settings(self, module: Any) -> Any:
        """Those of the run to resume or of the preset, with the given ones in their place."""
        if self.stored is not None and self.preset is None:
            settings = _folders.stored_settings(self.out, self.stored, module.Settings)
        else:
            settings = module.PRESETS[self.preset or EXPERIMENTS[self.experiment].presets[0]]
        changes = dict(self.changes)
        if "batch_size" in changes and hasattr(settings, "single_batch_size"):  # keeps its ratio
            rows = changes["batch_size"] * settings.single_batch_size // settings.batch_size
            changes["single_batch_size"] = max(rows, 1)
        return replace(settings, **changes)

    def resume_command(self) -> str:
        """The command that goes on with this run."""
        words = ["flipgrad", "run", self.experiment, "--out", str(self.out), "--resume"]
        if self.data_dir is not None:
            words += ["--data-dir", str(self.data_dir)]
        return shlex.join(words)


def check(
    experiment: str,
    *,
    out: Text = None,
    seeds: Text = None,
    modes: Text = None,
    preset: Text = None,
    steps: Text = None,
    batch_size: Text = None,
    backend: Text = None,
    precision: Text = None,
    data_dir: Text = None,
    resume: bool = False,
) -> Request:
    """The texts of the command line as values; writes nothing.

    Raises:
        InputError: one of them cannot be used.
    """
    known = EXPERIMENTS[_errors.one_of("EXPERIMENT", experiment, EXPERIMENTS)]
    changes: dict[str, Any] = {}
    if seeds is not None:
        changes["seeds"] = _options.seeds(seeds)
    if modes is not None:
        changes["modes"] = _options.modes(modes, known.modes)
    if preset is not None:
        _errors.one_of("--preset", preset, known.presets)
    if steps is not None:
        changes["steps"] = _options.count("--steps", steps)
    if batch_size is not None:
        changes["batch_size"] = _options.count("--batch-size", batch_size)
    if precision is not None:
        changes["precision"] = _options.precision(precision)
    if backend is not None:
        _errors.one_of("--backend", backend, _backend.BACKENDS)
    folder = _options.existing_folder("--data-dir", data_dir)
    place, stored = _folders.check(experiment, out, resume)
    chosen = _backend.choose(backend or (stored or {}).get("backend"))
    return Request(experiment, preset, place, chosen, folder, resume, changes, stored)
