"""The figures of the page as Plotly takes them: plain dicts of "data" and "layout", colours of text and grid apart."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flipgrad.plots._style import DOMAIN_COLORS, color
from flipgrad.recording import Inputs, Recording
from flipgrad.report.choice import scores_by_epoch
from flipgrad.report.contents import Contents, Key, is_training_log
from flipgrad.report.text import distinct, shown

Figure = dict[str, Any]
Words = Mapping[str, str]

CHANCE = 0.5  # balanced domain accuracy of a discriminator that cannot tell the domains apart
_TICK = 14  # letters of a name beside a confusion matrix
_NUMBERED = 15  # classes up to which numbers are written into a confusion matrix
_DASHES = ("solid", "dash", "dot", "dashdot")
_GREY = "#808080"  # seen on white and on black


def curves(found: Contents, words: Words) -> list[tuple[str, Figure]]:
    """(what, figure) of every logged number, then of the schedules; ``val_`` beside its training number."""
    groups: dict[str, list[str]] = {}
    for history in found.histories.values():
        for name in filter(is_training_log, history):
            own = groups.setdefault(_stem(name), [])
            if name not in own and any(map(_is_finite, history[name])):
                own.append(name)
    figures = [
        (stem, _logged(found, names, stem, words))
        for stem, names in groups.items()
        if names and not stem.endswith("domain_accuracy")
    ]
    return figures + [
        (name, _scheduled(found, name, words))
        for name in ("strength", "learning_rate")
        if name not in groups and any(getattr(each, name) is not None for each in found.recordings.values())
    ]


def domain_accuracy(found: Contents, words: Words) -> Figure | None:
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
    figure = _logged(found, names, "domain_accuracy", words)
    figure["layout"] |= {
        "shapes": [
            {
                "type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": CHANCE, "y1": CHANCE,
                "line": {"color": _GREY, "dash": "dot", "width": 2},
            }
        ],
        "annotations": [
            {
                "xref": "paper", "x": 1, "y": CHANCE, "yanchor": "bottom", "xanchor": "right", "showarrow": False,
                "text": words["chance"],
            }
        ],
    }  # fmt: skip
    return figure


def measures(found: Contents, words: Words) -> list[tuple[str, Figure]]:
    """(name, figure) of every measure and score by epoch; the picked epoch marked."""
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
        (name, _figure(_once(data), _axis(words, "epoch"), {"title": {"text": words["value"]}}))
        for name, data in lines.items()
    ]


def scores(found: Contents, words: Words) -> list[tuple[str, Figure]]:
    """(name, figure) of every label-free score of the frames of the page's training and of source-only training.

    The epoch that the score would keep is marked.
    """
    lines: dict[str, list[Figure]] = {}
    directions: dict[str, str] = {}
    for key in filter(None, (found.main, found.baseline(found.main))):
        if found.inputs is None or key not in found.recordings:
            continue
        for one in scores_by_epoch(found.recordings[key], found.inputs.source_y):
            directions[one.score.name] = words["higher" if one.score.higher_is_better else "lower"]
            own = lines.setdefault(one.score.name, [])
            if any(map(math.isfinite, one.values)):
                own.append(_line(one.epochs, one.values, key, _mode_number(found, key), ""))
                own += _star(found, key, one.picked, one.epochs, one.values, words)
    return [
        (name, _figure(_once(data), _axis(words, "epoch"), {"title": {"text": directions[name]}}))
        for name, data in lines.items()
        if data
    ]


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
    figure = _figure(bars, _axis(words, "class"), {"title": {"text": words["share_of_rows"]}, "rangemode": "tozero"})
    figure["layout"]["xaxis"] |= {"type": "category", "automargin": True}
    return figure


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
    figure = _figure([heat], {"title": {"text": words["predicted_class"]}}, {"title": {"text": words["true_class"]}})
    figure["layout"]["xaxis"] |= {"type": "category", "showgrid": False}
    figure["layout"]["yaxis"] |= {"type": "category", "showgrid": False, "autorange": "reversed"}
    figure["layout"]["height"] = min(420 + 12 * max(len(names) - 12, 0), 900)
    return figure


def _logged(found: Contents, names: Sequence[str], stem: str, words: Words) -> Figure:
    data = []
    for key, history in found.histories.items():
        for number, name in enumerate(names):
            if any(map(_is_finite, history.get(name, ()))):
                more = "" if name == stem else words["validation"] if name == f"val_{stem}" else _spaced(name)
                epochs = range(1, len(history[name]) + 1)
                data.append(_line(epochs, history[name], key, _mode_number(found, key), more, _DASHES[number % 4]))
    for key, recorded in found.recordings.items():
        if stem == "domain_accuracy" and recorded.source_domain_logits is not None:
            dash, more = _DASHES[len(names) % 4], words["observed"]
            values = _observed_domain_accuracy(recorded)
            data.append(_line(recorded.epochs.tolist(), values, key, _mode_number(found, key), more, dash))
    vertical: dict[str, Any] = {"title": {"text": words.get(f"axis_{stem}", _spaced(stem))}}
    if stem.endswith("accuracy"):
        vertical |= {"range": [-0.02, 1.02]}
    return _figure(_once(data), _axis(words, "epoch"), vertical)


def _observed_domain_accuracy(recorded: Recording) -> list[float]:
    assert recorded.source_domain_logits is not None
    assert recorded.target_domain_logits is not None
    source, target = recorded.source_domain_logits < 0, recorded.target_domain_logits >= 0
    return [float(value) for value in (source.mean(axis=1) + target.mean(axis=1)) / 2]


def _scheduled(found: Contents, name: str, words: Words) -> Figure:
    data = [
        _line(range(len(values)), values, key, _mode_number(found, key), "")
        for key, recorded in found.recordings.items()
        if (values := _schedule(found, key, getattr(recorded, name), name)) is not None
    ]
    vertical = {"title": {"text": words[f"axis_{name}"]}, "rangemode": "tozero"}
    return _figure(_once(data), _axis(words, "epoch"), vertical)


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
        "line": {"color": color(number), "dash": dash, "width": 2}, "marker": {"size": 5},
        "hovertemplate": f"{name}, {key[1]}: %{{y:.4g}}<extra></extra>",
    }  # fmt: skip


def _picked(found: Contents, key: Key) -> Any:
    """The epoch that was picked, where the row of the training names one."""
    row = next((row for row in found.rows if (row["mode"], row["seed"]) == key), {})
    return row.get("chosen_epoch")


def _star(found: Contents, key: Key, picked: Any, epochs: Any, values: Sequence[Any], words: Words) -> list[Figure]:
    """A star at the picked epoch, if there is a value of it."""
    pairs = [(x, y) for x, y in zip(epochs, values, strict=False) if x == picked and _is_finite(y)]
    return [
        {
            "type": "scatter", "mode": "markers", "name": words["picked"], "legendgroup": "picked", "x": [x], "y": [y],
            "marker": {"symbol": "star", "size": 14, "color": color(_mode_number(found, key)),
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


def _figure(data: list[Figure], horizontal: Figure, vertical: Figure) -> Figure:
    return {
        "data": data,
        "layout": {
            "xaxis": {"automargin": True, **horizontal},
            "yaxis": {"automargin": True, **vertical},
            "margin": {"l": 8, "r": 12, "t": 12, "b": 8},
            "height": 320,
            "showlegend": True,
            "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        },
    }


def _axis(words: Words, name: str) -> Figure:
    return {"title": {"text": words[f"axis_{name}"]}}


def _shares(values: NDArray[Any], count: int) -> list[float]:
    return [float(share) for share in np.bincount(values, minlength=count)[:count] / len(values)]


def _stem(name: str) -> str:
    return name.removeprefix("val_")


def _spaced(name: str) -> str:
    return shown(name.replace("_", " "), 40)


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
