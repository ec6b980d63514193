"""The first layers of an encoder, fitted on both domains without labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from sklearn.preprocessing import StandardScaler

from flipgrad.inputs.formats import Domain, InputFormat
from flipgrad.layers import Standardisation, TableFeatures, TermWeights

_VALUES_AT_A_TIME = 5_000_000


def preprocessing_layers(form: InputFormat, source: Domain, target: Domain) -> list[keras.layers.Layer]:
    """Layers that turn raw rows into what a network can learn from; saved with it, they take raw rows ever after.

    ======================== ==========================================================================
    rows                     layers
    ======================== ==========================================================================
    images, uint8 arrays     pixels from 0..255 to -1..1; a missing axis of channels is added
    ``(h, w)``, ``(h, w, c)``
    other arrays             mean 0 and variance 1 of each entry of a vector or of each channel
    table                    ``TableFeatures``: the same, missing values, one-hot categories
    sparse counts            ``TermWeights``: logarithm, smooth inverse document frequency, length 1
    other sparse features    variance 1, zeros stay zeros
    ======================== ==========================================================================

    Statistics are of both domains, without labels; each domain has the same weight, however many rows it has.  What
    never varies is left as it is but for its mean.

    Args:
        form: of both domains.
        source: its rows.
        target: its rows.

    Returns:
        Layers in their order, for input of shape ``(batch, *form.shape)``.
    """
    domains = (source.x, target.x)
    if form.kind == "table":
        return [_table(form, domains)]
    if form.kind == "sparse" and form.detail["counts"]:
        return [TermWeights(_rarity(domains))]
    if form.kind == "sparse":
        scale = _scaler(domains, with_mean=False).scale_
        return [Standardisation([0.0] * len(scale), scale.tolist())]
    return array_layers(domains)


def array_layers(domains: Sequence[Any]) -> list[keras.layers.Layer]:
    """The rows of the table in ``preprocessing_layers`` for images and other arrays, told by type and shape.

    Args:
        domains: the rows of each, arrays of one shape ``(n, ...)``; one domain is enough.
    """
    shape = domains[0].shape[1:]
    if not all(x.dtype == np.uint8 for x in domains) or not _is_image(shape):
        scaler = _scaler(domains)
        return [Standardisation(scaler.mean_.tolist(), scaler.scale_.tolist())]
    channels = [keras.layers.Reshape((*shape, 1))] if len(shape) == 2 else []
    return [*channels, keras.layers.Rescaling(1 / 127.5, offset=-1, dtype="float32")]


def _is_image(shape: tuple[int, ...]) -> bool:
    return len(shape) == 2 or (len(shape) == 3 and shape[2] <= 4)


def _scaler(domains: Sequence[Any], with_mean: bool = True) -> StandardScaler:
    """Statistics of the last axis, NaN left out, computed in float64 from some rows at a time."""
    scaler = StandardScaler(with_mean=with_mean)
    total = sum(len(x) for x in domains)
    for x in domains:
        # One on the whole: scikit-learn takes the sum of the weights for the number of rows when it looks for
        # columns that never vary.
        weight = total / len(domains) / len(x)
        step = max(1, _VALUES_AT_A_TIME // int(np.prod(x.shape[1:])))
        for begin in range(0, len(x), step):
            rows = np.asarray(x[begin : begin + step], "float64").reshape(-1, x.shape[-1])
            with np.errstate(invalid="ignore"):  # the square root of a variance of -1e-20, which counts as 0
                scaler.partial_fit(rows, sample_weight=np.full(len(rows), weight))
    return scaler


def _table(form: InputFormat, domains: tuple[Any, ...]) -> TableFeatures:
    scaler = _scaler(domains)
    gaps = np.any([_missing(x) for x in domains], axis=0)
    columns = [
        {"categories": len(column["categories"])}
        if column["kind"] == "category"
        else {"mean": float(scaler.mean_[i]), "scale": float(scaler.scale_[i]), "indicator": bool(gaps[i])}
        for i, column in enumerate(form.detail["columns"])
    ]
    return TableFeatures(columns)


def _missing(x: Any) -> Any:
    """Which columns have missing values."""
    step = max(1, _VALUES_AT_A_TIME // x.shape[1])
    return np.any([np.isnan(x[i : i + step]).any(axis=0) for i in range(0, len(x), step)], axis=0)


def _rarity(domains: tuple[Any, ...]) -> Any:
    """The smooth inverse document frequency of scikit-learn's ``TfidfTransformer``, each domain weighing the same."""
    rows = sum(len(x) for x in domains)
    shares = [np.count_nonzero(x, axis=0) / len(x) for x in domains]
    return np.log((1 + rows) / (1 + rows * np.mean(shares, axis=0))) + 1
