"""The callback that records frames of a training."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from flipgrad.errors import InputError
from flipgrad.observation import Observation, observe
from flipgrad.recording import Array, Inputs, Recording, read_arrays, write, write_arrays

_WIDEST = 50  # components that are kept of the features
_FITTED = 2**24  # values on which the components are fitted, at most


class Recorder(keras.callbacks.Callback):
    """Records what a model makes of fixed rows of both domains, from before the first step to the end.

    The training itself is not changed by it: nothing random is drawn.  The frames so far lie beside ``raw``, so that a
    training that goes on from a ``Checkpoint`` has them all; put this callback before the checkpoint.  At the end
    ``path`` is written (see ``recording.Recording``); ``clean`` removes the frames.  A frame with numbers that are not
    finite, or that cannot be read, is left out, and without any other frame nothing is written.

    Args:
        inputs: the rows.
        path: of the file to write, ``.npz``.
        raw: the beginning of the path of each frame.
        most: frames, 2 or more, evenly spaced over the epochs.

    Attributes:
        seconds: spent so far on recording.
    """

    def __init__(self, inputs: Inputs, path: Path, raw: Path, most: int = 12) -> None:
        super().__init__()
        self.inputs = inputs
        self.path = path
        self.raw = raw
        self.most = most
        self.seconds = 0.0
        self._done = 0

    def on_train_begin(self, logs: Any = None) -> None:
        self.seconds = 0.0
        self._done = self._epochs  # where it goes on at its end, no epoch follows

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch == 0:
            self.clean()
            self._record(0)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._done = epoch + 1
        # The last frame only when the training has ended: running means of weights take their place there.
        if self._done < self._epochs and self._done in self._wanted:
            self._record(self._done)

    def on_train_end(self, logs: Any = None) -> None:
        self._record(self._done)
        self._write()

    def keep(self, epoch: int) -> None:
        """Records the model as it is now in place of that epoch: it was given the epoch's weights after the end."""
        self._record(epoch)
        self._write()

    def _write(self) -> None:
        began = time.perf_counter()
        with suppress(FileNotFoundError):
            self.path.unlink()
        frames = {epoch: _read(path) for epoch, path in self._frames() if epoch <= self._done}
        last = _shapes(frames[self._done])
        finite = {epoch: frame for epoch, frame in frames.items() if _shapes(frame) == last and _is_finite(frame)}
        if finite:
            schedule = _schedules(self.model, self._epochs, self.params.get("steps"))
            write(self.path, Recording(np.array(list(finite)), **_joined(list(finite.values())), **schedule))
        self.seconds += time.perf_counter() - began

    def clean(self) -> None:
        """Removes the frames."""
        for _, path in self._frames():
            path.unlink()

    @property
    def _epochs(self) -> int:
        return int(self.params["epochs"])

    @property
    def _wanted(self) -> set[int]:
        return set(np.linspace(0, self._epochs, self.most).round().astype(int).tolist())

    def _record(self, epoch: int) -> None:
        began = time.perf_counter()
        seen = observe(self.model, (self.inputs.source_x, self.inputs.source_y), self.inputs.target_x)
        write_arrays(Path(f"{self.raw}.frame-{epoch}.npz"), _packed(seen), compressed=False)
        self.seconds += time.perf_counter() - began

    def _frames(self) -> list[tuple[int, Path]]:
        """(epoch, file) of each frame, by epoch."""
        found = []
        for path in self.raw.parent.glob("*.npz"):
            begin, _, number = path.name.removesuffix(".npz").rpartition(".frame-")
            if begin == self.raw.name and number.isdecimal():
                found.append((int(number), path))
        return sorted(found)


def _packed(seen: Observation) -> dict[str, Array]:
    """An observation as arrays, the wide one with half the digits: scaled, for half precision ends at 65,504."""
    arrays: dict[str, Array] = {}
    for domain, view in (("source", seen.source), ("target", seen.target)):
        scale = np.asarray(max(float(np.abs(view.features).max()), 1e-30), dtype=np.float32)
        arrays |= {
            f"{domain}_features": (view.features / scale).astype(np.float16),
            f"{domain}_scale": scale,
            f"{domain}_logits": view.logits,
        }
        if view.domain_logits is not None:
            arrays[f"{domain}_domain_logits"] = view.domain_logits
    return arrays


def _read(path: Path) -> dict[str, Array]:
    """A frame; an empty one where it has been damaged since: nothing is trained again for it."""
    try:
        return read_arrays(path)
    except InputError:
        return {}


def _shapes(frame: dict[str, Array]) -> dict[str, tuple[int, ...]]:
    return {name: value.shape for name, value in frame.items()}


def _is_finite(frame: dict[str, Array]) -> bool:
    return all(bool(np.isfinite(value).all()) for value in frame.values())


def _joined(frames: list[dict[str, Array]]) -> dict[str, Array]:
    """The frames as the arrays of a ``Recording``, their features by principal components."""
    domains = ("source", "target")
    values = sum(frame[f"{domain}_features"].size for frame in frames for domain in domains)
    every = -(-values // _FITTED)  # one row of so many
    fitted = np.concatenate([_features(frame, domain)[::every] for frame in frames for domain in domains])
    method = PCA(min(_WIDEST, *fitted.shape), random_state=0)
    with np.errstate(all="ignore"):  # of features that are all the same, no share of the variance
        method.fit(fitted)
    joined: dict[str, Array] = {}
    for domain in domains:
        reduced = [method.transform(_features(frame, domain)) for frame in frames]
        joined[f"{domain}_features"] = np.stack(reduced).astype(np.float32)
        for part in ("logits", "domain_logits"):
            if f"{domain}_{part}" in frames[0]:
                joined[f"{domain}_{part}"] = np.stack([frame[f"{domain}_{part}"] for frame in frames])
    return joined


def _features(frame: dict[str, Array], domain: str) -> NDArray[np.float32]:
    return frame[f"{domain}_features"].astype(np.float32) * frame[f"{domain}_scale"]


def _schedules(model: Any, epochs: int, steps: int | None) -> dict[str, Array]:
    """Learning rate and strength after each epoch, of a training of so many; what is no schedule is left out."""
    progress = np.linspace(0, 1, epochs + 1, dtype=np.float32)
    found = {}
    strength = getattr(model.objectives[0], "strength", None) if model.objectives else None
    if callable(strength):
        found["strength"] = [strength(keras.ops.convert_to_tensor(share)) for share in progress]
    rate = model.optimizer.get_config().get("learning_rate")
    if isinstance(rate, dict) and steps:
        rate = keras.optimizers.schedules.deserialize(rate)
        found["learning_rate"] = [rate(epoch * steps) for epoch in range(epochs + 1)]
    return {
        name: np.array([keras.ops.convert_to_numpy(value) for value in values], dtype=np.float32).reshape(-1)
        for name, values in found.items()
    }
