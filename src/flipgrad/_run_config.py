"""The configuration of a run, ``config.json``: made, read, and compared with the one that is wanted."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flipgrad._files import leftovers, read_json
from flipgrad.errors import InputError

_FORMAT = 1  # in config.json under "flipgrad_run": tells a run from any folder with a config.json
_COMPARED = ("settings", "backend", "data", "input")  # what must be equal for a run to be resumed
_INPUT = {"kind": str, "shape": list, "classes": dict, "detail": dict}  # what "input", the format of the data, holds
_PACKAGES = ["flipgrad", "keras", "tensorflow", "tensorflow-cpu", "jax", "torch"]
_PACKAGES += ["numpy", "scikit-learn", "matplotlib"]


def stored_config(
    path: Path, wanted: dict[str, Any], resume: bool, defaults: Mapping[str, Any] | None = None
) -> dict[str, Any] | None:
    """The configuration of the run to go on with; None where a new run may start.  Only reads.

    ``defaults`` are the values of settings that a run of an earlier version does not name.
    """
    if path.exists() and not path.is_dir():
        raise InputError(f"{path}: expected a folder, found a file; choose another --out")
    if is_unused(path):
        return None
    stored = read_config(path)  # refuses a folder with other files
    if not resume:
        state = "a finished" if (path / "done").is_file() else "an unfinished"
        raise InputError(f"{path}: holds {state} run; choose another --out, or --resume it")
    if "input" in wanted and not _is_input(stored.get("input")):
        raise InputError(
            f'{path}/config.json: "input", the description of the data, is missing or damaged; restore the file or '
            "start a new run with another --out"
        )
    changes = [change for part in _COMPARED for change in _changes(part, stored, wanted, defaults or {})]
    if changes:
        what = "; ".join(changes[:8])
        raise InputError(f"{path}: cannot resume, {what}; use the old ones or start a new run with another --out")
    return stored


def is_unused(path: Path) -> bool:
    """Whether there is no such folder, or nothing in it but what a run that died at once can leave."""
    return not path.exists() or not {*os.listdir(path)} - {".lock"} - leftovers(path / "config.json")


def _changes(part: str, stored: dict[str, Any], wanted: dict[str, Any], defaults: Mapping[str, Any]) -> list[str]:
    """What differs in one part of the configuration, each as "name was old, now new"."""
    old, new = stored.get(part), wanted.get(part)
    if part != "settings" and None in (old, new):
        return []  # not known on one side
    if not isinstance(old, dict) or not isinstance(new, dict):
        return [] if old == new else [f"{part} was {old!r:.200}, now {new!r:.200}"]
    if part == "settings":
        old = {**{name: value for name, value in defaults.items() if name in new}, **old}
    if part == "input":  # as JSON, in which true is not 1
        names = [name for name in {**old, **new} if json.dumps(old.get(name)) != json.dumps(new.get(name))]
        return [_input_change(name, old.get(name), new.get(name)) for name in names]
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    if part == "data":
        return [f"the data of {name[:80]} have changed" for name in names]
    return [f"{name[:80]} was {old.get(name)!r:.200}, now {new.get(name)!r:.200}" for name in names]


def _input_change(name: str, old: Any, new: Any) -> str:
    """What differs in one part of the format of the data: these names are what the predictions would be written in."""
    if name == "classes":
        were, are = (each.get("values") if isinstance(each, dict) else each for each in (old, new))
        return f"the classes were {were!r:.200}, now {are!r:.200}"
    if name == "detail":
        return "the columns, categories or values of the data have changed"
    return f"the {name[:80]} of the data was {old!r:.200}, now {new!r:.200}"


def _is_input(described: Any) -> bool:
    """Whether the format of the data is described as far as it is compared here."""
    return isinstance(described, dict) and all(isinstance(described.get(name), kind) for name, kind in _INPUT.items())


def read_config(path: Path) -> dict[str, Any]:
    """``config.json`` of a run; InputError that says why the folder is none."""
    if not path.is_dir():
        what = "expected the folder of a run, found a file" if path.exists() else "there is no such folder"
        raise InputError(f"{path}: {what}; give the --out of a run")
    if not (path / "config.json").is_file():
        names = sorted(p.name for p in path.iterdir())
        holds = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "") or "nothing"
        raise InputError(f"{path}: not a run: config.json missing, holds {holds}; choose another")
    config = read_json(path / "config.json")
    if not isinstance(config, dict) or config.get("flipgrad_run") != _FORMAT:
        found = config.get("flipgrad_run") if isinstance(config, dict) else None
        raise InputError(
            f"{path}: not a run of this version: config.json must say flipgrad_run = {_FORMAT}, "
            f"says {found!r:.200}; choose another folder"
        )
    return config


def new_config(wanted: dict[str, Any]) -> dict[str, Any]:
    """The content of ``config.json``: what was given and what it runs on."""
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return {
        "flipgrad_run": _FORMAT,
        "started": now(),
        **wanted,
        "versions": versions,
        "platform": platform.platform(),
    }


def now() -> str:
    """The time, to the second, in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")
