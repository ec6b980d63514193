"""Finished trainings held against each other: over seeds, against source-only, against the upper bound, by class.

Target accuracies are read, for reporting only: nothing is chosen here.  What was not measured stays None, and a note
says why.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from flipgrad._comparison_groups import Group, classes_of, groups_of, partner, refuse_other_data
from flipgrad.errors import InputError
from flipgrad.runs import Run
from flipgrad.summary import spread

ACCURACIES = ("source_accuracy", "target_accuracy", "domain_accuracy")
_FEW = 5  # seeds; of fewer the interval is too narrow to mean much
_RESAMPLES = 10_000


@dataclass(frozen=True)
class Comparison:
    """What ``compare`` found.

    Attributes:
        modes: one dict for each mode, and for each of its settings where runs differ in them:

            - ``name``: the mode, with its run in front where several have the mode with other settings;
            - ``mode``, ``runs`` (folders), ``seeds``, ``n`` (trainings), ``diverged`` and ``collapsed`` (how many);
            - ``source_accuracy``, ``target_accuracy``, ``domain_accuracy``: see ``summary.spread``;
            - ``difference``: of the target accuracy to source-only, see ``paired_difference``; None for ``source``;
            - ``gap_closed``: see ``gap_closed``; None for ``source`` and ``target``;
            - ``class_accuracy``: class -> spread of its accuracy on the target (recall); None where not recorded.
        classes: their names, in order of the numbers.
        notes: what is missing and why, a line each.
    """

    modes: list[dict[str, Any]]
    classes: list[str]
    notes: list[str]


def compare_folders(folders: Sequence[str | os.PathLike[str]]) -> Comparison:
    """``compare`` of the runs in folders; InputError for a folder that is no run, or a run that is not done."""
    runs = [Run.open(folder) for folder in folders]
    for run in runs:
        if not run.done:
            raise InputError(f"{run.path}: the run is not done; finish it with --resume, or leave it out")
    return compare(runs)


def compare(runs: Sequence[Run]) -> Comparison:
    """Compares the trainings of one run, or of several of the same data.

    Trainings of one mode count together, as seeds, where settings and backend of their runs are the same; of a seed
    that is there twice the first counts.  Source-only and target-only trainings of the same seed are looked for among
    those of the same settings first, then among the others.

    Raises:
        InputError: no training at all, runs of other experiments or data, or whose data nobody knows.
    """
    refuse_other_data(runs)
    notes: list[str] = []
    groups = groups_of(runs, notes)
    if not groups:
        raise InputError(f"{runs[0].path}: expected at least one finished training, found none; train one")
    several = {g.mode for g in groups if sum(other.mode == g.mode for other in groups) > 1}
    classes = classes_of(runs, groups)
    modes = []
    for group in groups:
        name = f"{group.runs[0]}: {group.mode}" if group.mode in several else group.mode
        base = {} if group.mode == "source" else partner(group, "source", groups, name, notes)
        upper = {} if group.mode in ("source", "target") else partner(group, "target", groups, name, notes)
        modes.append(_described(group, name, base, upper, classes))
    return Comparison(modes, classes, [*notes, *_gaps(modes)])


def paired_difference(values: Mapping[int, float], base: Mapping[int, float]) -> dict[str, float | int | None]:
    """The mean difference over the seeds that both have, with a 95 % bootstrap interval.

    The seeds are drawn again, with replacement, 10,000 times (always the same draws); the interval holds the middle
    95 % of the means.  It says how far the mean may move with other seeds, and nothing of other data, for all seeds
    share one test set.  It is too narrow for few seeds: of two or three it is simply the lowest and the highest
    difference, and the median of all possible seeds lies between those with a probability of a half, or of three
    quarters.  Take it seriously from five on.

    Args:
        values: seed -> accuracy.
        base: seed -> accuracy of source-only.

    Returns:
        A dict of n (pairs), mean, low and high; mean is None without a pair, low and high below two.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3 (percentile interval).
    """
    pairs = np.array([values[seed] - base[seed] for seed in values if seed in base])
    found: dict[str, float | int | None] = {"n": len(pairs), "mean": None, "low": None, "high": None}
    if len(pairs):
        found["mean"] = float(pairs.mean())
    if len(pairs) > 1:
        drawn = np.random.default_rng(0).integers(len(pairs), size=(_RESAMPLES, len(pairs)))
        low, high = np.quantile(pairs[drawn].mean(axis=1), (0.025, 0.975))
        found |= {"low": float(low), "high": float(high)}
    return found


def gap_closed(values: Mapping[int, float], base: Mapping[int, float], upper: Mapping[int, float]) -> float | None:
    """The share of the way from source-only to training on target labels: (mode - source) / (target - source).

    Of the means over the seeds that all three have.  Above 1 is better than target-only, below 0 worse than
    source-only.

    Returns:
        None without such seeds, or where target-only is not above source-only.
    """
    seeds = [seed for seed in values if seed in base and seed in upper]
    if not seeds:
        return None
    mode, low, high = (statistics.fmean(each[seed] for seed in seeds) for each in (values, base, upper))
    return (mode - low) / (high - low) if high > low else None


def _described(
    group: Group, name: str, base: Mapping[int, float], upper: Mapping[int, float], classes: Sequence[str]
) -> dict[str, Any]:
    rows, recalls = list(group.rows.values()), group.recalls
    by_class = {
        label: spread(recall[number] for recall in recalls if number < len(recall))
        for number, label in enumerate(classes)
    }
    return {
        "name": name,
        "mode": group.mode,
        "runs": group.runs,
        "seeds": list(group.rows),
        "n": len(rows),
        "diverged": sum(row.get("diverged") is not None for row in rows),
        "collapsed": sum(row.get("collapsed") is True for row in rows),
        **{key: spread(row.get(key) for row in rows) for key in ACCURACIES},
        "difference": None if group.mode == "source" else paired_difference(group.accuracies, base),
        "gap_closed": gap_closed(group.accuracies, base, upper),
        "class_accuracy": by_class if recalls else None,
    }


def _gaps(modes: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What the modes lack, and why."""
    measured = [mode for mode in modes if mode["target_accuracy"]["n"]]
    if not measured:
        why = _why_unmeasured([mode for mode in modes if mode["diverged"] < mode["n"]])
        yield f"No target accuracy was measured, because {why}: no difference to source-only and no share of the gap."
        return
    if without := [mode["name"] for mode in modes if not mode["target_accuracy"]["n"]]:
        yield f"No target accuracy of {', '.join(without)}."
    adapted = [mode for mode in measured if mode["mode"] not in ("source", "target")]
    if alone := [mode["name"] for mode in adapted if not mode["difference"]["n"]]:
        yield f"No difference to source-only of {', '.join(alone)}: mode source was not trained with the same seeds."
    for mode in adapted:
        paired, seeds = mode["difference"]["n"], mode["target_accuracy"]["n"]
        if 0 < paired < seeds:
            yield f"The difference of {mode['name']} is over {paired} of its {seeds} seeds: mode source has no others."
    pairs = [mode["difference"]["n"] for mode in measured if mode["difference"] and mode["difference"]["n"]]
    if 1 in pairs:
        yield "No interval where there is one seed."
    if few := sorted({n for n in pairs if 1 < n < _FEW}):
        yield f"Intervals over {' or '.join(map(str, few))} seeds are too narrow: take them seriously from {_FEW} on."
    if adapted and not any(mode["mode"] == "target" for mode in modes):
        yield "No share of the gap closed: nothing was trained on target labels (mode target) to hold it against."
    elif open_gap := [mode["name"] for mode in adapted if mode["gap_closed"] is None]:
        yield (
            f"No share of the gap closed by {', '.join(open_gap)}: it takes modes source and target with the same "
            "seeds, and target above source."
        )
    if unknown := [mode["name"] for mode in measured if mode["class_accuracy"] is None]:
        yield f"No accuracies by class of {', '.join(unknown)}: the run was made before they were recorded."


def _why_unmeasured(modes: Sequence[Mapping[str, Any]]) -> str:
    """Of the modes with a training that ended with a model."""
    if not modes:
        return "no training ended with a model"
    if all(mode["mode"] == "domain" for mode in modes):
        return "mode domain trains no classifier"
    return "no labels of the target were given to report it"
