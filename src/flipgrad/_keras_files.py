"""What a ``.keras`` file from anywhere may hold; checked before Keras opens it.

Keras's safe mode is a list of what is refused, which grew with every attack, and one call of
``keras.config.enable_unsafe_deserialization()`` switches it off everywhere.  This is a list of what is accepted.
"""

from __future__ import annotations

import io
import json
import sys
import types
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import keras

from flipgrad._archives import open_zip
from flipgrad.errors import InputError

CONFIG, WEIGHTS = "config.json", "model.weights.h5"
_MEMBERS = {CONFIG, WEIGHTS, "metadata.json"}
_CONFIG_LIMIT = 32 * 2**20  # NASNetLarge has 1 MiB
# Values that Keras writes as objects.  Not among them: __lambda__ (code) and __typespec__ (any class).
_VALUES = {"__tensor__", "__numpy__", "__keras_tensor__", "__bytes__", "__slice__", "__ellipsis__"}
# Where the accepted classes are defined.  The layers that run a program from elsewhere are public in keras.layers but
# defined in other places: TFSMLayer, JaxLayer, FlaxLayer, TorchModuleWrapper.
_CLASSES = (
    "applications constraints dtype_policies initializers layers losses metrics models ops optimizers quantizers "
    "random regularizers backend.torch.optimizers"
)
_FUNCTIONS = "activations initializers losses metrics ops regularizers"
# What reading a damaged member raises.
_DAMAGES = (ValueError, RecursionError, EOFError, OSError, NotImplementedError, zipfile.BadZipFile, zlib.error)


def check_keras_file(path: Path, custom_objects: Mapping[str, Any]) -> None:
    """Reads names, structure and the description of the weights of a saved model; runs and unpacks nothing.

    Args:
        path: of a file that ``model.save`` wrote.
        custom_objects: further classes and functions that it may name.

    Raises:
        InputError: the file is none of these, is damaged, or would make Keras run code or read other files.
    """
    if path.suffix != ".keras":
        raise InputError(f"{path}: expected a file named *.keras, as model.save writes it; check the name")
    with open_zip(path) as archive:
        names = set(archive.namelist())
        odd = sorted(name for name in names - _MEMBERS if not name.startswith("assets/"))
        missing = sorted({CONFIG, WEIGHTS} - names)
        if odd or missing:
            found = f"found {odd[0][:80]!r}" if odd else f"{missing[0]} is missing"
            raise InputError(f"{path}: expected a model saved by Keras 3, {found}; save it again with model.save")
        config = read_json(archive, CONFIG, path)
        try:
            weights = archive.read(WEIGHTS)
        except _DAMAGES as error:
            raise InputError(_damaged(path, error)) from None
    refused = _refused_in(config, custom_objects) or _refused_in_weights(weights)
    if refused:
        raise InputError(f"{path}: {refused}")


def read_json(archive: zipfile.ZipFile, member: str, path: Path) -> dict[str, Any]:
    """An object from a text in the archive at ``path``.

    Raises:
        InputError: no such member, one that is larger than any model's, damaged, or no object.
    """
    if member not in archive.namelist():
        raise InputError(
            f"{path}: expected a model saved by Keras 3, {member} is missing; save it again with model.save"
        )
    if archive.getinfo(member).file_size > _CONFIG_LIMIT:
        raise InputError(f"{path}: {member} is larger than {_CONFIG_LIMIT >> 20} MiB; do not trust it")
    try:
        value = json.loads(archive.read(member))
    except _DAMAGES as error:
        raise InputError(_damaged(path, error)) from None
    if not isinstance(value, dict):
        raise InputError(f"{path}: {member}: expected an object, found {type(value).__name__}; save it again")
    return value


def _damaged(path: Path, error: BaseException) -> str:
    return f"{path}: damaged ({type(error).__name__}); fetch or save it again"


def _refused_in(config: Any, given: Mapping[str, Any]) -> str | None:
    """What in the configuration is not accepted, None where all is."""
    todo = [config]
    while todo:  # no recursion: the file says how deep it goes
        part = todo.pop()
        if isinstance(part, dict):
            if "class_name" in part and not _is_accepted(part, given):
                return (
                    f"names {_described(part)}, which is no part of Keras that only computes, nor of flipgrad; where "
                    "it is your own, pass load(..., custom_objects={name: class})"
                )
            if isinstance(part.get("vocabulary"), str):
                return "a layer would read its vocabulary from a file outside of the model; do not trust it"
            todo.extend(part.values())
        elif isinstance(part, list):
            todo.extend(part)
        elif isinstance(part, str) and _is_foreign(part, given):  # Keras takes some bare names for what they name
            return (
                f"names {part[:80]!r}, which is registered but not flipgrad's; where it is your own, pass "
                "load(..., custom_objects={name: class})"
            )
    return None


def _described(part: dict[str, Any]) -> str:
    if part["class_name"] == "function":
        return repr(str(part.get("config"))[:80])
    return repr(str(part.get("registered_name") or f"{part.get('module')}.{part['class_name']}")[:80])


def _is_accepted(part: dict[str, Any], given: Mapping[str, Any]) -> bool:
    """Whether what Keras would make of ``part`` only computes; looks it up where Keras does, importing nothing."""
    name, module = part["class_name"], part.get("module")
    if not isinstance(name, str) or name in _VALUES:
        return isinstance(name, str)
    is_function = name == "function"
    name = part.get("config") if is_function else name
    registered = name if is_function else part.get("registered_name", name)
    if not isinstance(name, str) or not isinstance(registered, str | None):
        return False
    if registered is not None and keras.saving.get_registered_object(registered, dict(given)) is not None:
        return True  # whether this name may be used is asked of every string
    if is_function and module == "builtins":
        return any(_is_builtin(f"keras.{home}", name, True) for home in _FUNCTIONS.split())
    return isinstance(module, str) and _is_builtin(module, name, is_function)


def _is_foreign(name: str, given: Mapping[str, Any]) -> bool:
    """Whether ``name`` is registered with Keras, by somebody else than flipgrad, for something that is not given."""
    found = keras.saving.get_custom_objects().get(name)
    return found is not None and not name.startswith("flipgrad>") and all(found is not own for own in given.values())


def _is_builtin(module: str, name: str, is_function: bool) -> bool:
    if module != "keras" and not module.startswith("keras."):
        return False
    found = vars(sys.modules[module]).get(name) if module in sys.modules else None
    homes = tuple(f"keras.src.{home}." for home in (_FUNCTIONS if is_function else _CLASSES).split())
    fits = isinstance(found, types.FunctionType if is_function else type)
    return fits and found is not keras.layers.Lambda and found.__module__.startswith(homes)


def _refused_in_weights(content: bytes) -> str | None:
    """What in the HDF5 file is not accepted, None where all is.

    Keras writes groups of plain arrays.  Links to other files, data stored in other files, and arrays that are larger
    than what is stored for them are HDF5 too.
    """

    def look(name: str, found: Any) -> str | None:
        if isinstance(found, h5py.Group):
            odd = [key for key in found if not isinstance(found.get(key, getlink=True), h5py.HardLink)]
            return f"{name}/{odd[0]}, a link" if odd else None
        if not isinstance(found, h5py.Dataset) or found.dtype.kind not in "biufV" or found.dtype.names:
            return f"{name}, no numbers"
        if found.external or found.is_virtual:
            return f"{name}, stored in another file"
        if found.chunks or found.id.get_storage_size() != found.size * found.dtype.itemsize:
            return f"{name}, not stored as it is"
        return None

    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            odd = look("", file) or file.visititems(look)
    except Exception as error:  # h5py raises many things for a damaged file
        return f"{WEIGHTS} is damaged ({type(error).__name__}); fetch or save it again"
    return f"{WEIGHTS}: expected plain arrays of numbers, found {odd[:120]!r}; do not trust it" if odd else None
