"""What all figures share: colours, marks, legends and the checks of their input."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from flipgrad.errors import InputError

# Ten colours that stay apart under the common colour-vision deficiencies and in grey: Petroff,
# "Accessible color sequences for data visualization" (2021).  More classes than ten repeat them.
PALETTE = (
    "#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6",
    "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd",
)  # fmt: skip
DOMAINS = ("source", "target")  # a domain's number is its place
DOMAIN_COLORS = (PALETTE[0], PALETTE[6])
DOMAIN_MARKERS = ("o", "^")
NEUTRAL = "#555555"  # lines and marks that stand for no class and no domain


def color(index: int) -> str:
    """The colour of a class or of a line."""
    return PALETTE[index % len(PALETTE)]


def figure(width: float, height: float, title: str) -> Figure:
    """An empty figure, in inches, that makes room for every label and legend."""
    layout = ConstrainedLayoutEngine(w_pad=0.09, h_pad=0.06)  # inches
    new = Figure(figsize=(width, height), layout=layout)
    if title:
        new.suptitle(title)
    return new


def mark(label: str, shade: str, marker: str = "o") -> Line2D:
    """A legend entry: one mark of full size and opacity, whatever the data points look like."""
    return Line2D([], [], linestyle="", marker=marker, markersize=7, color=shade, label=label)


def domain_marks() -> list[Line2D]:
    """The legend of a panel coloured by domain."""
    return [mark(name, shade) for name, shade in zip(DOMAINS, DOMAIN_COLORS, strict=True)]


def legend_above(axes: Any, handles: Iterable[Line2D], columns: int) -> None:
    """A legend over the panel, outside it, so that it covers no data."""
    handles = list(handles)
    marks = all(handle.get_linestyle() == "None" for handle in handles)
    axes.legend(
        handles=handles, loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, frameon=False,
        borderaxespad=0.2, columnspacing=0.9, handletextpad=0.4, fontsize="small",
        handlelength=1.0 if marks else 2.0,
    )  # fmt: skip


def as_points(value: Any, name: str, where: str) -> NDArray[np.float64]:
    """The value as float64 of shape (n, 2), n at least 1 and every number finite; or InputError."""
    points = as_features(value, name, where)
    if points.shape[1] != 2:
        raise InputError(
            f"{where}: {name}: expected shape (n, 2), received {points.shape}; reduce it with pca or tsne first"
        )
    return points


def as_features(value: Any, name: str, where: str) -> NDArray[np.float64]:
    """The value as float64 of shape (n, d), n and d at least 1, all finite; or InputError."""
    array = np.asarray(value)
    if array.ndim != 2 or 0 in array.shape or array.dtype.kind not in "biuf":
        raise InputError(
            f"{where}: {name}: expected numbers of shape (n, d), received {array.dtype} of "
            f"shape {array.shape}; give one row a sample"
        )
    features = array.astype(np.float64)
    if not np.isfinite(features).all():
        rows = np.flatnonzero(~np.isfinite(features).all(axis=1))
        raise InputError(
            f"{where}: {name}: expected finite numbers, received NaN or infinity in {len(rows)} "
            f"rows, the first {rows[0]}; leave them out or look why the training diverged"
        )
    return features


def as_numbers(value: Any, name: str, where: str, n: int, below: int = 2**31) -> NDArray[np.int64]:
    """Class or domain numbers: (n,) whole numbers from 0 to ``below`` - 1; or InputError."""
    array = np.asarray(value)
    if array.shape != (n,):
        raise InputError(
            f"{where}: {name}: expected shape ({n},), one for each row, received {array.shape}; "
            "give whole numbers, not one-hot rows"
        )
    if array.dtype.kind not in "biuf" or not np.isin(array % 1, 0).all():
        raise InputError(f"{where}: {name}: expected whole numbers, received {array.dtype}; convert them first")
    if array.min() < 0 or array.max() >= below:
        raise InputError(
            f"{where}: {name}: expected numbers from 0 to {below - 1}, received "
            f"{array.min()} to {array.max()}; renumber them"
        )
    return array.astype(np.int64)
