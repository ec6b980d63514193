"""Which training of the run was picked, on what grounds, and how far to trust it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flipgrad._guarded import MODELS_GUARD
from flipgrad.picking import Pick, name_of
from flipgrad.report.contents import Contents
from flipgrad.report.text import named, number
from flipgrad.scores import DEFAULT


def picked_training(found: Contents, words: Mapping[str, str], tables: Any) -> dict[str, Any] | None:
    """Which training was picked and why, and the table of the scores; None for a run without a pick."""
    pick = found.pick
    if pick is None:
        return None
    names = list(dict.fromkeys(name for values in pick.scores.values() for name in values))
    head = [words["training"], *(named(name, tables) for name in names)]
    lines = [[training, *(number(values.get(name)) for name in names)] for training, values in pick.scores.items()]
    diverged = {name_of(row): row["diverged"] for row in found.rows if row.get("diverged") is not None}
    left_out = {
        name: words["diverged_at"].format(diverged[name]) if name in diverged else _why(name, pick, tables)
        for name in pick.left_out
    }
    return {
        "said": _reason(pick, words, tables, not found.rows or len(diverged) < len(found.rows)),
        "warning": _warning(pick, tables),
        "left_out": [words["pick_left_out"].format(f"{name} ({why})") for name, why in left_out.items()],
        "table": [head, *lines] if lines else [],
        "picked": pick.picked,
    }


def _reason(pick: Pick, words: Mapping[str, str], tables: Any, has_model: bool) -> str:
    if pick.picked not in pick.scores:
        reason = tables.PICKING.get(pick.reason) or _as_stored(pick.reason, tables)
        word = "pick_only" if pick.picked else "pick_none" if has_model else "pick_no_model"
        return words[word].format(picked=pick.picked, reason=reason)
    values = pick.scores[pick.picked]
    score = next((name for name in ("target_labelled_accuracy", DEFAULT) if name in values), "")
    count = len(pick.scores.keys() - pick.left_out.keys())
    return words["pick"].format(
        picked=pick.picked, score=named(score, tables), value=number(values.get(score)), count=count
    )


def _warning(pick: Pick, tables: Any) -> str | None:
    """Why not to trust the pick: what ``selection.json`` says, or the same in another language."""
    doubt, said = pick.disagreement, []
    if not tables.PICKING or not pick.warning:
        return pick.warning
    if doubt is not None:
        by_pick: dict[str, list[str]] = {}
        for score, voted in doubt["votes"].items():
            by_pick.setdefault(voted, []).append(named(score, tables))
        votes = tables.PICKING["between"].join(
            tables.PICKING["votes"].format(scores=tables.PICKING["and"].join(scores), picked=voted)
            for voted, scores in by_pick.items()
        )
        numbers = {name: doubt[name] for name in ("picked", "against", "differing")}
        said.append(tables.PICKING["disagree"].format(**numbers, votes=len(doubt["votes"]), said=votes))
    if not any(name.startswith("source-") for name in pick.scores):
        said.append(tables.PICKING["no_baseline"])
    return "".join(said) or _as_stored(pick.warning, tables)


def _why(name: str, pick: Pick, tables: Any) -> str:
    """Why a training that has not diverged could not be picked."""
    found = {each: values.get("source_accuracy") for each, values in pick.scores.items()}
    accuracies = {each: value for each, value in found.items() if isinstance(value, float)}
    if not tables.PICKING or name not in accuracies or accuracies[name] >= max(accuracies.values()) - MODELS_GUARD:
        return _as_stored(pick.left_out[name], tables)
    own, best = accuracies[name], max(accuracies.values())
    return str(tables.PICKING["guard"].format(own=number(own), best=number(best)))


def _as_stored(text: str, tables: Any) -> str:
    """An English sentence of ``selection.json``, marked as such in another language."""
    return str(tables.PICKING["original"].format(text)) if tables.PICKING and text else text
