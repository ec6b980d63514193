"""Checkpoints from which an interrupted training goes on bit for bit."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from flipgrad import _torch_random
from flipgrad._archives import open_zip
from flipgrad._files import write_whole
from flipgrad.errors import InputError

_FORMAT = 1
# What reading a damaged file raises.
_DAMAGES = (OSError, EOFError, ValueError, TypeError, MemoryError, RecursionError, zipfile.BadZipFile, zlib.error)


class Checkpoint(keras.callbacks.Callback):
    """Writes everything that a training needs to go on exactly, at the end of an epoch, into one file.

    A training that is stopped at any moment and goes on from the file ends with the same weights, bit for bit, as
    one that never stopped::

        epoch, history = restore(path, model) if path.exists() else (0, {})
        model.fit(pairs, epochs=20, initial_epoch=epoch, callbacks=[Checkpoint(path)])

    In the file: weights, moving statistics, the step of the schedules, the optimizer, random states (PyTorch's own
    too), epoch and history; the history of the epochs before is taken over from the file.  Not in it: the state of
    other callbacks (``EarlyStopping`` counts anew).  Put it behind callbacks that change the model.

    Exact on the CPU for pairs of arrays (``data.pair_domains``), on one machine with the same versions and number of
    threads.  TensorFlow needs no deterministic ops for dense, convolutional, dropout and normalization layers.
    Not exact where a domain is a dataset or loader: its batches cannot be replayed, so it begins anew.

    Args:
        path: of the file, ``.npz`` by custom.  It is always whole: written under another name and renamed.
        every: epochs from one writing to the next, 1 or more; the last epoch is written as well.

    Attributes:
        history: name -> one value an epoch, from the first epoch on.

    Raises:
        InputError: the file cannot be written (a full disk); the last one stays as it was.
    """

    def __init__(self, path: str | Path, every: int = 1) -> None:
        super().__init__()
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise InputError(f"Argument `every`: expected a positive whole number of epochs, received {every!r}.")
        self.path = Path(path)
        self.every = every
        self.history: dict[str, list[Any]] = {}
        self._begun = False

    def on_train_begin(self, logs: Any = None) -> None:
        self.history = {}
        self._begun = False

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch and not self._begun and self.path.is_file():
            stored = _read(self.path)
            if stored.epoch == epoch:
                self.history = stored.history
                # Not in `restore`: what fit draws before its first epoch would be drawn twice.
                _torch_random.set_state(stored.arrays.get("torch_random"))
        self._begun = True

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(np.asarray(value).tolist())
        if (epoch + 1) % self.every == 0 or epoch + 1 == self.params.get("epochs"):
            self._write(epoch + 1)

    def _write(self, epoch: int) -> None:
        content = io.BytesIO()
        arrays = {
            "format": _FORMAT,
            "backend": keras.backend.backend(),
            "epoch": epoch,
            "history": json.dumps(self.history),
            **_torch_random.state(),
            **{name: keras.ops.convert_to_numpy(variable.value) for name, variable in _variables(self.model).items()},
        }
        np.savez(content, **arrays)
        try:
            write_whole(self.path, content.getvalue())
        except OSError as error:
            raise InputError(
                f"{self.path}: cannot write the checkpoint of epoch {epoch} ({error.strerror}); free some space or "
                "choose another folder, then go on from the last one"
            ) from None


def restore(path: str | Path, model: keras.Model) -> tuple[int, dict[str, list[Any]]]:
    """Sets a model to what a ``Checkpoint`` has written.

    Nothing is changed unless all of it fits.  Weights that are NaN are taken as they are: a training that has diverged
    goes on as it would have.  PyTorch's own random state is set by the ``Checkpoint`` given to ``fit``.

    Args:
        path: the file.
        model: built and compiled, of the same layers and optimizer as the one that wrote it.

    Returns:
        The number of epochs that are done, for ``fit(initial_epoch=...)``; and the history, one value an epoch.

    Raises:
        InputError: no such file, no checkpoint, a damaged one, one of another backend or version, or of a model with
            other weights or another optimizer; a model that is not built or compiled.
    """
    path = Path(path)
    if not model.built or getattr(model, "optimizer", None) is None:
        raise InputError("Argument `model`: expected a built and compiled model; call compile before restore.")
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    stored, variables = _read(path), _variables(model)
    if stored.backend != keras.backend.backend():
        raise InputError(
            f"{path}: written on {stored.backend[:20]!r}, which {keras.backend.backend()} cannot continue exactly; go "
            "on with the backend it began with"
        )
    values = {name: _fitting(path, name, variable, stored.arrays.get(name)) for name, variable in variables.items()}
    if more := stored.arrays.keys() - values.keys() - {"torch_random"}:
        raise InputError(f"{path}: has {len(more)} arrays more than this model; make the model it was written by")
    for name, variable in variables.items():
        variable.assign(values[name])
    return stored.epoch, stored.history


def check(path: Path) -> None:
    """Raises InputError unless the file can be read and is a checkpoint, of whatever model."""
    _read(path)


def _variables(model: keras.Model) -> dict[str, Any]:
    """Everything that a step changes, but for metrics, which begin each epoch anew.

    By number, for names differ from one model of a kind to the next.
    """
    parts = {"model": model.variables, "optimizer": model.optimizer.variables}
    return {f"{part}.{index}": variable for part, group in parts.items() for index, variable in enumerate(group)}


class _Stored(NamedTuple):
    epoch: int
    history: dict[str, list[Any]]
    backend: str
    arrays: dict[str, np.ndarray]


def _read(path: Path) -> _Stored:
    try:
        with open_zip(path), np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        if not {"format", "epoch", "history", "backend"} <= arrays.keys():
            raise InputError(f"{path}: not a checkpoint; give a file that Checkpoint wrote")
        if int(arrays.pop("format")) != _FORMAT:
            raise InputError(f"{path}: a checkpoint of another version of flipgrad; go on with the one that wrote it")
        epoch, history = arrays.pop("epoch"), json.loads(str(arrays.pop("history")))
        if epoch.shape or epoch.dtype.kind not in "iu" or epoch < 0:
            raise InputError(f"{path}: expected an epoch of 0 or greater; delete it and train again")
        if not _is_history(history, int(epoch)):
            raise InputError(f"{path}: expected a history of numbers, at most one an epoch; delete it and train again")
        return _Stored(int(epoch), history, str(arrays.pop("backend")), arrays)
    except InputError:
        raise
    except _DAMAGES as error:
        raise InputError(f"{path}: damaged ({type(error).__name__}); delete it and train again") from None


def _is_history(history: Any, epochs: int) -> bool:
    """Whether it has lists of numbers; a list is shorter where a metric was not of each epoch."""
    return isinstance(history, dict) and all(
        isinstance(values, list) and len(values) <= epochs and _is_numeric(values) for values in history.values()
    )


def _is_numeric(value: Any) -> bool:
    """A number, None, or lists of them: a metric may have a value for each class."""
    if isinstance(value, list):
        return all(map(_is_numeric, value))
    return value is None or isinstance(value, float) or (isinstance(value, int) and abs(value) < 2**63)


def _fitting(path: Path, name: str, variable: Any, value: np.ndarray | None) -> np.ndarray:
    """The stored value of one variable; InputError where it is of another shape or type."""
    expected = np.dtype(keras.ops.convert_to_numpy(variable.value).dtype)
    if value is not None and value.dtype.kind == "V" and value.dtype.itemsize == expected.itemsize:
        value = value.view(expected)  # NumPy forgets what bfloat16 is called
    if value is None or value.shape != tuple(variable.shape) or value.dtype != expected:
        found = "nothing" if value is None else f"{value.dtype} {value.shape}"
        raise InputError(
            f"{path}: {name} ({variable.path}): expected {expected} {tuple(variable.shape)}, found {found}; make the "
            "model and the optimizer it was written by"
        )
    return value
