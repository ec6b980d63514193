"""How the logged quantities went during training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from flipgrad.errors import InputError
from flipgrad.plots import _style

_STYLES = ("-", "--", ":", "-.")  # the quantities of one panel where colours stand for runs
_CHANCE = 0.5  # domain accuracy of a discriminator that cannot tell the domains apart
_UNITS = {"strength": " (no unit)", "learning_rate": " (per step)"}
_FEW = 40  # up to so many values each is marked, so that a single one is seen

Values = Mapping[str, NDArray[np.float64]]


def curves(
    history: Mapping[Any, Any],
    x: Sequence[float] | None = None,
    x_label: str = "epoch",
    title: str = "",
) -> Figure:
    """Draws a training, or several, as small panels: one for each quantity.

    ``val_`` quantities share the panel of their training quantity, all class accuracies share
    one, and domain accuracy has a line at chance, 0.5.  Several runs are lines of one colour for
    each mode, and each class accuracy has its own panel.  Values that are None, NaN or infinite are
    left out, and so is a panel without values.

    Args:
        history: name -> values, as ``fit(...).history``; or run -> (name -> values), a run being
            a (mode, seed) pair, as ``Run.histories``, or any text.
        x: the place of each value on the x axis; by default 1, 2, ...
        x_label: what x counts.
        title: over the figure.

    Raises:
        InputError: no value to draw, values that are no numbers, or more values than ``x`` has.
    """
    several = bool(history) and all(isinstance(value, Mapping) for value in history.values())
    runs = {key: _values(each, x) for key, each in (history if several else {"": history}).items()}
    names = [name for values in runs.values() for name, value in values.items() if len(value)]
    panels: dict[str, list[str]] = {}
    for name in dict.fromkeys(n for n in names if any(_finite(v, n) for v in runs.values())):
        panels.setdefault(_panel(name, several), []).append(name)
    if not panels:
        raise InputError("curves: history: expected finite values, received none; train first")
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure = _style.figure(4.2 * columns, 3.1 * rows + (0.6 if several else 0.2), title)
    modes = {mode: i for i, mode in enumerate(dict.fromkeys(map(_mode, runs)))}
    for place, (panel, inside) in enumerate(panels.items(), start=1):
        axes = figure.add_subplot(rows, columns, place)
        _draw(axes, inside, runs, x, modes if several else None)
        _label(axes, panel, x_label, inside, several)
    if several:
        handles = [Line2D([], [], color=_style.color(i), label=m) for m, i in modes.items()]
        columns = min(len(handles), 2 * columns)
        figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False)
    return figure


def _values(history: Mapping[str, Any], x: Sequence[float] | None) -> Values:
    values: dict[str, NDArray[np.float64]] = {}
    for name, sequence in history.items():
        try:
            values[str(name)] = np.array(
                [np.nan if value is None else float(value) for value in sequence], dtype=np.float64
            )
        except (TypeError, ValueError):
            raise InputError(
                f"curves: history: {name!r}: expected a list of numbers, received "
                f"{type(sequence).__name__} {str(sequence)[:40]!r}; convert it first"
            ) from None
        if x is not None and len(values[str(name)]) > len(x):
            raise InputError(
                f"curves: x: expected a place for each of the {len(values[str(name)])} values of "
                f"{name!r}, received {len(x)}; give more"
            )
    return values


def _finite(values: Values, name: str) -> bool:
    return name in values and bool(np.isfinite(values[name]).any())


def _panel(name: str, several: bool) -> str:
    """The panel of a quantity: its name without ``val_``; one for all accuracies of one run."""
    stem = name.removeprefix("val_")
    if stem.endswith("domain_accuracy"):
        return "domain_accuracy"
    return "accuracy" if stem.endswith("accuracy") and not several else stem


def _mode(run: Any) -> str:
    return str(run[0]) if isinstance(run, tuple) else str(run)


def _draw(
    axes: Any,
    names: list[str],
    runs: Mapping[Any, Values],
    x: Sequence[float] | None,
    modes: Mapping[str, int] | None,
) -> None:
    """Draws one panel; without modes the colours stand for the names."""
    for run, values in runs.items():
        for i, name in enumerate(names):
            if not _finite(values, name):
                continue
            y = values[name]
            places = np.arange(1, len(y) + 1) if x is None else np.asarray(x)[: len(y)]
            seen = np.isfinite(y)
            axes.plot(
                places[seen],
                y[seen],
                color=_style.color(i if modes is None else modes[_mode(run)]),
                linestyle=_line(i, name, modes),
                marker="." if seen.sum() <= _FEW else "",
                linewidth=1.4,
                alpha=0.85,
            )


def _line(i: int, name: str, modes: Mapping[str, int] | None) -> str:
    return _STYLES[name.startswith("val_") if modes is None else i % len(_STYLES)]


def _name(name: str, panel: str) -> str:
    """The legend of a line: short where the panel's axis already names the quantity."""
    short = {panel: "training", f"val_{panel}": "validation"}
    return short.get(name, name.replace("_", " "))


def _label(axes: Any, panel: str, x_label: str, names: list[str], several: bool) -> None:
    handles = [
        Line2D(
            [],
            [],
            color=_style.NEUTRAL if several else _style.color(i),
            linestyle=_line(i, name, {} if several else None),
            label=_name(name, panel),
        )
        for i, name in enumerate(names)
    ]
    if panel == "domain_accuracy":
        shown = axes.axhline(_CHANCE, color=_style.NEUTRAL, linewidth=0.9, linestyle=(0, (1, 2)))
        shown.set_label("chance")
        handles.append(shown)
    unit = _UNITS.get(panel, "")
    if panel.endswith("accuracy"):
        unit = " (share of 1)"
        axes.set_ylim(-0.02, 1.02)
    axes.set(xlabel=x_label, ylabel=panel.replace("_", " ") + unit)
    axes.xaxis.get_major_locator().set_params(integer=x_label == "epoch", min_n_ticks=1)
    axes.grid(alpha=0.25)
    if len(handles) > 1:
        _style.legend_above(axes, handles, columns=2)
