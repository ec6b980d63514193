"""A data set of two features."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from flipgrad.plots import _style


def scatter(
    source_x: Any,
    source_y: Any,
    target_x: Any,
    target_y: Any = None,
    title: str = "",
) -> Figure:
    """Draws a data set of two features: the colour says the class, the mark the domain.

    Args:
        source_x: (n, 2) finite numbers.
        source_y: (n,) class numbers from 0.
        target_x: (m, 2) finite numbers.
        target_y: (m,) class numbers from 0; None draws the target in grey, as training sees it.
        title: over the figure.

    Raises:
        InputError: another shape, NaN or infinity, class numbers that are not whole.
    """
    xs = _style.as_points(source_x, "source_x", "scatter")
    xt = _style.as_points(target_x, "target_x", "scatter")
    ys = _style.as_numbers(source_y, "source_y", "scatter", len(xs))
    classes = np.unique(ys)
    shades_t: list[str] = [_style.NEUTRAL] * len(xt)
    if target_y is not None:
        yt = _style.as_numbers(target_y, "target_y", "scatter", len(xt))
        classes = np.union1d(classes, yt)
        shades_t = [_style.color(y) for y in yt]
    figure = _style.figure(7.0, 5.0, title)
    axes = figure.add_subplot()
    shades = ([_style.color(y) for y in ys], shades_t)
    for x, shade, marker in zip((xs, xt), shades, _style.DOMAIN_MARKERS, strict=True):
        axes.scatter(x[:, 0], x[:, 1], c=shade, marker=marker, s=22, alpha=0.75, linewidths=0)
    axes.set(xlabel="feature 1 (no unit)", ylabel="feature 2 (no unit)")
    axes.set_aspect("equal", adjustable="datalim")
    handles = [_style.mark(f"class {c}", _style.color(c), "s") for c in classes]
    names = ["source", "target" if target_y is not None else "target (no labels)"]
    for name, marker in zip(names, _style.DOMAIN_MARKERS, strict=True):
        handles.append(_style.mark(name, _style.NEUTRAL, marker))
    figure.legend(handles=handles, loc="outside right upper", frameon=False)
    return figure
