"""Settings and results as the command line shows them."""

from __future__ import annotations

import shlex
import statistics
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from flipgrad._files import plain, to_json
from flipgrad.summary import mean_and_std, short, summarise

if TYPE_CHECKING:
    from flipgrad.cli._request import Request
    from flipgrad.evaluation import Evaluation
    from flipgrad.picking import Pick

Row = Mapping[str, Any]
WIDTH = 100

# MNIST -> MNIST-M, target accuracy as published, by mode: the original program this preset follows
# (lowest to highest of its runs), Ganin et al. JMLR 2016, Ganin and Lempitsky ICML 2015.
PUBLISHED = {
    "source": (".480-.534", ".5225", ".5749"),
    "dann": (".708-.719", ".7666", ".8149"),
    "target": ("", ".9596", ".9891"),
}
# Said with every result, because it is so often forgotten.
NOTE = (
    "Target accuracy is measured with labels of the target, which a real user does not have: "
    "report it, do not choose settings by it."
)


def settings_table(request: Request, settings: Any) -> Table:
    """Everything that can change a result of an experiment, one line each."""
    return lines_table(
        {"experiment": request.experiment, **asdict(settings), "backend": request.backend, "out": request.out}
    )


def lines_table(values: Mapping[str, Any]) -> Table:
    """Names and values, one line each; what comes from files is shown as plain text."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, value in values.items():
        shown = ", ".join(map(str, value)) if isinstance(value, (tuple, list)) else str(value)
        table.add_row(plain_text(name), plain_text(shown))
    return table


def plain_text(text: str) -> Text:
    """Text from a file or a stranger: no markup, and no control characters that a terminal would obey."""
    return Text("".join(c if c.isprintable() else "�" for c in text))


def results_table(rows: Sequence[Row]) -> Table:
    """A line a mode: mean and standard deviation over the seeds, and the range on the target."""
    summary = summarise(rows)
    several = any(line["n"] > 1 for line in summary)
    extra = _extra_columns(rows)
    spreads = ["source", "target", *(["range"] if several else []), "domain"]
    table = empty_table("mode", "n", *spreads, *extra, "seconds")
    for line in summary:
        own = [row for row in rows if row["mode"] == line["mode"]]
        target = line.get("target_accuracy")
        scored = sum(not row.get("diverged") for row in own)
        n = str(line["n"]) if scored == line["n"] else f"{scored} of {line['n']}"
        cells = [line["mode"], n, mean_and_std(line.get("source_accuracy")), mean_and_std(target)]
        if several:
            cells.append(f"{short(target['min'])}-{short(target['max'])}" if target and target["n"] else "")
        cells.append(mean_and_std(line.get("domain_accuracy")))
        cells += [short(_mean(own, name)) for name in extra]
        cells.append(f"{_mean(own, 'seconds') or 0:.0f}")
        table.add_row(*map(plain_text, cells))
    return table


def remarks(experiment: str, rows: Sequence[Row], out: Path) -> Iterator[RenderableType]:
    """What to know beside the table: published figures, collapsed runs, where the figures are."""
    if experiment == "mnist":
        yield _published_table(rows)
    yield "Accuracies: means over n seeds ± standard deviation; domain: of the discriminator."
    if experiment == "blobs" and len(rows) > len({row["mode"] for row in rows}):
        yield _shares_line(rows)
    yield collapsed_line(rows)
    if diverged := diverged_line(rows):
        yield f"{diverged} They are not in the means."
    yield NOTE
    yield f"Figures: {out / 'figures'}"


def health_lines(run: Path) -> list[str]:
    """How often each verdict was given, a line a mode, and where to read what it means; none without a diagnosis."""
    from flipgrad.health import records

    by_mode: dict[str, list[list[str]]] = {}
    for (mode, _), verdicts in records.diagnoses(records.read(run)).items():
        by_mode.setdefault(mode, []).append([verdict.name for verdict in verdicts])
    lines = []
    for mode, found in by_mode.items():
        counts = Counter(name for names in found for name in names)
        several = len(found) > 1
        said = ", ".join(f"{name} ({count} of {len(found)})" if several else name for name, count in counts.items())
        if said:
            lines.append(f"Health of {mode}: {said}.")
    return [*lines, f"What that means: {shlex.join(['flipgrad', 'health', str(run)])}"] if lines else []


def adapt_remark(rows: Sequence[Row]) -> str:
    """What the accuracies of one's own data are, and are not."""
    held = "source and domain: on rows held out of the training"
    chosen = [row for row in rows if row.get("chosen_epoch") is not None]
    if chosen:
        labelled = all(row.get("target_labelled_accuracy") is not None for row in chosen)
        by = "on a third of --target-labels" if labelled else "by a score without target labels (--keep best)"
        which = f"the model is that of epoch {chosen[0]['chosen_epoch']}, the best"
        if len(rows) > 1:
            which = (
                "each model is that of its best epoch" if labelled else "each model of dann is that of its best epoch"
            )
        held += f"; {which} {by}"
    if all(row.get("target_accuracy") is None for row in rows):
        return (
            f"Accuracies: {held}. Nothing here says how good the predictions on the target are: label a small "
            "sample of it and give it to flipgrad evaluate."
        )
    return f"Accuracies: {held}; target: on --target-test. {NOTE}"


def pick_lines(pick: Pick | None, count: int) -> Iterator[str]:
    """Which training the other commands use, and why; and why not to trust it."""
    if pick is None:
        return
    if pick.picked is None:
        from flipgrad.picking import ALL_DIVERGED

        none = pick.reason == ALL_DIVERGED
        then = "none ended with a model" if none else "choose one with --training MODE-SEED"
        yield f"Picked: none of {count} trainings ({pick.reason}); {then}."
        return
    yield f"Picked: {pick.picked} of {count} trainings ({pick.reason}). Another: --training MODE-SEED."
    if pick.warning:
        yield f"Warning: {pick.warning}"


def collapsed_line(rows: Sequence[Row]) -> str:
    """How many runs predicted one class for every row, and which."""
    fallen = [f"{row['mode']} seed {row['seed']}" for row in rows if row.get("collapsed")]
    if not fallen:
        return f"Collapsed: 0 of {len(rows)} runs."
    return (
        f"Collapsed: {len(fallen)} of {len(rows)} runs ({', '.join(fallen)}): "
        "one class was predicted for all rows of both domains, or for 99 % of them."
    )


def diverged_line(rows: Sequence[Row], *, has_precision: bool = True) -> str:
    """Which runs ended in NaN or infinity, at which step, and what to do; empty where none did.

    The command has a setting of the precision, or has none.
    """
    broken = [f"{row['mode']} seed {row['seed']} at step {row['diverged']}" for row in rows if row.get("diverged")]
    if not broken:
        return ""
    precision = ", or use float32" if has_precision else ""
    return (
        f"{len(broken)} of {len(rows)} trainings diverged (loss or weights NaN or infinite): {', '.join(broken)}, "
        f"of {rows[0].get('steps')}; lower the learning rate or the strength{precision}."
    )


def classes_table(found: Evaluation) -> Table:
    """A line for each class."""
    table = empty_table("class", "precision", "recall", "F1", "rows")
    for name, scores in found.classes.items():
        figures = [short(scores[key]) for key in ("precision", "recall", "f1")]
        table.add_row(plain_text(name), *figures, str(scores["rows"]))
    return table


def print_json(value: Any) -> None:
    """Rows, or whatever else, and nothing beside it on standard output."""
    sys.stdout.write(to_json(plain(value)).decode())
    sys.stdout.flush()


def _shares_line(rows: Sequence[Row]) -> str:
    """In how many of the seeds a mode reached a target accuracy of .9."""
    shares = []
    for mode in dict.fromkeys(row["mode"] for row in rows):
        own = [row for row in rows if row["mode"] == mode]
        reached = [(row.get("target_accuracy") or 0) >= 0.9 for row in own]  # a diverged training did not
        if any(row.get("target_accuracy") is not None for row in own):
            shares.append(f"{mode} {statistics.fmean(reached):.0%}")
    return f"Seeds with a target accuracy of .9 or more: {', '.join(shares)}."


def _published_table(rows: Sequence[Row]) -> Table:
    table = empty_table("target accuracy", "this run", "original program", "JMLR 2016", "ICML 2015")
    for line in summarise(rows):
        published = PUBLISHED.get(line["mode"], ("", "", ""))
        table.add_row(plain_text(line["mode"]), mean_and_std(line.get("target_accuracy")), *published)
    return table


def empty_table(*headings: str) -> Table:
    """An empty table: the first column to the left, the numbers to the right."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for number, heading in enumerate(headings):
        table.add_column(plain_text(heading), justify="right" if number else "left", no_wrap=True)
    return table


def _extra_columns(rows: Sequence[Row]) -> list[str]:
    """The numbers that only this experiment has."""
    names = dict.fromkeys(
        name
        for row in rows
        for name, value in row.items()
        if isinstance(value, float) and name != "seconds" and not name.endswith("accuracy")
    )
    return list(names)


def _mean(rows: Sequence[Row], name: str) -> float | None:
    values = [float(row[name]) for row in rows if isinstance(row.get(name), int | float)]
    return statistics.fmean(values) if values else None
