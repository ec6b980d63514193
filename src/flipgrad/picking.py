"""Which of a run's trainings ``predict``, ``evaluate`` and ``export`` use: picked once, and written beside them.

``selection.json`` holds the pick.  It is made without target labels, as by ``selection.select``; only where labelled
rows of the target were given to learn from, those of them that no training has learnt from decide.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from flipgrad._files import plain, read_json, to_json
from flipgrad.errors import InputError
from flipgrad.runs import Run

FILE = "selection.json"
ALL_DIVERGED = "all trainings diverged"  # the reason why none was picked
_NO_BASELINE = (
    "No source-only model is among them, so that nothing tells whether adapting was worth anything: train with "
    "--modes source,dann."
)
_NO_SCORE = "no training has a score: too few held-out rows, or one class predicted for all of them"

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Pick:
    """What was picked.

    Attributes:
        picked: "MODE-SEED"; None where none could be.
        reason: why, in words.
        warning: why not to trust it, in words; None where there is no doubt that one knows of.
        scores: "MODE-SEED" -> score -> value, of those that were scored.
        left_out: "MODE-SEED" -> why it could not be picked, in words.
        disagreement: the fields of ``selection.Disagreement``; None where the scores agree.
    """

    picked: str | None
    reason: str
    warning: str | None = None
    scores: dict[str, dict[str, float]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    disagreement: dict[str, Any] | None = None


def name_of(row: Row) -> str:
    """``MODE-SEED`` of a row of ``results.json``, as its model is named."""
    return f"{row['mode']}-{row['seed']}"


def pick_training(run: Run, source: tuple[Any, Any], target: Any) -> Pick | None:
    """Picks one of the trainings of a run and writes ``selection.json``; None where there is only one.

    Args:
        run: all of its trainings have ended; open for writing.
        source: ``(x, y)``: rows of the source that no training has seen, and their class numbers.
        target: rows of the target that no training has seen, and none that accuracies are reported on.
    """
    if len(run.rows) < 2:
        return None
    found = _picked(run, source, target)
    run.save_text(FILE, to_json(plain(asdict(found))))
    return found


def read_pick(run: Run) -> Pick | None:
    """What ``pick_training`` wrote, perhaps a stranger's; None where there is nothing.

    Raises:
        InputError: the file holds something else.
    """
    path = run.path / FILE
    if not path.exists():
        return None
    stored = read_json(path)
    texts = ("picked", "reason", "warning")
    tables = ("scores", "left_out")
    if (
        not isinstance(stored, dict)
        or not all(isinstance(stored.get(name), str | None) for name in texts)
        or not all(isinstance(stored.get(name, {}), dict) for name in tables)
        or not all(isinstance(values, dict) for values in stored.get("scores", {}).values())
        or not _is_disagreement(stored.get("disagreement"))
    ):
        raise InputError(f"{path}: expected the pick of a run, found something else; choose with --training")
    reason, (scores, left_out) = stored.get("reason") or "", (stored.get(name, {}) for name in tables)
    return Pick(stored.get("picked"), reason, stored.get("warning"), scores, left_out, stored.get("disagreement"))


def _is_disagreement(value: Any) -> bool:
    return value is None or (
        isinstance(value, dict)
        and isinstance(value.get("votes"), dict)
        and all(isinstance(voted, str) for voted in (value.get("picked"), *value["votes"].values()))
        and all(isinstance(value.get(name), int | float) for name in ("against", "differing"))
    )


def _picked(run: Run, source: tuple[Any, Any], target: Any) -> Pick:
    diverged = [row for row in run.rows if row.get("diverged") is not None]
    left_out = {name_of(row): f"diverged at step {row['diverged']}" for row in diverged}
    rows = [row for row in run.rows if name_of(row) not in left_out]
    if len(rows) < 2:
        reason = "the others diverged" if rows else ALL_DIVERGED
        return Pick(name_of(rows[0]) if rows else None, reason, left_out=left_out)
    if all(row.get("target_labelled_accuracy") is not None for row in rows):
        return _by_labelled_rows(rows, left_out)
    if not len(source[0]) or not len(target):
        return Pick(None, "too few rows to hold some out", left_out=left_out)
    return _without_labels(run, rows, source, target, left_out)


def _by_labelled_rows(rows: Sequence[Row], left_out: dict[str, str]) -> Pick:
    """The highest accuracy on the held-out rows of --target-labels; of equal ones source-only, then the first."""
    best = max(rows, key=lambda row: (row["target_labelled_accuracy"], row["mode"] == "source"))
    accuracy = best["target_labelled_accuracy"]
    scores = {name_of(row): {"target_labelled_accuracy": row["target_labelled_accuracy"]} for row in rows}
    reason = f"accuracy {accuracy:.3f} on the third of --target-labels that is not trained on, the best of {len(rows)}"
    return Pick(name_of(best), reason, scores=scores, left_out=left_out)


def _without_labels(
    run: Run, rows: Sequence[Row], source: tuple[Any, Any], target: Any, left_out: dict[str, str]
) -> Pick:
    from flipgrad.selection import NoScoreError, pick

    models = {name_of(row): run.model_path(row["mode"], row["seed"]) for row in rows}
    baseline = any(row["mode"] == "source" for row in rows)
    try:
        found = pick(models, source, target, needs_source_only=False)
    except NoScoreError:
        return Pick(None, _NO_SCORE, left_out=left_out)
    except InputError as error:
        return Pick(None, str(error), left_out=left_out)
    value = found.scores[found.picked][found.score]
    considered = [name for name in models if name not in found.left_out]
    top = max(found.scores[name][found.score] for name in considered)
    tied = sum(math.isclose(found.scores[name][found.score], top) for name in considered) > 1
    reason = f"{found.score} {value:.3f} on held-out rows, without target labels, the best of {len(considered)}"
    reason += "; EnsV, the agreement with the others, decided between equals" if tied else ""
    warning = " ".join(filter(None, (found.warning, None if baseline else _NO_BASELINE))) or None
    doubt = asdict(found.disagreement) if found.disagreement else None
    return Pick(found.picked, reason, warning, found.scores, {**left_out, **found.left_out}, doubt)
