"""Counts of words as weights of unit length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from flipgrad._registration import registered


@registered
class TermWeights(keras.layers.Layer):
    """Counts of words, damped, weighted by rarity, each row of length 1.

    Use it as the first layer of an encoder for bags of words.  Equation: ``v = log(1 + x) * idf`` and
    ``y = v / |v|``, zeros where a row has no words (Salton and Buckley, Information Processing & Management 24(5),
    1988, with a logarithm of the counts); ``flipgrad.inputs`` fits ``idf``.

    Args:
        idf: the inverse document frequency of each word, finite and not negative.

    Input shape: ``(batch, words)``, not negative.  Output shape: the same, float32.

    Raises:
        ValueError: no words, or other numbers.
    """

    def __init__(self, idf: Sequence[float], **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        self.idf = np.asarray(idf, "float32")
        if self.idf.ndim != 1 or not self.idf.size or not np.isfinite(self.idf).all() or self.idf.min() < 0:
            raise ValueError(
                "TermWeights: argument `idf` must be a list of finite numbers, 0 or greater, one a word; received "
                f"the shape {self.idf.shape}."
            )

    def call(self, inputs: Any) -> Any:
        # Not log1p, which ONNX has not; counts are never negative, and what is counts as none.
        weights = ops.log(1.0 + ops.maximum(ops.cast(inputs, "float32"), 0.0)) * self.idf
        length = ops.sqrt(ops.sum(ops.square(weights), axis=-1, keepdims=True))
        return weights / ops.where(length > 0, length, 1.0)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "idf": self.idf.tolist()}
