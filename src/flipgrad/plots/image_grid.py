"""Images side by side."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from flipgrad.errors import InputError
from flipgrad.plots import _style

_INCHES = 0.8  # the width of one image


def image_grid(
    images: Any,
    labels: Any = None,
    rows: int = 4,
    columns: int = 8,
    title: str = "",
) -> Figure:
    """Draws the first ``rows * columns`` images, row by row; fewer images make fewer rows.

    Args:
        images: (n, h, w), (n, h, w, 1) or (n, h, w, 3), uint8 from 0 (black) to 255.
        labels: n texts or numbers, drawn above each image; None for none.
        rows: at least 1.
        columns: at least 1.
        title: over the figure.

    Raises:
        InputError: another shape or type, no image, as many labels as images not given.
    """
    array = np.asarray(images)
    if array.ndim == 4 and array.shape[3] == 1:
        array = array[..., 0]
    if array.ndim not in (3, 4) or (array.ndim == 4 and array.shape[3] != 3) or 0 in array.shape:
        raise InputError(
            "image_grid: images: expected shape (n, h, w), (n, h, w, 1) or (n, h, w, 3), "
            f"received {np.shape(images)}; put the channels last"
        )
    if array.dtype != np.uint8:
        raise InputError(
            f"image_grid: images: expected uint8 from 0 to 255, received {array.dtype}; scale and convert them"
        )
    if labels is not None and len(labels) != len(array):
        raise InputError(
            f"image_grid: labels: expected {len(array)}, one for each image, "
            f"received {len(labels)}; give both from the same rows"
        )
    if rows < 1 or columns < 1:
        raise InputError(f"image_grid: rows, columns: expected at least 1, received {rows}, {columns}; raise it")
    return _draw(array[: rows * columns], labels, columns, title)


def _draw(images: Any, labels: Any, columns: int, title: str) -> Figure:
    """One picture with all images: far quicker than an ``Axes`` for each."""
    n, h, w = images.shape[:3]
    columns = min(columns, n)
    rows = -(-n // columns)
    gap = max(1, round(0.08 * w))
    band = gap if labels is None else max(gap, round(0.32 * w))  # above each image
    canvas = np.full((rows * (h + band), columns * (w + gap) - gap, *images.shape[3:]), 255)
    canvas = canvas.astype(np.uint8)
    height = _INCHES * canvas.shape[0] / w
    figure = _style.figure(_INCHES * canvas.shape[1] / w, height + (0.4 if title else 0), title)
    axes = figure.add_subplot()
    axes.set_axis_off()
    for i, image in enumerate(images):
        top, left = (i // columns) * (h + band) + band, (i % columns) * (w + gap)
        canvas[top : top + h, left : left + w] = image
        if labels is not None:
            place = (left + (w - 1) / 2, top - 1)
            axes.text(*place, str(labels[i]), ha="center", va="bottom", fontsize=9)
    axes.imshow(canvas, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    return figure
