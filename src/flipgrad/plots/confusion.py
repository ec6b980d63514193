"""Which classes are taken for which."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import ConfusionMatrixDisplay

from flipgrad.plots import _style

_SHOWN = 30  # classes up to which counts are written into the cells
_LONGEST = 20  # letters of a class name


def confusion_matrix(counts: np.ndarray, names: Sequence[str], title: str = "") -> Figure:
    """Draws a confusion matrix: a row for each true class, shaded by the share of its rows.

    Args:
        counts: ``(true classes, predicted classes)``.
        names: of the classes; long ones are shortened.
        title: over the figure.
    """
    counts = np.asarray(counts)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = min(3.2 + 0.42 * len(names), 16)
    figure = _style.figure(side + 0.8, side, title)
    axes = figure.add_subplot()
    short = [name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…" for name in names]
    # Names are the user's: a dollar sign is no formula.
    display = ConfusionMatrixDisplay(shares, display_labels=[name.replace("$", r"\$") for name in short])
    display.plot(ax=axes, cmap="Blues", include_values=False, xticks_rotation="vertical", im_kw={"vmin": 0, "vmax": 1})
    display.figure_.axes[-1].set_ylabel("share of the true class's rows")
    axes.set(xlabel="predicted class", ylabel="true class")
    if len(names) <= _SHOWN:
        for (row, column), count in np.ndenumerate(counts):
            shade = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=shade, fontsize=8)
    return figure
