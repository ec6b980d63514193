"""From measures to plain words: what is the matter with a training, and what to do.

The thresholds were chosen on runs whose truth is known; ``docs/health.md`` has the table.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from flipgrad.health.advice import EXPLAINED
from flipgrad.health.features import ALIKE, COMMON, ONE_CLASS
from flipgrad.health.label_shift import chance_divergence
from flipgrad.health.measures import FEWEST, LOOK, Measures

WON = 0.35  # domain loss below which the discriminator, if it does as well as a fresh one, has nothing to fear
AS_GOOD = 0.05  # of the accuracy of a fresh one
AT_CHANCE = (0.6, 0.8)  # domain loss, around ln 2, of a discriminator that knows next to nothing; beyond it is wrong
CONSTANT = 1e-5  # spread of the domain logit below which it says the same of every row
NO_PUSH = 0.02  # of the domain gradient that reaches the encoder, as a share of the label gradient
TELLS = 0.75  # accuracy of a fresh discriminator from which the domains are easily told apart
TELLS_NOT = 0.6  # and below which they hardly are; more where there are few rows
FORGOTTEN = 0.06  # of source accuracy; more where there are few rows
SHIFTED = 0.2  # share of target rows that would have to change class
NO_BETTER = 0.9  # of the baseline's prior divergence
BETTER = 0.75  # of the baseline's measure, for a sign of gain
REAL = 0.01  # difference below which two measures are the same; of prior divergences more, where there are few rows
SIGNS = 2  # of four, for a likely gain
LESS = 0.02  # of the V-measure; more where there are few rows


@dataclass(frozen=True)
class Verdict:
    """One finding.

    Attributes:
        name: a key of ``EXPLAINED``.
        evidence: the numbers that it rests on, by name; see ``Measures``.
        meaning: what it means, in a sentence or two.
        advice: what to do.
    """

    name: str
    evidence: dict[str, Any]
    meaning: str
    advice: str

    @property
    def numbers(self) -> str:
        """The evidence in one line."""
        return ", ".join(f"{name.replace('_', ' ')} {_text(value)}" for name, value in self.evidence.items())

    def __str__(self) -> str:
        return f"{self.name} ({self.numbers}). {self.meaning} {self.advice}"


def diagnose(measures: Measures, baseline: Measures | None = None) -> list[Verdict]:
    """The verdicts on a model, the gravest first.

    A model with a discriminator gets just one of: diverged, features collapsed, nothing to adapt, discriminator dead,
    too few rows to tell, discriminator won, too weak, partly aligned, aligned; and what else is the matter.  "Aligned"
    never means accurate.  Without the probes a discriminator at chance tells nothing, and there is none of them.  Of a
    model without a discriminator nothing is said but the first three.

    Args:
        measures: of the model.
        baseline: of source-only training on the same rows; without it nothing can be said of negative transfer, and of
            forgetting only by the training's own peak.
    """
    for name, rule in _FATAL.items():
        if (evidence := rule(measures)) is not None:
            return [_verdict(name, evidence)]
    measures, baseline = _whole(measures), _whole(baseline) if baseline else None
    state = _state(measures, baseline)
    besides = [(name, rule(measures, baseline)) for name, rule in _BESIDES.items()]
    found = [_verdict(name, evidence) for name, evidence in besides if evidence is not None]
    if state is None and measures.online_loss is None:
        return []
    name, states = (state.name, [state]) if state else ("", [])
    if name == "nothing to adapt":
        return states + [each for each in found if each.name != "negative transfer suspected"]
    if name == "too few rows to tell":
        return [each for each in found if each.name == "source forgotten"] + states
    grave = name.startswith("discriminator")
    if grave or any(each.name == "source forgotten" for each in found):
        found = [each for each in found if each.name != "label shift"]  # predictions are no ground for it
    aligning = name in ("partly aligned", "aligned")
    if aligning and not found and (evidence := _gain(measures, baseline)) is not None:
        found = [_verdict("likely better than source-only", evidence)]
    return states + found if grave else found + states


def _verdict(name: str, evidence: dict[str, Any]) -> Verdict:
    return Verdict(name, evidence, *EXPLAINED[name])


def _diverged(m: Measures) -> dict[str, Any] | None:
    return None if m.finite else {"finite": False}


def _collapsed(m: Measures) -> dict[str, Any] | None:
    if m.largest_share is None or m.feature_spread is None:
        return None
    common = max(m.source_shares or (0.0,)) >= COMMON
    if (m.largest_share < ONE_CLASS or common) and m.feature_spread >= ALIKE:
        return None
    return {"largest_share": m.largest_share, "feature_spread": m.feature_spread, "effective_rank": m.effective_rank}


_FATAL: dict[str, Callable[[Measures], dict[str, Any] | None]] = {
    "diverged": _diverged,
    "features collapsed": _collapsed,
}


def _whole(m: Measures) -> Measures:
    """With the V-measure of a target that is predicted as one class: 0 by its definition, whatever the clusters."""
    return replace(m, v_measure=0.0) if m.v_measure is None and max(m.target_shares, default=0.0) == 1 else m


def _state(m: Measures, baseline: Measures | None) -> Verdict | None:
    """Where the contest between encoder and discriminator stands; None where there is none, or where nothing tells."""
    edge = max(TELLS_NOT, 0.5 + 3 * 0.5 / math.sqrt(max(min(m.rows), 1)))  # by chance alone: three standard errors
    told = (m.input_accuracy, m.channel_accuracy, m.probe_accuracy)
    if m.input_accuracy is not None and all((accuracy or 0) < edge for accuracy in told):
        return _verdict("nothing to adapt", _these(m, "input_accuracy", "channel_accuracy", "probe_accuracy"))
    if m.online_loss is None:
        return None
    if (m.online_spread or 0) < CONSTANT or m.domain_gradient == 0:
        return _verdict("discriminator dead", _these(m, "online_spread", "domain_gradient", "fresh_accuracy"))
    if min(m.rows) < FEWEST:
        return _verdict("too few rows to tell", {"rows": m.rows})
    online, fresh = m.online_accuracy or 0.0, m.fresh_accuracy  # no probe, no fresh one
    evidence = _these(m, "online_accuracy", "online_loss", "fresh_accuracy", "probe_accuracy", "proxy_a_distance")
    if m.online_loss < WON and online >= (1.0 if fresh is None else fresh) - AS_GOOD:
        return _verdict("discriminator won", evidence)
    idle = AT_CHANCE[0] <= m.online_loss < AT_CHANCE[1]
    if idle and (fresh or 0) >= TELLS and (m.strength or 0) > 0 and (push := m.push) is not None and push < NO_PUSH:
        return _verdict("discriminator too weak", {**evidence, "push": push})
    evidence |= _beside(m, baseline, "class_gap", "prior_divergence")
    # With an accuracy below chance, or a loss above it, it knows something, but has it the wrong way round.
    at_chance = 1 - edge < online < edge and m.online_loss < AT_CHANCE[1]
    if not at_chance or (fresh or 0) >= edge:
        return _verdict("partly aligned", evidence)
    if edge >= TELLS:  # of so few rows chance alone makes as much
        return _verdict("too few rows to tell", {"rows": m.rows, **evidence})
    return None if fresh is None else _verdict("aligned", evidence)


def _forgotten(m: Measures, baseline: Measures | None) -> dict[str, Any] | None:
    best = max(m.source_peak or 0.0, (baseline.source_accuracy or 0.0) if baseline else 0.0)
    if m.source_accuracy is None or m.source_accuracy >= best - max(FORGOTTEN, _luck(best, m.rows[0])):
        return None
    return {"source_accuracy": m.source_accuracy, "best_source_accuracy": best}


def _luck(best: float, rows: int) -> float:
    """By how much the best accuracy of several looks at so few rows can be above a later one by chance.

    Three standard errors, for it is the best of several, each at ``LOOK`` rows at most.  Two rows that are right and
    two that are wrong are added, without which a best of 1 would have no error at all (Agresti and Coull 1998).
    """
    n = min(max(rows, 1), LOOK) + 4
    p = (min(max(best, 0.0), 1.0) * (n - 4) + 2) / n
    return 3 * math.sqrt(p * (1 - p) / (n - 4))


def _shifted(m: Measures, baseline: Measures | None) -> dict[str, Any] | None:
    if m.prior_divergence is None or m.prior_divergence < max(SHIFTED, chance := _chance(m)):
        return None
    return (
        _these(m, "prior_divergence")
        | {"chance_divergence": chance}
        | _these(m, "source_shares", "target_shares", "target_priors")
    )


def _chance(m: Measures) -> float:
    """The prior divergence of so few rows by chance; 0 where it is not known."""
    return chance_divergence(m.source_shares, *m.rows) if m.source_shares and min(m.rows) > 0 else 0.0


def _negative(m: Measures, baseline: Measures | None) -> dict[str, Any] | None:
    if baseline is None or m.prior_divergence is None or baseline.prior_divergence is None or m.online_loss is None:
        return None
    no_better = m.prior_divergence >= max(min(SHIFTED, NO_BETTER * baseline.prior_divergence), _chance(m), REAL)
    tidier = _tidier(m, baseline)
    if not no_better or tidier is None or tidier >= -_less(m):
        return None
    return _beside(m, baseline, "prior_divergence", "v_measure", "target_entropy")


def _gain(m: Measures, baseline: Measures | None) -> dict[str, Any] | None:
    """Where several signs are better than those of source-only training, and the target's clusters do not object."""
    if baseline is None or (tidier := _tidier(m, baseline)) is None or tidier < -_less(m):
        return None
    floors = {"prior_divergence": max(REAL, _chance(m)), "target_entropy": REAL, "class_gap": REAL}
    pairs = {name: (getattr(m, name), getattr(baseline, name)) for name in floors}
    signs = [
        None not in (own, other) and own <= min(BETTER * other, other - floors[name])
        for name, (own, other) in pairs.items()
    ]
    if sum(signs) + (tidier >= _less(m)) < SIGNS:
        return None
    return _beside(m, baseline, "v_measure", *floors)


def _tidier(m: Measures, baseline: Measures) -> float | None:
    """By how much the target's predictions follow its clusters better than those of source-only training."""
    return None if m.v_measure is None or baseline.v_measure is None else m.v_measure - baseline.v_measure


def _less(m: Measures) -> float:
    """The difference of two V-measures that means something, of so many rows."""
    return max(LESS, 0.5 / math.sqrt(max(m.rows[1], 1)))


_BESIDES: dict[str, Callable[[Measures, Measures | None], dict[str, Any] | None]] = {
    "source forgotten": _forgotten,
    "negative transfer suspected": _negative,
    "label shift": _shifted,
}


def _beside(m: Measures, baseline: Measures | None, *names: str) -> dict[str, Any]:
    """Measures, and those of source-only training where it is known."""
    before = {} if baseline is None else _these(baseline, *names)
    return {**_these(m, *names), **{f"source_only_{name}": value for name, value in before.items()}}


def _these(m: Measures, *names: str) -> dict[str, Any]:
    return {name: value for name in names if (value := getattr(m, name)) is not None}


def _text(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return "/".join(map(_text, value))
    return f"{value:.3g}" if isinstance(value, float) else str(value)
