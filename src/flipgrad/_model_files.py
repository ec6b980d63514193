"""What a saved model says of itself, for people who do not trust it yet: read as text, nothing is built."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py

from flipgrad._archives import open_zip
from flipgrad._keras_files import CONFIG, WEIGHTS, check_keras_file, read_json
from flipgrad.errors import InputError

_LONGEST = 100  # characters of a name
_MOST_LAYERS = 2000  # NASNetLarge has 1,041
_PARTS = ("encoder", "classifier")


def describe(path: Path) -> dict[str, Any]:
    """Describes a ``.keras`` file from the texts in it, and says whether ``load`` would take it.

    ``config.json`` and ``metadata.json`` are read.  For the verdict, which is that of ``load``, the groups of the file
    of weights are gone through too, in memory; no weight of it reaches a model.

    Returns:
        ``file``, ``keras`` (version), ``saved`` (date), ``class``, ``name``, ``layers`` (part -> name and class of each
        layer; the parts of a ``DomainAdaptationModel`` are its encoder, classifier and objectives), ``weights`` (how
        many numbers without those of the optimizer; None where ``load`` would refuse the file) and ``refused`` (why
        it would, None where it would not).

    Raises:
        InputError: no such file, no archive or a hostile one, or one without a readable configuration.
    """
    with open_zip(path) as archive:
        config = read_json(archive, CONFIG, path)
        metadata = read_json(archive, "metadata.json", path) if "metadata.json" in archive.namelist() else {}
    about: dict[str, Any] = {
        "file": str(path),
        "keras": _text(metadata.get("keras_version")),
        "saved": _text(metadata.get("date_saved")),
        "class": _class(config),
        "name": _text(_inner(config).get("name")),
        "layers": _layers(config),
        "weights": None,
        "refused": None,
    }
    try:
        check_keras_file(path, {})
        about["weights"] = _count(path)
    except InputError as error:
        about["refused"] = str(error).removeprefix(f"{path}: ")
    return about


def _layers(config: dict[str, Any]) -> dict[str, list[dict[str, str | None]]]:
    inner = _inner(config)
    if not any(isinstance(inner.get(part), dict) for part in _PARTS):
        return {"model": list(_below(config))}
    found = {part: list(_below(inner[part])) for part in _PARTS if isinstance(inner.get(part), dict)}
    objectives = inner.get("objectives")
    found["objectives"] = [_one(each) for each in _described(objectives)]
    return found


def _below(model: dict[str, Any]) -> Iterator[dict[str, str | None]]:
    """The layers of a model, those of models inside it after it; the model itself where it names none."""
    todo, count = _described(_inner(model).get("layers"))[::-1], 0
    if not todo:
        yield _one(model)
    while todo and count < _MOST_LAYERS:  # no recursion: the file says how deep it goes
        layer, count = todo.pop(), count + 1
        yield _one(layer)
        todo += _described(_inner(layer).get("layers"))[::-1]
    if todo:
        yield {"name": "... (more are not listed)", "class": None}


def _one(part: dict[str, Any]) -> dict[str, str | None]:
    return {"name": _text(_inner(part).get("name")), "class": _class(part)}


def _class(part: dict[str, Any]) -> str | None:
    """The name under which a class is registered, else its own."""
    registered = part.get("registered_name")
    return _text(registered if isinstance(registered, str) else part.get("class_name"))


def _described(parts: Any) -> list[dict[str, Any]]:
    return [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []


def _inner(part: dict[str, Any]) -> dict[str, Any]:
    inner = part.get("config")
    return inner if isinstance(inner, dict) else {}


def _text(value: Any) -> str | None:
    return value[:_LONGEST] if isinstance(value, str) else None


def _count(path: Path) -> int:
    """Numbers in the file of weights, without the optimizer's; of a file that ``check_keras_file`` has accepted."""
    total = 0

    def add(name: str, found: Any) -> None:
        nonlocal total
        if isinstance(found, h5py.Dataset) and not name.startswith("optimizer/"):
            total += int(found.size)

    with open_zip(path) as archive, h5py.File(io.BytesIO(archive.read(WEIGHTS)), "r") as file:
        file.visititems(add)
    return total
