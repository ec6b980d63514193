"""What stands on top of the page: the verdict in one sentence, the tables, the diagnoses with their advice."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean
from typing import Any

from flipgrad._comparison_groups import mapping
from flipgrad.report import tables as results
from flipgrad.report.contents import Contents, Key
from flipgrad.report.picked import picked_training
from flipgrad.report.text import named, number, pairs, signed

Words = Mapping[str, str]


def top(found: Contents, words: Words, tables: Any) -> dict[str, Any]:
    """The verdict in one sentence, what is wrong with the folder, the tables and the diagnoses."""
    return {
        "verdict": _verdict(found, words, tables),
        "warnings": _warnings(found, words),
        "table": results.by_mode(found, words),
        "every": results.every(found, words, tables),
        "by_class": results.by_class(found, words),
        "pick": picked_training(found, words, tables),
        "model_of": _model_of(found, words),
        "health": _diagnoses(found, tables),
        "about": _about(found, words),
    }


def _verdict(found: Contents, words: Words, tables: Any) -> str:
    """One sentence or two: whether it is finished, the diagnosis of the training of the page, the accuracy."""
    parts = []
    if not found.done:
        wanted, have = found.wanted, len(found.rows)
        done = words["trainings_done"].format(have, wanted) if wanted else ""
        parts.append(f"{words['run_not_done']}. {done}".strip())
    main = found.main
    if "rows" in found.problems:
        parts.append(words["lost_results"])
    elif main is None or not found.rows:
        parts.append(words["no_results"])
    if main is not None:
        names = _verdict_names(found, main, words, tables)
        if names is not None:
            parts.append(words["verdict_of"].format(mode=main[0], seed=main[1], verdicts="; ".join(names)))
        else:
            parts.append(words["no_diagnosis"])
        if found.row(main):
            parts += _accuracies(found, main, words)
        entry = found.health.get(main, {"verdicts": []})
        if any("aligned" in verdict["name"] for verdict in entry["verdicts"]):
            parts.append(words["not_accurate"])
    return " ".join(parts)


def _verdict_names(found: Contents, key: Key, words: Words, tables: Any) -> list[str] | None:
    diverged = found.row(key).get("diverged")
    if diverged is not None:
        return [words["diverged_at"].format(diverged)]
    if key not in found.health:
        return None
    names = [verdict["name"] for verdict in found.health[key]["verdicts"]]
    return [tables.VERDICTS.get(name, name) for name in names] or [words["verdict_none"]]


def _accuracies(found: Contents, main: Key, words: Words) -> list[str]:
    """The accuracy on the target, beside that of source-only where both have a seed: of those seeds alone."""
    after, before = found.target_accuracies(main[0]), found.target_accuracies("source")
    if not after:
        return [words[_why_unknown(found, main)].format(mode=main[0])]
    paired = [seed for seed in after if seed in before]
    if main[0] == "source" or not paired:
        word = "target_of_source" if main[0] == "source" else "only_target"
        return [words[word].format(after=number(fmean(after.values())), seeds=len(after))]
    means = [fmean(values[seed] for seed in paired) for values in (after, before)]
    figures = {"after": number(means[0]), "before": number(means[1]), "difference": signed(means[0] - means[1])}
    return [words["with_target"].format(**figures, seeds=len(paired))]


def _why_unknown(found: Contents, main: Key) -> str:
    """The word for why there is no accuracy on the target."""
    if all(row.get("diverged") is not None for row in found.rows if row["mode"] == main[0]):
        return "no_model"
    return "no_classifier" if main[0] == "domain" else "no_target"


def _warnings(found: Contents, words: Words) -> list[str]:
    """Why parts could not be read that have no gap of their own in the page."""
    shown = [name for name in ("rows", "recordings") if getattr(found, name) and name in found.problems]
    hidden = [name for name in ("pick", "comparison") if name in found.problems]
    return [words["gap_unreadable"].format(why) for name in (*shown, *hidden) for why in found.problems[name]]


def _model_of(found: Contents, words: Words) -> str:
    """Of which epoch the weights of the page's training are."""
    row = found.row(found.main)
    if row.get("diverged") is not None or not row:
        return ""
    chosen = row.get("chosen_epoch")
    return words["model_of_last"] if chosen is None else words["model_of"].format(number(chosen))


def _diagnoses(found: Contents, tables: Any) -> list[dict[str, Any]]:
    keys = sorted(found.health, key=lambda key: key != found.main)
    return [
        {"mode": key[0], "seed": key[1], "verdicts": [_explained(v, tables) for v in found.health[key]["verdicts"]]}
        for key in keys
    ]


def _explained(verdict: Mapping[str, Any], tables: Any) -> dict[str, Any]:
    name = verdict["name"]
    meaning, advice = tables.EXPLAINED.get(name, (verdict.get("meaning"), verdict.get("advice")))
    return {
        "name": tables.VERDICTS.get(name, name),
        "meaning": meaning,
        "advice": advice,
        "evidence": [(named(key, tables), value) for key, value in pairs(mapping(verdict.get("evidence")))],
    }


def _about(found: Contents, words: Words) -> list[tuple[str, str]]:
    known = ("experiment", "started", "backend", "platform")
    return [
        (words["folder"], found.path.absolute().name),
        *((words[name], number(found.config.get(name))) for name in known),
        (words["state"], words["state_done" if found.done else "state_open"]),
    ]
