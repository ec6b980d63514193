"""The results of all modes and seeds in one figure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from matplotlib.figure import Figure

from flipgrad.errors import InputError
from flipgrad.plots import _style

_KEYS = ("source_accuracy", "target_accuracy")
_WIDTH = 0.36  # of a bar; two of them stand at each mode


def accuracy_bars(rows: Iterable[Mapping[str, Any]], title: str = "") -> Figure:
    """Draws source and target accuracy of every mode: a bar for the mean, a point for each seed.

    Args:
        rows: as in ``results.json``: "mode", and "source_accuracy" and "target_accuracy" from 0
            to 1; None, NaN or missing ones are left out, and so are modes without any.
        title: over the figure.

    Raises:
        InputError: no accuracy in any row, or one outside 0 to 1.
    """
    rows = [row for row in rows if any(_accuracies([row], key) for key in _KEYS)]
    if not rows:
        raise InputError(
            "accuracy_bars: rows: expected source_accuracy or target_accuracy, received none; evaluate a model first"
        )
    modes = list(dict.fromkeys(str(row["mode"]) for row in rows))
    figure = _style.figure(max(4.5, 1.7 * len(modes) + 1.2), 4.2, title)
    axes = figure.add_subplot()
    for place, mode in enumerate(modes):
        own = [row for row in rows if str(row["mode"]) == mode]
        for side, key in enumerate(_KEYS):
            values = _accuracies(own, key)
            _bar(axes, place + (side - 0.5) * (_WIDTH + 0.04), values, _style.DOMAIN_COLORS[side])
    seeds = [sum(str(row["mode"]) == mode for row in rows) for mode in modes]
    names = [f"{m}\n{n} seed{'s' * (n != 1)}" for m, n in zip(modes, seeds, strict=True)]
    axes.set_xticks(range(len(modes)), names)
    axes.set(xlabel="mode", ylabel="accuracy (share of 1)", ylim=(0, 1.03))
    axes.set_xlim(-0.6, len(modes) - 0.4)
    axes.grid(axis="y", alpha=0.25)
    axes.set_axisbelow(True)
    seed = _style.mark("one seed", _style.NEUTRAL)
    _style.legend_above(axes, [*_square_marks(), seed], columns=3)
    return figure


def _square_marks() -> list[Any]:
    pairs = zip(_style.DOMAINS, _style.DOMAIN_COLORS, strict=True)
    return [_style.mark(f"mean on {name}", shade, "s") for name, shade in pairs]


def _accuracies(rows: list[Mapping[str, Any]], key: str) -> list[float]:
    values = [float(row[key]) for row in rows if row.get(key) is not None]
    values = [value for value in values if not math.isnan(value)]
    if wrong := [value for value in values if not 0 <= value <= 1]:
        raise InputError(f"accuracy_bars: {key}: expected 0 to 1, received {wrong[0]}; divide percents by 100")
    return values


def _bar(axes: Any, x: float, values: list[float], shade: str) -> None:
    if not values:
        return
    mean = sum(values) / len(values)
    axes.bar(x, mean, _WIDTH, color=shade, alpha=0.6)
    spread = [x + _WIDTH * 0.7 * ((i + 0.5) / len(values) - 0.5) for i in range(len(values))]
    axes.scatter(spread, values, s=22, color=_style.NEUTRAL, linewidths=0, zorder=3)
    axes.text(x, 0.02, f"{mean:.3f}", ha="center", va="bottom", fontsize=9)
