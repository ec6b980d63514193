"""The file from which ``LabelFreeCheckpoint`` goes on after an interruption."""

from __future__ import annotations

import io
import json
import math
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from flipgrad._archives import open_zip
from flipgrad._files import write_whole
from flipgrad._guarded import Seen, contenders
from flipgrad.errors import InputError

_FORMAT = 1
# What reading a damaged file raises.
_DAMAGES = (OSError, EOFError, ValueError, TypeError, AttributeError, MemoryError, RecursionError, zipfile.BadZipFile)


@dataclass
class KeptEpochs:
    """What is known of all epochs, and the weights of those that may be the best.

    Attributes:
        seen: epoch (from 0) -> score and source accuracy.
        weights: epoch -> values of the model's weights.
    """

    seen: dict[int, Seen] = field(default_factory=dict)
    weights: dict[int, list[np.ndarray]] = field(default_factory=dict)

    def write(self, path: Path, rule: dict[str, Any]) -> None:
        """Writes the file whole, or leaves the old one; ``rule`` is what chooses (score, guard)."""
        seen = {str(epoch): list(each) for epoch, each in self.seen.items()}
        arrays = {
            f"{epoch}.{index}": value for epoch, values in self.weights.items() for index, value in enumerate(values)
        }
        content = io.BytesIO()
        np.savez(content, format=_FORMAT, about=json.dumps({"rule": rule, "seen": seen}), **arrays)  # type: ignore[arg-type]
        try:
            write_whole(path, content.getvalue())
        except OSError as error:
            raise InputError(
                f"{path}: cannot write the kept epochs ({error.strerror}); free some space or choose another place"
            ) from None

    def forget_from(self, epoch: int, guard: float) -> None:
        """Forgets this epoch and what came after it, of a training that goes on with it."""
        self.seen = {each: seen for each, seen in self.seen.items() if each < epoch}
        self.weights = {each: values for each, values in self.weights.items() if each < epoch}
        while lost := contenders(self.seen, guard) - self.weights.keys():  # one that was forgotten had beaten them
            self.seen |= {each: Seen(math.nan, self.seen[each].accuracy) for each in lost}

    @staticmethod
    def expect(path: Path) -> None:
        """Raises InputError where a file is not one that ``write`` made, which may be overwritten."""
        try:
            with open_zip(path), np.load(path, allow_pickle=False) as file:
                own = {"format", "about"} <= set(file.files)
        except (*_DAMAGES, KeyError, zlib.error):
            own = False
        if not own:
            raise InputError(
                f"{path}: expected no file or one of LabelFreeCheckpoint, found something else, which would be "
                "overwritten; choose another path or delete it"
            )

    @classmethod
    def read(cls, path: Path, rule: dict[str, Any], variables: Sequence[Any]) -> KeptEpochs:
        """Reads what ``write`` wrote; InputError where it is none, damaged, or of another rule or model."""
        try:
            with open_zip(path), np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            if int(arrays.pop("format", -1)) != _FORMAT:
                raise InputError(f"{path}: not a file of LabelFreeCheckpoint of this version; choose another path")
            about = json.loads(str(arrays.pop("about")))
            seen = {int(epoch): Seen(*map(float, each)) for epoch, each in about["seen"].items()}
        except InputError:
            raise
        except (*_DAMAGES, KeyError, zlib.error) as error:
            raise InputError(f"{path}: damaged ({type(error).__name__}); delete it and train again") from None
        if about.get("rule") != rule:
            raise InputError(f"{path}: epochs kept by {about.get('rule')}, now {rule}; use that or choose another path")
        epochs = sorted({int(name.split(".")[0]) for name in arrays})
        if not set(epochs) <= set(seen) or len(arrays) != len(epochs) * len(variables):
            raise InputError(f"{path}: of another model, or damaged; delete it and train again")
        return cls(
            seen,
            {
                epoch: [_fitting(path, arrays.get(f"{epoch}.{i}"), variable) for i, variable in enumerate(variables)]
                for epoch in epochs
            },
        )


def _fitting(path: Path, value: np.ndarray | None, variable: Any) -> np.ndarray:
    expected = np.dtype(keras.ops.convert_to_numpy(variable.value).dtype)
    if value is not None and value.dtype.kind == "V" and value.dtype.itemsize == expected.itemsize:
        value = value.view(expected)  # NumPy forgets what bfloat16 is called
    if value is None or value.shape != tuple(variable.shape):
        raise InputError(
            f"{path}: {variable.path}: expected weights of shape {tuple(variable.shape)}, found "
            f"{'none' if value is None else value.shape}: of another model; choose another path"
        )
    return value
