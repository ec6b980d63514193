"""Which epoch of a training is kept, where a few labelled rows of the target can tell."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from flipgrad._archives import open_zip
from flipgrad._files import write_whole
from flipgrad.errors import InputError
from flipgrad.scoring import outputs


class BestEpoch(keras.callbacks.Callback):
    """Remembers the weights of the epoch with the highest accuracy on labelled rows of the target.

    The log, and so the history, gets ``target_labelled_accuracy``.  Of equal epochs the last one counts.  Put it before
    a ``Checkpoint``.  Of a training that diverged nothing is kept, see ``Training.run``: repair it instead.

    Args:
        rows: ``(x, y)``, rows of the target that are not trained on, and their class numbers.
        path: of a file for the weights, so that an interrupted training can go on; None to keep them in memory.
        before: the values of the epochs before, where a training goes on.

    Attributes:
        best_epoch: the best one so far, from 0; None before the first.
    """

    name = "target_labelled_accuracy"

    def __init__(self, rows: tuple[Any, Any], path: Path | None = None, before: Sequence[float] = ()) -> None:
        super().__init__()
        self.rows = rows
        self.path = path
        self.values = list(before)
        self._weights: list[np.ndarray] | None = None

    @property
    def best_epoch(self) -> int | None:
        if not self.values:
            return None
        return len(self.values) - 1 - int(np.argmax(self.values[::-1]))

    def on_train_begin(self, logs: Any = None) -> None:
        if self.values:  # a training that goes on must find what it may have to come back to
            self._kept()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        x, y = self.rows
        logits = outputs(lambda batch: self.model(batch, training=False), x)
        self.values.append(float((logits.argmax(axis=1) == y).mean()))
        if logs is not None:
            logs[self.name] = self.values[-1]
        if self.best_epoch == len(self.values) - 1:
            self._keep([keras.ops.convert_to_numpy(weight.value) for weight in self.model.weights])

    def restore(self) -> None:
        """Sets the model to the weights of the best epoch."""
        for weight, value in zip(self.model.weights, self._kept(), strict=True):
            weight.assign(value)

    def _keep(self, weights: list[np.ndarray]) -> None:
        if self.path is None:
            self._weights = weights
            return
        content = io.BytesIO()
        np.savez(content, *weights)
        try:
            write_whole(self.path, content.getvalue())
        except OSError as error:
            raise InputError(f"{self.path}: cannot write the weights of the best epoch ({error.strerror})") from None

    def _kept(self) -> list[np.ndarray]:
        if self.path is None:
            return self._weights or []
        try:
            with open_zip(self.path), np.load(self.path, allow_pickle=False) as file:
                kept = [file[f"arr_{number}"] for number in range(len(file.files))]
        except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error) as error:
            raise InputError(
                f"{self.path}: expected the weights of the best epoch, found none ({type(error).__name__}); delete the "
                "folder of checkpoints and train again"
            ) from None
        if [value.shape for value in kept] != [tuple(weight.shape) for weight in self.model.weights]:
            raise InputError(
                f"{self.path}: expected the weights of the best epoch of this model, found those of another; delete "
                "the folder of checkpoints and train again"
            )
        return kept
