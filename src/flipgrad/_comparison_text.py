"""A comparison as JSON, CSV and Markdown, and the three files of a run folder."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from flipgrad._files import plain, to_json
from flipgrad.comparison import ACCURACIES, Comparison, compare
from flipgrad.runs import Run
from flipgrad.summary import mean_and_std, short

GAP = "\u2013"  # of what was not measured


def as_json(found: Comparison) -> str:
    """One object with ``modes``, ``classes`` and ``notes``, as in ``Comparison``; what is missing is null."""
    return to_json(plain(asdict(found))).decode()


def as_csv(found: Comparison) -> str:
    """A line for each mode; what is missing is empty."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    lines = [_flat(mode, found.classes) for mode in found.modes]
    writer.writerow(lines[0])
    writer.writerows([*line.values()] for line in lines)
    return text.getvalue()


def _flat(mode: Mapping[str, Any], classes: Sequence[str]) -> dict[str, Any]:
    line = {name: mode[name] for name in ("name", "mode", "n", "diverged", "collapsed")}
    for name in ACCURACIES:
        line |= {f"{name}_{part}": mode[name][part] for part in ("mean", "std", "min", "max")}
    difference = mode["difference"] or {}
    line |= {f"difference_{part}": difference.get(part) for part in ("n", "mean", "low", "high")}
    line["gap_closed"] = mode["gap_closed"]
    by_class = mode["class_accuracy"] or {}
    return line | {f"target_accuracy_{label}": by_class.get(label, {}).get("mean") for label in classes}


def as_markdown(found: Comparison) -> str:
    """Two tables, scores and accuracies by class, and the notes."""
    parts = [_markdown_table(score_lines(found))]
    if any(mode["class_accuracy"] for mode in found.modes):
        parts.append("Accuracy on the target by class:\n\n" + _markdown_table(class_lines(found)))
    if found.notes:
        parts.append("\n".join(f"- {_escaped(note)}" for note in found.notes))
    return "\n\n".join(parts) + "\n"


def score_lines(found: Comparison) -> Iterator[list[str]]:
    """The table of scores, head first."""
    heads = ["mode", "n", "source", "target", "domain", "to source-only", "95 % interval", "gap closed"]
    fallen = any(mode["collapsed"] for mode in found.modes)
    yield [*heads, *(["collapsed"] if fallen else [])]
    for mode in found.modes:
        scored = mode["n"] - mode["diverged"]
        n = str(mode["n"]) if scored == mode["n"] else f"{scored} of {mode['n']}"
        accuracies = [mean_and_std(mode[name]) for name in ACCURACIES]
        yield [mode["name"], n, *accuracies, *difference_cells(mode), *([str(mode["collapsed"])] if fallen else [])]


def difference_cells(mode: Mapping[str, Any]) -> list[str]:
    """Mean difference to source-only, its interval and the share of the gap closed; empty where it has none to have."""
    difference = mode["difference"]
    if difference is None:
        return ["", "", ""]
    mean, low, high = (_signed(difference[part]) for part in ("mean", "low", "high"))
    interval = f"{low} to {high}" if low and high else GAP
    share = "" if mode["mode"] == "target" else GAP if mode["gap_closed"] is None else f"{mode['gap_closed']:.0%}"
    return [mean or GAP, interval, share]


def class_lines(found: Comparison) -> Iterator[list[str]]:
    """The table of accuracies by class, head first: a line for each class."""
    modes = [mode for mode in found.modes if mode["class_accuracy"]]
    yield ["class", *(mode["name"] for mode in modes)]
    for label in found.classes:
        yield [label, *(mean_and_std(mode["class_accuracy"][label]) or GAP for mode in modes)]


def _signed(value: float | None) -> str:
    return "" if value is None else f"{'+' if value >= 0 else '-'}{short(abs(value))}"


def _markdown_table(lines: Iterator[list[str]]) -> str:
    head, *rest = [[_escaped(cell) for cell in line] for line in lines]
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, rule, *rest))


def _escaped(text: str) -> str:
    """Names from a stranger's files as plain text of a Markdown cell, on one line."""
    text = "".join(c if c.isprintable() else " " for c in text)
    return "".join(f"\\{c}" if c in r"\|`*_[]<>" else c for c in text)


FORMATS: dict[str, Callable[[Comparison], str]] = {".json": as_json, ".csv": as_csv, ".md": as_markdown}


def save_comparison(run: Run) -> None:
    """Writes ``comparison.json``, ``.csv`` and ``.md`` into the run folder, where it has several trainings."""
    if len(run.rows) < 2:
        return
    found = compare([run])
    for ending, text in FORMATS.items():
        run.save_text(f"comparison{ending}", text(found).encode(errors="backslashreplace"))
