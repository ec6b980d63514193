"""The figures that are about classes: their shares in both domains, and confusion matrices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flipgrad.plots._style import DOMAIN_COLORS
from flipgrad.recording import Inputs
from flipgrad.report.figures import Figure, axis, figure
from flipgrad.report.text import distinct

Words = Mapping[str, str]

_TICK = 14  # letters of a name beside a confusion matrix
_NUMBERED = 15  # classes up to which numbers are written into a confusion matrix


def class_shares(inputs: Inputs, predicted: NDArray[Any], words: Words) -> Figure:
    """The share of each class among the source's labels and among the predictions for the target."""
    count = len(inputs.classes)
    bars = [
        {
            "type": "bar", "name": words[name], "x": distinct(inputs.classes), "y": _shares(values, count),
            "marker": {"color": shade, "pattern": {"shape": pattern}},
        }
        for name, values, shade, pattern in (
            ("source_labels", inputs.source_y, DOMAIN_COLORS[0], ""),
            ("target_predictions", predicted, DOMAIN_COLORS[1], "/"),
        )
    ]  # fmt: skip
    made = figure(bars, axis(words, "class"), {"title": {"text": words["share_of_rows"]}, "rangemode": "tozero"})
    made["layout"]["xaxis"] |= {"type": "category", "automargin": True}
    return made


def confusion(labels: NDArray[Any], predicted: NDArray[Any], names: Sequence[str], words: Words) -> Figure:
    """A row for each true class, shaded by the share of its rows, with the counts."""
    tick_names = distinct(names, _TICK)
    counts = np.zeros((len(names), len(names)), dtype=int)
    np.add.at(counts, (labels, np.minimum(predicted, len(names) - 1)), 1)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.where(totals > 0, counts / np.maximum(totals, 1), np.nan)  # of a class without rows there is none
    few = len(names) <= _NUMBERED
    heat = {
        "type": "heatmap", "x": tick_names, "y": tick_names, "z": shares, "zmin": 0, "zmax": 1, "colorscale": "Cividis",
        "customdata": counts, "xgap": 1, "ygap": 1,
        "colorbar": {"title": {"text": words["share_of_class"], "side": "right"}, "thickness": 12},
        "hovertemplate": f"{words['true_class']}: %{{y}}<br>{words['predicted_class']}: %{{x}}<br>"
        f"{words['rows']}: %{{customdata}}<extra></extra>",
        **({"text": counts, "texttemplate": "%{text}"} if few else {}),
    }  # fmt: skip
    made = figure([heat], {"title": {"text": words["predicted_class"]}}, {"title": {"text": words["true_class"]}})
    made["layout"]["xaxis"] |= {"type": "category", "showgrid": False}
    made["layout"]["yaxis"] |= {"type": "category", "showgrid": False, "autorange": "reversed"}
    made["layout"]["height"] = min(420 + 12 * max(len(names) - 12, 0), 900)
    return made


def _shares(values: NDArray[Any], count: int) -> list[float]:
    return [float(share) for share in np.bincount(values, minlength=count)[:count] / len(values)]
