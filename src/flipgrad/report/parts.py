"""The parts of the page that are text, tables and cards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flipgrad._comparison_text import class_lines, difference_cells
from flipgrad.recording import Inputs, Recording
from flipgrad.report import figures, thumbnails
from flipgrad.report.choice import picked_training
from flipgrad.report.contents import Contents, Key, mapping
from flipgrad.report.embeddings import confidence
from flipgrad.report.text import NONE, named, number

Words = Mapping[str, str]

_SAMPLES = 24  # of each domain
_SCORES = (("source_accuracy",) * 2, ("target_accuracy",) * 2, ("held_domain_accuracy", "domain_accuracy"))


def top(found: Contents, words: Words, tables: Any) -> dict[str, Any]:
    """The verdict in one sentence, what is wrong with the folder, the tables and the diagnoses."""
    return {
        "verdict": _verdict(found, words, tables),
        "warnings": _warnings(found, words),
        "table": _table(found, words),
        "every": _every(found, words, tables),
        "by_class": _by_class(found, words),
        "pick": picked_training(found, words, tables),
        "model_of": _model_of(found, words),
        "health": _diagnoses(found, tables),
        "about": _about(found, words),
    }


def gaps(found: Contents, words: Words) -> dict[str, str]:
    """What to say where a part is missing; of the target's labels nothing where they are there."""

    def why(problem: str, otherwise: str) -> str:
        return (
            words["gap_unreadable"].format(" ".join(found.problems[problem]))
            if problem in found.problems
            else words[otherwise]
        )

    no_rows = found.inputs is None
    labels = found.inputs is not None and found.inputs.target_y is None
    return {
        "rows": why("rows", "gap_rows"),
        "health": why("health", "no_diagnosis_gap"),
        "histories": "" if found.histories else why("histories", "gap_history"),
        "movies": why("inputs", "gap_inputs") if no_rows else why("recordings", "gap_recordings"),
        "domain": words["gap_domain"] if found.histories else why("histories", "gap_history"),
        "measures": words["gap_measures"],
        "target_labels": words["gap_target_labels"] if labels else "",
    }


def pairs(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Names and values as text."""
    return [(str(name), number(value)) for name, value in values.items()]


def lines(found: Contents, inputs: Inputs) -> list[str]:
    """One line of text a row, the source's before the target's."""
    described = mapping(found.config, "input")
    return [line for x in (inputs.source_x, inputs.target_x) for line in thumbnails.lines_of_text(x, described)]


def epoch_note(found: Contents, words: Words) -> str:
    """How many steps an epoch of the log has; nothing where trainings differ or none has ended."""
    steps = {
        row["steps"] / len(history[next(iter(history))])
        for row in found.rows
        if row.get("steps")
        and row.get("diverged") is None
        and (history := found.histories.get((row["mode"], row["seed"])))
        and history[next(iter(history))]
    }
    return words["one_epoch"].format(number(round(steps.pop(), 3)).removesuffix(".000")) if len(steps) == 1 else ""


def class_notes(inputs: Inputs | None, recorded: Recording | None, words: Words) -> list[str]:
    """Said beside the histogram: a single class predicted, or classes never predicted for the target."""
    if inputs is None or recorded is None:
        return []
    notes = []
    for domain, logits in (("source", recorded.source_logits[-1]), ("target", recorded.target_logits[-1])):
        seen = np.unique(logits.argmax(axis=-1))
        if len(seen) == 1:
            notes.append(words["single_class"].format(domain=words[domain], name=_name(inputs, seen[0])))
    never = np.setdiff1d(np.arange(len(inputs.classes)), recorded.target_logits[-1].argmax(axis=-1))
    if len(never):
        notes.append(words["never_predicted"].format(", ".join(_name(inputs, place) for place in never)))
    return notes


def confusions(found: Contents, words: Words) -> list[tuple[str, figures.Figure]]:
    """(title, matrix) of the training of the page and of source-only training: the source, and the target if known."""
    made = []
    for key in filter(None, (found.main, found.baseline(found.main))):
        recorded = found.kept(key)
        if recorded is not None and found.inputs is not None:
            matrices = [("confusion_source", found.inputs.source_y, recorded.source_logits[-1])]
            matrices += oracle_matrix(found.inputs, recorded)
            for what, labels, logits in matrices:
                matrix = figures.confusion(labels, logits.argmax(axis=-1), found.inputs.classes.tolist(), words)
                made.append((f"{key[0]}: {words[what]}", matrix))
    return made


def oracle_matrix(inputs: Inputs, recorded: Recording) -> list[tuple[str, NDArray[Any], NDArray[Any]]]:
    """What a confusion matrix of the target is made of, where the user gave labels to report by."""
    return [] if inputs.target_y is None else [("confusion_target", inputs.target_y, recorded.target_logits[-1])]


def samples(inputs: Inputs | None, recorded: Recording | None, lines: list[str]) -> dict[str, list[dict[str, Any]]]:
    """Rows of both domains with prediction and confidence, the least certain first; the target's without labels."""
    if inputs is None or recorded is None:
        return {}
    source = _cards(inputs, inputs.source_ids, recorded.source_logits[-1], lines, inputs.source_y)
    target = _cards(inputs, inputs.target_ids, recorded.target_logits[-1], lines[len(inputs.source_x) :], None)
    return {"source": source, "target": target}


def _cards(
    inputs: Inputs, ids: NDArray[Any], logits: NDArray[Any], lines: list[str], labels: NDArray[Any] | None
) -> list[dict[str, Any]]:
    predicted, sure = confidence(logits)
    return [
        {
            "place": int(place),
            "id": str(ids[place]),
            "predicted": _name(inputs, predicted[place]),
            "sure": f"{sure[place]:.0%}",
            "label": None if labels is None else _name(inputs, labels[place]),
            "wrong": labels is not None and bool(labels[place] != predicted[place]),
            "line": lines[place] if lines else "",
        }
        for place in np.argsort(sure, kind="stable")[:_SAMPLES]
    ]


def _name(inputs: Inputs, place: Any) -> str:
    return str(inputs.classes[place]) if place < len(inputs.classes) else str(place)


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
        if any((row["mode"], row["seed"]) == main for row in found.rows):
            parts += _accuracies(found, main, words)
        entry = found.health.get(main, {"verdicts": []})
        if any("aligned" in verdict["name"] for verdict in entry["verdicts"]):
            parts.append(words["not_accurate"])
    return " ".join(parts)


def _verdict_names(found: Contents, key: Key, words: Words, tables: Any) -> list[str] | None:
    row = next((row for row in found.rows if (row["mode"], row["seed"]) == key), {})
    if row.get("diverged") is not None:
        return [words["diverged_at"].format(row["diverged"])]
    if key not in found.health:
        return None
    names = [verdict["name"] for verdict in found.health[key]["verdicts"]]
    return [tables.VERDICTS.get(name, name) for name in names] or [words["verdict_none"]]


def _accuracies(found: Contents, main: Key, words: Words) -> list[str]:
    means = {line["mode"]: line.get("target_accuracy") or {"mean": None, "n": 0} for line in found.summary}
    after, before = means.get(main[0], {"mean": None, "n": 0}), means.get("source", {"mean": None, "n": 0})
    if after["mean"] is None:
        return [words["no_target"]]
    if main[0] == "source" or before["mean"] is None:
        return [words["only_target"].format(after=number(after["mean"]), seeds=after["n"])]
    modes = found.comparison.modes if found.comparison else []
    paired = next((mode["difference"]["mean"] for mode in modes if mode["mode"] == main[0]), None)
    difference = f"{after['mean'] - before['mean'] if paired is None else paired:+.3f}"
    figures = {"after": number(after["mean"]), "before": number(before["mean"])}
    return [words["with_target"].format(**figures, difference=difference, seeds=after["n"])]


def _warnings(found: Contents, words: Words) -> list[str]:
    """Why parts could not be read that have no gap of their own in the page."""
    shown = [name for name in ("rows", "recordings") if getattr(found, name) and name in found.problems]
    return [words["gap_unreadable"].format(why) for name in shown for why in found.problems[name]]


def _table(found: Contents, words: Words) -> list[list[str]]:
    if not found.rows:
        return []
    head = [
        words[name]
        for name in ("mode", "seeds", *(word for word, _ in _SCORES), "collapsed", "diverged_count", "seconds")
    ]
    differences = _differences(found)
    if differences:
        head += [words["difference"], words["interval"], words["gap_closed"]]
    lines = [head]
    for line in found.summary:
        own = [row for row in found.rows if row["mode"] == line["mode"]]
        scores = [_spread(line.get(name)) for _, name in _SCORES]
        counts = [_count(row.get("collapsed") for row in own), _count(row.get("diverged") is not None for row in own)]
        times = [float(row["seconds"]) for row in own if isinstance(row.get("seconds"), int | float)]
        lines.append([line["mode"], str(line["n"]), *scores, *counts, f"{np.mean(times):.0f}" if times else NONE])
        if differences:
            lines[-1] += differences.get(line["mode"], [NONE] * 3)
    return lines


def _differences(found: Contents) -> dict[str, list[str]]:
    """Mode -> its difference to source-only, the interval and the gap closed; empty where nothing was to compare."""
    modes = found.comparison.modes if found.comparison else []
    if not any(mode["difference"] and mode["difference"]["n"] for mode in modes):
        return {}
    return {mode["mode"]: [cell or NONE for cell in difference_cells(mode)] for mode in modes}


def _by_class(found: Contents, words: Words) -> list[list[str]]:
    """The accuracy on the target by class, where the trainings recorded it."""
    if not found.comparison or not any(mode["class_accuracy"] for mode in found.comparison.modes):
        return []
    (_, *modes), *rows = class_lines(found.comparison)
    return [[words["class_name"], *modes], *rows]


def _model_of(found: Contents, words: Words) -> str:
    """Of which epoch the weights of the page's training are."""
    row = next((row for row in found.rows if (row["mode"], row["seed"]) == found.main), {})
    if row.get("diverged") is not None or not row:
        return ""
    chosen = row.get("chosen_epoch")
    return words["model_of_last"] if chosen is None else words["model_of"].format(number(chosen))


def _every(found: Contents, words: Words, tables: Any) -> list[list[str]]:
    names = list(dict.fromkeys(name for row in found.rows for name in row))
    head = [words.get(name) or named(name, tables) for name in names]
    return [head, *([number(row.get(name)) for name in names] for row in found.rows)]


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
        "evidence": [(named(key, tables), value) for key, value in pairs(mapping(verdict, "evidence"))],
    }


def _about(found: Contents, words: Words) -> list[tuple[str, str]]:
    known = {name: found.config.get(name) for name in ("experiment", "started", "backend", "platform")}
    about = {
        "folder": found.path.absolute().name,
        **known,
        "state": words["state_done" if found.done else "state_open"],
    }
    return [(words[name], number(value)) for name, value in about.items()]


def _spread(values: Mapping[str, Any] | None) -> str:
    if not values or values["mean"] is None:
        return NONE
    return number(values["mean"]) + (f" ± {number(values['std'])}" if values["std"] is not None else "")


def _count(values: Iterable[Any]) -> str:
    return str(sum(bool(value) for value in values))
