"""Numbers with mean 0 and variance 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from flipgrad._registration import registered


@registered
class Standardisation(keras.layers.Layer):
    """Subtracts a mean and divides by a scale, for each entry of the last axis.

    Use it as the first layer of an encoder for vectors and for windows of signals; ``flipgrad.inputs`` fits the
    numbers.  ``keras.layers.Normalization`` does the same but takes deviations under 1e-7 for 1e-7, so that signals
    in small units would all but vanish.  Equation: ``y = (x - mean) / scale``.

    Args:
        mean: of each entry, finite.
        scale: of each entry, positive and finite, usually the standard deviation.

    Input shape: ``(batch, ..., entries)``.  Output shape: the same, float32.

    Raises:
        ValueError: other numbers.
    """

    def __init__(self, mean: Sequence[float], scale: Sequence[float], **kwargs: Any) -> None:
        # Half precision would round large numbers before they are scaled.
        super().__init__(**{"dtype": "float32", **kwargs})
        self.mean, self.scale = (np.asarray(numbers, "float32") for numbers in (mean, scale))
        finite = np.isfinite(self.mean).all() and np.isfinite(self.scale).all() and (self.scale > 0).all()
        if self.mean.ndim != 1 or not self.mean.size or self.mean.shape != self.scale.shape or not finite:
            raise ValueError(
                "Standardisation: arguments `mean` and `scale` must be lists of finite numbers of one length, the "
                f"scales positive; received the shapes {self.mean.shape} and {self.scale.shape}."
            )

    def call(self, inputs: Any) -> Any:
        return (ops.cast(inputs, "float32") - self.mean) / self.scale

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "mean": self.mean.tolist(), "scale": self.scale.tolist()}
