"""Picking one of several trained models without target labels."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from flipgrad._checks import check_number, described
from flipgrad._guarded import MODELS_GUARD, Seen, admitted
from flipgrad._held_out import held_out
from flipgrad.errors import InputError
from flipgrad.models import DomainAdaptationModel
from flipgrad.observation import Observation, observe
from flipgrad.runs import Run
from flipgrad.saving import load
from flipgrad.scores import DEFAULT, SCORES, Score, ensv, get, importance_weights

# Modes of an experiment that are no candidates: one has seen target labels, of the other no classifier is trained.
_NO_CANDIDATES = ("target", "domain")
# Picks whose predictions differ on no more of the target count as agreeing; a third of the scores may differ by more.
_SAME, _DISSENT = 0.05, 1 / 3
# These do not judge the predictions on the target, so that their picks are no votes.
_NO_VOTES = ("source_accuracy", "rank_me")
# Nor do these where a candidate keeps the domains apart: its weights, which ought to be 1 on average, vanish, and with
# them a risk of which nothing is known.
_WEIGHTED, _OVERLAP = ("importance_weighted_risk", "dev", "devn"), 0.5

Pool = Mapping[str, "DomainAdaptationModel | str | Path"]
Folder = str | os.PathLike[str]


class NoScoreError(InputError):
    """No candidate has the score that was to choose among them."""


@dataclass(frozen=True)
class Disagreement:
    """That a third or more of the scores would pick a model that predicts otherwise; ``str`` of it warns.

    Attributes:
        picked: the candidate that was picked.
        votes: score -> the candidate that it would pick, of the scores that judge predictions; those that weight
            source rows only where no candidate keeps the domains apart.
        against: how many of them would pick a model that predicts otherwise.
        differing: the largest share of the target rows that one of those predicts otherwise, 0 to 1.
    """

    picked: str
    votes: dict[str, str]
    against: int
    differing: float

    def __str__(self) -> str:
        by_pick: dict[str, list[str]] = {}
        for name, voted in self.votes.items():
            by_pick.setdefault(voted, []).append(name)
        said = "; ".join(f"{', '.join(names)} pick {voted}" for voted, names in by_pick.items())
        return (
            f"The scores disagree: {self.against} of {len(self.votes)} would pick a model that predicts otherwise than "
            f"{self.picked}, on up to {self.differing:.0%} of the target rows ({said}). Do not trust the pick without "
            "labelling some target rows."
        )


@dataclass(frozen=True)
class Selection:
    """Which of the candidates was picked, and on what grounds.

    Attributes:
        picked: name of the candidate.
        score: name of the score that picked it.
        scores: candidate -> score -> value, "ensv" among them; NaN where a model has none.
        picks: score -> the candidate that it would pick under the same guard; those that have no value are left out.
        left_out: candidate -> why it could not be picked, in words.
        disagreement: how far the scores differ; None where they agree.
    """

    picked: str
    score: str
    scores: dict[str, dict[str, float]]
    picks: dict[str, str]
    left_out: dict[str, str]
    disagreement: Disagreement | None

    @property
    def warning(self) -> str | None:
        """Why not to trust the pick, in words; None where the scores agree."""
        return None if self.disagreement is None else str(self.disagreement)


@dataclass(frozen=True)
class _Candidate:
    values: dict[str, float]
    reasons: dict[str, str]
    logits: np.ndarray
    source_only: bool
    overlap: float  # mean importance weight of its features


def select(
    candidates: Pool | Folder | Sequence[Folder],
    source: tuple[Any, Any],
    target: Any,
    score: str | Score = DEFAULT,
    guard: float = MODELS_GUARD,
) -> Selection:
    """Picks the best of several models by a score that needs no target labels.

    Considered are those whose source accuracy is within ``guard`` of the best, and always the better of the
    source-only models, so that the pick is never one that the score knows to be worse than doing nothing.  Equal scores
    are decided by EnsV, the agreement with all that are considered, then for the source-only model, then by order.

    Args:
        candidates: name -> model, or path of a ``.keras`` file; or the folder of a finished run, or several of the same
            data, whose models are named ``MODE-SEED`` (``FOLDER/MODE-SEED`` where there are several).  Mode ``target``
            is left out, for it has seen target labels.  Models in files are loaded one by one.
        source: ``(x, y)``: held-out source rows and class numbers.
        target: held-out target rows, no labels.
        score: a name in ``scores.SCORES``, or a ``scores.Score``.
        guard: how far the source accuracy may lie below the best, 0 to 1.

    Returns:
        The pick, all scores of all candidates and their picks.  Where a third or more of the scores would pick a model
        that predicts otherwise, ``warning`` says so, and a UserWarning too.

    Raises:
        InputError: no candidates, none that is source-only (a model without objectives), none that has a score; models
            of other classes; folders that are no finished runs or of other data; bad held-out rows.
    """
    found = pick(candidates, source, target, score, guard)
    if found.warning:
        warnings.warn(found.warning, stacklevel=2)
    return found


def pick(
    candidates: Pool | Folder | Sequence[Folder],
    source: tuple[Any, Any],
    target: Any,
    score: str | Score = DEFAULT,
    guard: float = MODELS_GUARD,
    *,
    needs_source_only: bool = True,
) -> Selection:
    """``select`` without the UserWarning; without ``needs_source_only`` also where there is no source-only model."""
    wanted = get(score)
    check_number("Argument `guard`", guard, zero=True, most=1, remedy="ten points are 0.1")
    source, target = held_out(source, target)
    left_out: dict[str, str] = {}
    pool = {name: _observed(name, model, source, target, wanted) for name, model in _models_of(candidates, left_out)}
    _check_pool(pool, left_out, needs_source_only)
    considered = _considered(pool, guard, left_out)
    agreement = ensv({name: pool[name].logits for name in considered})
    rules = {**SCORES, wanted.name: wanted}
    picks = {name: best for name, rule in rules.items() if (best := _best(considered, rule, agreement)) is not None}
    picks["ensv"] = max(considered, key=lambda name: (agreement[name], considered[name].source_only))
    if wanted.name not in picks:
        name, each = next(iter(considered.items()))
        why = each.reasons.get(wanted.name, "it is NaN")
        raise NoScoreError(f"select: no candidate has a {wanted.name}; {name}: {why}")
    for name, each in considered.items():
        if wanted.name in each.reasons:
            left_out[name] = each.reasons[wanted.name]
    doubt = _disagreement(picks, considered, wanted.name)
    table = {name: {**each.values, "ensv": agreement.get(name, math.nan)} for name, each in pool.items()}
    return Selection(picks[wanted.name], wanted.name, table, picks, left_out, doubt)


def _models_of(candidates: Any, left_out: dict[str, str]) -> Iterator[tuple[str, DomainAdaptationModel]]:
    """Name and model of each candidate, loaded when it is its turn."""
    if isinstance(candidates, Mapping):
        found = dict(candidates)
    else:
        single = isinstance(candidates, (str, os.PathLike)) or not hasattr(candidates, "__iter__")
        folders = [candidates] if single else list(candidates)
        if wrong := [each for each in folders if not isinstance(each, (str, os.PathLike))]:
            raise InputError(
                f"Argument `candidates`: expected models by name, or folders of runs, received "
                f"{described(wrong[0])}; give {{name: model}}."
            )
        found = _models_of_runs(folders, left_out)
    for name, model in found.items():
        model = load(Path(model)) if isinstance(model, (str, os.PathLike)) else model
        if not isinstance(model, DomainAdaptationModel):
            raise InputError(
                f"Argument `candidates`, {name!r}: expected a DomainAdaptationModel, such as DANN makes, received "
                f"{described(model)}; give DomainAdaptationModel(encoder, classifier)."
            )
        yield str(name), model


def _models_of_runs(folders: Sequence[Folder], left_out: dict[str, str]) -> dict[str, Path]:
    runs = [Run.open(folder) for folder in folders]
    found = {}
    for run in runs:
        if not run.done:
            raise InputError(f"{run.path}: the run is not done; finish it with --resume")
        if run.config.get("data") != runs[0].config.get("data"):
            raise InputError(f"{run.path}: of other data than {runs[0].path}; select among runs of the same data")
        for row in run.rows:
            name = f"{row['mode']}-{row['seed']}"
            name = name if len(runs) == 1 else f"{run.path}/{name}"
            if row["mode"] in _NO_CANDIDATES:
                left_out[name] = f"mode {row['mode']} is no candidate"
            elif row.get("diverged") is not None:
                left_out[name] = f"diverged at step {row['diverged']}, so that there is no model"
            else:
                found[name] = run.model_path(row["mode"], row["seed"])
    return found


def _observed(name: str, model: DomainAdaptationModel, source: Any, target: Any, wanted: Score) -> _Candidate:
    seen = observe(model, source, target)
    values, reasons = {}, {}
    for each in {**SCORES, wanted.name: wanted}.values():
        try:
            values[each.name] = each.function(seen)
        except InputError as error:
            values[each.name] = math.nan
            reasons[each.name] = str(error)
    if math.isnan(values["source_accuracy"]) and np.isfinite(seen.source.logits).all():
        raise InputError(f"Candidate {name!r}: {reasons['source_accuracy']}")  # the labels do not fit
    return _Candidate(values, reasons, seen.target.logits, not model.objectives, _overlap(seen))


def _overlap(seen: Observation) -> float:
    try:
        return float(importance_weights(seen.source.features, seen.target.features)[1].mean())
    except InputError:  # too few rows, or none finite
        return 0.0


def _check_pool(pool: Mapping[str, _Candidate], left_out: Mapping[str, str], needs_source_only: bool) -> None:
    if not pool:
        why = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
        raise InputError(f"Argument `candidates`: expected at least one model, received none. {why}")
    if needs_source_only and not any(each.source_only for each in pool.values()):
        raise InputError(
            f"Argument `candidates`: expected a source-only model (without objectives) in the pool, which tells "
            f"whether adapting is worth anything, received {', '.join(pool)}; train one with mode source, or "
            "DomainAdaptationModel(encoder, classifier)."
        )
    shapes = {each.logits.shape for each in pool.values()}
    if len(shapes) > 1:
        classes = sorted(shape[1] for shape in shapes)
        raise InputError(f"Argument `candidates`: expected models of the same classes, received {classes} classes.")


def _considered(pool: Mapping[str, _Candidate], guard: float, left_out: dict[str, str]) -> dict[str, _Candidate]:
    """Those that the guard admits, and the better source-only model; ``left_out`` gets the others."""
    accuracies = {name: each.values["source_accuracy"] for name, each in pool.items()}
    finite = {name: value for name, value in accuracies.items() if not math.isnan(value)}
    numbers = {index: Seen(0.0, value) for index, value in enumerate(finite.values())}
    names = list(finite)
    inside = {names[index] for index in admitted(numbers, guard)}
    baseline = max((name for name in finite if pool[name].source_only), key=lambda name: finite[name], default=None)
    for name in pool:
        if name not in finite:
            left_out[name] = pool[name].reasons["source_accuracy"]
        elif name not in inside and name != baseline:
            left_out[name] = (
                f"source accuracy {finite[name]:.3f} is more than {guard:g} below the best, {max(finite.values()):.3f}"
            )
    what = "source-only model" if any(each.source_only for each in pool.values()) else "model"
    if baseline is None and (what != "model" or not inside):
        raise InputError(f"Argument `candidates`: no {what} with finite predictions; train one again.")
    return {name: each for name, each in pool.items() if name in inside or name == baseline}


def _best(considered: Mapping[str, _Candidate], rule: Score, agreement: Mapping[str, float]) -> str | None:
    goodness = {name: rule.goodness(each.values[rule.name]) for name, each in considered.items()}
    scored = {name: value for name, value in goodness.items() if not math.isnan(value)}
    if not scored:
        return None
    top = max(scored.values())
    tied = [name for name, value in scored.items() if math.isclose(value, top, rel_tol=1e-9, abs_tol=1e-12)]
    return max(tied, key=lambda name: (agreement[name], considered[name].source_only))  # then the first


def _disagreement(picks: Mapping[str, str], pool: Mapping[str, _Candidate], score: str) -> Disagreement | None:
    """Where the scores' picks predict otherwise than the pick of ``score``; None where they agree."""
    picked = picks[score]
    predicted = {name: each.logits.argmax(axis=1) for name, each in pool.items()}
    differing = {name: float((predicted[name] != predicted[picked]).mean()) for name in picks.values()}
    apart = min(each.overlap for each in pool.values()) < _OVERLAP
    silent = {*_NO_VOTES, *(_WEIGHTED if apart else ())} - {score}
    votes = {name: pick for name, pick in picks.items() if name not in silent}
    against = [differing[pick] for pick in votes.values() if differing[pick] > _SAME]
    if len(against) < _DISSENT * len(votes):
        return None
    return Disagreement(picked, votes, len(against), max(against))
