"""Results over seeds: mean and spread of every accuracy, and how they are written."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from typing import Any

from flipgrad._files import plain


def summarise(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Mean and spread over the seeds, for each mode in order of appearance.

    Args:
        rows: as in ``results.json``; of their keys those that end in "accuracy" are summarised.

    Returns:
        One dict a mode: "mode", "n" (its rows), and for every accuracy key what ``spread`` returns.
    """
    rows = list(rows)
    keys = dict.fromkeys(key for row in rows for key in row if key.endswith("accuracy"))
    summary = []
    for mode in dict.fromkeys(row["mode"] for row in rows):
        own = [row for row in rows if row["mode"] == mode]
        summary.append({"mode": mode, "n": len(own)} | {k: spread(row.get(k) for row in own) for k in keys})
    return summary


def spread(values: Iterable[Any]) -> dict[str, float | int | None]:
    """A dict of n, mean, std (with n - 1; None below two values), median, min and max.

    None and NaN are left out; with no value left, all but n are None.
    """
    numbers = [float(value) for each in values if (value := plain(each)) is not None]
    found: dict[str, float | int | None] = dict.fromkeys(("mean", "std", "median", "min", "max"))
    if numbers:
        found |= {"mean": statistics.fmean(numbers), "median": statistics.median(numbers)}
        found |= {"min": min(numbers), "max": max(numbers)}
    if len(numbers) > 1:
        found["std"] = statistics.stdev(numbers)
    return {"n": len(numbers)} | found


def mean_and_std(values: Mapping[str, Any] | None) -> str:
    """``.708 ± .019``; no deviation for one value, nothing for none."""
    if not values or values["mean"] is None:
        return ""
    deviation = f" ± {short(values['std'])}" if values["std"] is not None else ""
    return short(values["mean"]) + deviation


def short(value: float | None) -> str:
    """Three decimals, without the zero before the point; nothing for None."""
    if value is None:
        return ""
    text = f"{value:.3f}"
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text
