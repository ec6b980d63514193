"""Text, matrices and cards of the rows that were observed; and what to say where a part is missing."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flipgrad._comparison_groups import mapping
from flipgrad.recording import Inputs, Recording
from flipgrad.report import class_figures, thumbnails
from flipgrad.report.contents import Contents, Key
from flipgrad.report.embeddings import confidence
from flipgrad.report.figures import Figure
from flipgrad.report.text import percent, six_digits

Words = Mapping[str, str]

_SAMPLES = 24  # of each domain


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
        "measures": words["gap_measures"] if found.histories else why("histories", "gap_history"),
        "some_histories": _without(found, found.histories, "gap_some_histories", words),
        "some_movies": _without(found, found.recordings, "gap_some_recordings", words),
        "target_labels": words["gap_target_labels"] if labels else "",
    }


def _without(found: Contents, known: Container[Key], word: str, words: Words) -> str:
    """The trainings that have a result and lack this, where others have it; those that are named elsewhere not."""
    lacking = [f"{key[0]}-{key[1]}" for key in found.trainings if found.row(key) and key not in known]
    damaged = " ".join(found.problems.get("recordings", ())) if known is found.recordings else ""
    named = [] if known is found.histories else found.left_out
    lacking = [name for name in lacking if name not in named and f"/{name}.npz:" not in damaged]
    return words[word].format(", ".join(lacking)) if known and lacking else ""


def lines(found: Contents, inputs: Inputs) -> list[str]:
    """One line of text a row, the source's before the target's."""
    described = mapping(found.config.get("input"))
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
    return words["one_epoch"].format(six_digits(steps.pop())) if len(steps) == 1 else ""


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


def confusions(found: Contents, words: Words) -> list[tuple[str, Figure]]:
    """(title, matrix) of the training of the page and of source-only training: the source, and the target if known."""
    made = []
    for key in filter(None, (found.main, found.baseline(found.main))):
        recorded = found.kept(key)
        if recorded is not None and found.inputs is not None:
            matrices = [("confusion_source", found.inputs.source_y, recorded.source_logits[-1])]
            matrices += oracle_matrix(found.inputs, recorded)
            for what, labels, logits in matrices:
                matrix = class_figures.confusion(labels, logits.argmax(axis=-1), found.inputs.classes.tolist(), words)
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
            "sure": percent(sure[place]),
            "label": None if labels is None else _name(inputs, labels[place]),
            "wrong": labels is not None and bool(labels[place] != predicted[place]),
            "line": lines[place] if lines else "",
        }
        for place in np.argsort(sure, kind="stable")[:_SAMPLES]
    ]


def _name(inputs: Inputs, place: Any) -> str:
    return str(inputs.classes[place]) if place < len(inputs.classes) else str(place)
