"""Results over seeds: mean and spread of every accuracy."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from flipgrad._files import plain


def summarise(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Mean and spread over the seeds, for each mode in order of appearance.

    Args:
        rows: as in ``results.json``; of their keys those that end in "accuracy" are summarised.

    Returns:
        One dict a mode: "mode", "n" (its rows), and for every accuracy key a dict of n, mean, std
        (with n - 1; None below two values), median, min and max.  None and NaN are left out; with
        no value left, all but n are None.
    """
    rows = list(rows)
    keys = dict.fromkeys(key for row in rows for key in row if key.endswith("accuracy"))
    summary = []
    for mode in dict.fromkeys(row["mode"] for row in rows):
        own = [row for row in rows if row["mode"] == mode]
        summary.append({"mode": mode, "n": len(own)} | {k: _spread(own, k) for k in keys})
    return summary


def _spread(rows: Sequence[Mapping[str, Any]], key: str) -> dict[str, float | int | None]:
    values = [float(v) for row in rows if (v := plain(row.get(key))) is not None]
    spread: dict[str, float | int | None] = dict.fromkeys(("mean", "std", "median", "min", "max"))
    if values:
        spread |= {"mean": statistics.fmean(values), "median": statistics.median(values)}
        spread |= {"min": min(values), "max": max(values)}
    if len(values) > 1:
        spread["std"] = statistics.stdev(values)
    return {"n": len(values)} | spread
