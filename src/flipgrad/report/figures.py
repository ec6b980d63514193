"""The figures of the page as Plotly takes them: plain dicts of "data" and "layout", colours of text and grid apart."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from flipgrad.report.choice import scores_by_epoch
from flipgrad.report.contents import Contents, Key, is_training_log
from flipgrad.report.embeddings import observed_domain_accuracy
from flipgrad.report.text import shown, with_unit

Figure = dict[str, Any]
Words = Mapping[str, str]

CHANCE = 0.5  # balanced domain accuracy of a discriminator that cannot tell the domains apart
# Of lines: at least 3:1 on white and on the page's dark ground, which the colours of marks are not; each the farthest
# from those before, also as seen with a colour-vision deficiency (Machado et al. 2009, distances in OKLab).
LINE_COLORS = ("#2f7fc8", "#e90008", "#08a192", "#ee08fd", "#007470", "#037e0d", "#ad4c9f", "#bb8525")
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "pentagon", "triangle-down", "cross")  # of modes
_DASHES = ("solid", "dash", "dot", "dashdot")
_GREY = "#808080"  # seen on white and on black


def curves(found: Contents, tables: Any) -> list[tuple[str, Figure]]:
    """(what, figure) of every logged number, then of the schedules; ``val_`` beside its training number."""
    groups: dict[str, list[str]] = {}
    for history in found.histories.values():
        for name in filter(is_training_log, history):
            own = groups.setdefault(_stem(name), [])
            if name not in own and any(map(_is_finite, history[name])):
                own.append(name)
    figures = [
        (stem, _logged(found, names, stem, tables))
        for stem, names in groups.items()
        if names and not stem.endswith("domain_accuracy")
    ]
    return figures + [
        (name, _scheduled(found, name, tables))
        for name in ("strength", "learning_rate")
        if name not in groups and any(getattr(each, name) is not None for each in found.recordings.values())
    ]


def domain_accuracy(found: Contents, tables: Any) -> Figure | None:
    """Of each training's own discriminator, in training and on the observed rows, with the line of chance."""
    names = list(
        dict.fromkeys(
            name
            for history in found.histories.values()
            for name, values in history.items()
            if name.endswith("domain_accuracy") and any(map(_is_finite, values))
        )
    )
    if not names and all(each.source_domain_logits is None for each in found.recordings.values()):
        return None
    drawn = _logged(found, names, "domain_accuracy", tables)
    drawn["layout"] |= {
        "shapes": [
            {
                "type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": CHANCE, "y1": CHANCE,
                "line": {"color": _GREY, "dash": "dot", "width": 2},
            }
        ],
        "annotations": [
            {
                "xref": "paper", "x": 1, "y": CHANCE, "yanchor": "bottom", "xanchor": "right", "showarrow": False,
                "text": tables.WORDS["chance"],
            }
        ],
    }  # fmt: skip
    return drawn


def measures(found: Contents, tables: Any) -> list[tuple[str, Figure]]:
    """(name, figure) of every measure and score by epoch; the picked epoch marked."""
    words = tables.WORDS
    lines: dict[str, list[Figure]] = {}
    for key in found.trainings:
        own: dict[str, tuple[Sequence[float], Sequence[Any]]] = {}
        for name, values in found.histories.get(key, {}).items():
            if not is_training_log(name):
                own[name] = (range(1, len(values) + 1), values)
        for name, (epochs, drawn) in own.items():
            if any(map(_is_finite, drawn)):
                lines.setdefault(name, []).append(_line(epochs, drawn, key, _mode_number(found, key), ""))
                lines[name] += _star(found, key, _picked(found, key), epochs, drawn, words)
    return [
        (name, figure(_once(data), axis(words, "epoch"), {"title": {"text": with_unit(name, tables)}}))
        for name, data in lines.items()
    ]


def scores(found: Contents, tables: Any) -> list[tuple[str, Figure]]:
    """(name, figure) of every label-free score of the frames of the page's training and of source-only training.

    The epoch that the score would keep is marked.
    """
    words = tables.WORDS
    lines: dict[str, list[Figure]] = {}
    directions: dict[str, str] = {}
    for key in filter(None, (found.main, found.baseline(found.main))):
        if found.inputs is None or key not in found.recordings:
            continue
        for one in scores_by_epoch(found.recordings[key], found.inputs.source_y):
            better = words["higher" if one.score.higher_is_better else "lower"]
            directions[one.score.name] = f"{with_unit(one.score.name, tables)}<br>{better}"
            own = lines.setdefault(one.score.name, [])
            if any(map(math.isfinite, one.values)):
                own.append(_line(one.epochs, one.values, key, _mode_number(found, key), ""))
                own += _star(found, key, one.picked, one.epochs, one.values, words)
    return [
        (name, figure(_once(data), axis(words, "epoch"), {"title": {"text": directions[name]}}))
        for name, data in lines.items()
        if data
    ]


def _logged(found: Contents, names: Sequence[str], stem: str, tables: Any) -> Figure:
    data, words = [], tables.WORDS
    for key, history in found.histories.items():
        for number, name in enumerate(names):
            if any(map(_is_finite, history.get(name, ()))):
                more = "" if name == stem else words["validation"] if name == f"val_{stem}" else _spaced(name)
                epochs = range(1, len(history[name]) + 1)
                data.append(_line(epochs, history[name], key, _mode_number(found, key), more, _DASHES[number % 4]))
    for key, recorded in found.recordings.items():
        values = observed_domain_accuracy(recorded) if stem == "domain_accuracy" else None
        if values is not None:
            dash, more = _DASHES[len(names) % 4], words["observed"]
            data.append(_line(recorded.epochs.tolist(), values, key, _mode_number(found, key), more, dash))
    vertical: dict[str, Any] = {"title": {"text": with_unit(stem, tables)}}
    if stem.endswith("accuracy"):
        vertical |= {"range": [-0.02, 1.02]}
    return figure(_once(data), axis(words, "epoch"), vertical)


def _scheduled(found: Contents, name: str, tables: Any) -> Figure:
    data = [
        _line(range(len(values)), values, key, _mode_number(found, key), "")
        for key, recorded in found.recordings.items()
        if (values := _schedule(found, key, getattr(recorded, name), name)) is not None
    ]
    vertical = {"title": {"text": with_unit(name, tables)}, "rangemode": "tozero"}
    return figure(_once(data), axis(tables.WORDS, "epoch"), vertical)


def _schedule(found: Contents, key: Key, values: NDArray[Any] | None, name: str) -> list[float] | None:
    """A schedule after each epoch, from before the first on; the strength as back-offs have halved it."""
    if values is None or name != "strength":
        return None if values is None else values.tolist()
    halved = [0, *(count or 0 for count in found.histories.get(key, {}).get("back_offs", ()))]
    counts = [halved[min(epoch, len(halved) - 1)] for epoch in range(len(values))]
    return [float(value) * 0.5**count for value, count in zip(values, counts, strict=True)]


def _line(epochs: Any, values: Sequence[Any], key: Key, number: int, more: str, dash: str = "solid") -> Figure:
    name = key[0] + (f", {more}" if more else "")
    kept = [(x, y) for x, y in zip(epochs, values, strict=False) if _is_finite(y)]
    return {
        "type": "scatter", "mode": "lines+markers" if len(kept) < 40 else "lines", "name": name, "legendgroup": name,
        "x": [x for x, _ in kept], "y": [y for _, y in kept],
        "line": {"color": line_color(number), "dash": dash, "width": 2},
        "marker": {"size": 6, "symbol": _SYMBOLS[number % len(_SYMBOLS)]},
        "hovertemplate": f"{name}, {key[1]}: %{{y:.4g}}<extra></extra>",
    }  # fmt: skip


def _picked(found: Contents, key: Key) -> Any:
    """The epoch that was picked, where the row of the training names one."""
    return found.row(key).get("chosen_epoch")


def _star(found: Contents, key: Key, picked: Any, epochs: Any, values: Sequence[Any], words: Words) -> list[Figure]:
    """A star at the picked epoch, if there is a value of it; none where the training diverged: there is no model."""
    if found.row(key).get("diverged") is not None:
        return []
    pairs = [(x, y) for x, y in zip(epochs, values, strict=False) if x == picked and _is_finite(y)]
    return [
        {
            "type": "scatter", "mode": "markers", "name": words["picked"], "legendgroup": "picked", "x": [x], "y": [y],
            "marker": {"symbol": "star", "size": 14, "color": line_color(_mode_number(found, key)),
                       "line": {"color": _GREY, "width": 1}},
            "hovertemplate": f"{words['picked']}: %{{x}}<extra></extra>",
        }
        for x, y in pairs
    ]  # fmt: skip


def _mode_number(found: Contents, key: Key) -> int:
    return list(dict.fromkeys(mode for mode, _ in found.trainings)).index(key[0])


def _once(data: list[Figure]) -> list[Figure]:
    """Traces of which each name is in the legend once: the seeds of a mode are one entry."""
    seen: set[str] = set()
    for trace in data:
        trace["showlegend"] = trace["name"] not in seen
        seen.add(trace["name"])
    return data


def figure(data: list[Figure], horizontal: Figure, vertical: Figure) -> Figure:
    """Traces with their axes, a legend above them."""
    return {
        "data": data,
        "layout": {
            "xaxis": {"automargin": True, **horizontal},
            "yaxis": {"automargin": True, **vertical, "title": {**vertical["title"], "standoff": 10}},
            "margin": {"l": 8, "r": 12, "t": 12, "b": 8},
            "height": 320,
            "showlegend": True,
            "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        },
    }


def line_color(number: int) -> str:
    """The colour of the lines of a mode."""
    return LINE_COLORS[number % len(LINE_COLORS)]


def axis(words: Words, name: str) -> Figure:
    """An axis with the title ``axis_NAME``."""
    return {"title": {"text": words[f"axis_{name}"]}}


def _stem(name: str) -> str:
    return name.removeprefix("val_")


def _spaced(name: str) -> str:
    return shown(name.replace("_", " "), 40)


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
