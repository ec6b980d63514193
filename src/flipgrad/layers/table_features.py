"""Rows of a table as features: numbers standardised, categories one-hot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from flipgrad._registration import registered


@registered
class TableFeatures(keras.layers.Layer):
    """Rows of a table, one number a column, as features of a network.

    A column of numbers becomes ``(x - mean) / scale``, and 0 where it is missing, which is the mean; with
    ``indicator`` a second feature is 1 where it is missing, else 0.  A column of categories, coded 0 to
    ``categories - 1``, becomes that many features, of which the one of the category is 1; missing and every other
    code give zeros only.  The features are in the order of the columns, an indicator right behind its number.

    Use it as the first layer of an encoder for tables; ``flipgrad.inputs`` fits the numbers.

    Args:
        columns: for each column ``{"mean": float, "scale": float, "indicator": bool}`` or ``{"categories": int}``;
            ``scale`` is positive.

    Input shape: ``(batch, columns)``, NaN where missing.  Output shape: ``(batch, features)``, float32, finite for
    every input that is not infinite.

    Raises:
        ValueError: no columns, or others than these.
    """

    def __init__(self, columns: Sequence[Mapping[str, Any]], **kwargs: Any) -> None:
        # Half precision would round codes and large numbers before they are scaled.
        super().__init__(**{"dtype": "float32", **kwargs})
        self.columns = [dict(column) for column in columns]
        if not self.columns or not all(map(_is_column, self.columns)):
            raise ValueError(
                "TableFeatures: argument `columns` must be a list of {'mean', 'scale', 'indicator'} or {'categories'}, "
                f"scales and categories positive; received {len(self.columns)} columns that are not."
            )
        # Of every feature: its column; what is subtracted from it and divides it; or the code or the absence it marks.
        features: list[tuple[int, float, float, float]] = []
        kinds: list[int] = []
        for place, column in enumerate(self.columns):
            if "categories" in column:
                features += [(place, 0.0, 1.0, float(code)) for code in range(column["categories"])]
                kinds += [_CODE] * column["categories"]
                continue
            features.append((place, column["mean"], column["scale"], 0.0))
            kinds.append(_NUMBER)
            if column["indicator"]:
                features.append((place, 0.0, 1.0, 0.0))
                kinds.append(_ABSENCE)
        self._places = np.array([place for place, *_ in features], "int32")
        self._means, self._scales, self._codes = (
            np.array([feature[i] for feature in features], "float32") for i in (1, 2, 3)
        )
        self._kinds = np.array(kinds)

    def call(self, inputs: Any) -> Any:
        x = ops.take(ops.cast(inputs, "float32"), self._places, axis=1)
        absent = ops.isnan(x)
        known = ops.where(absent, self._means, x)
        number = (known - self._means) / self._scales
        code = ops.cast(ops.logical_and(ops.equal(x, self._codes), ops.logical_not(absent)), "float32")
        feature = ops.where(self._kinds == _CODE, code, number)
        return ops.where(self._kinds == _ABSENCE, ops.cast(absent, "float32"), feature)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], len(self._places))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "columns": self.columns}


_NUMBER, _CODE, _ABSENCE = range(3)


def _is_column(column: Mapping[str, Any]) -> bool:
    if set(column) == {"categories"}:
        return isinstance(column["categories"], int) and column["categories"] > 0
    if set(column) != {"mean", "scale", "indicator"} or not isinstance(column["indicator"], bool):
        return False
    numbers = (column["mean"], column["scale"])
    return all(isinstance(n, (int, float)) and np.isfinite(n) for n in numbers) and bool(column["scale"] > 0)
