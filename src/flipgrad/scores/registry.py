"""The scores of one observation, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flipgrad.errors import InputError
from flipgrad.scores.accuracy import source_accuracy
from flipgrad.scores.clustering import ami, v_measure
from flipgrad.scores.geometry import rank_me, snd
from flipgrad.scores.importance import dev, devn, importance_weighted_risk
from flipgrad.scores.predictions import bnm, corr_c, entropy, information_maximisation

if TYPE_CHECKING:
    from flipgrad.observation import Observation


@dataclass(frozen=True)
class Score:
    """A number that tells, without target labels, how good a model may be on the target.

    Attributes:
        name: by which it is chosen.
        function: observation -> value; raises InputError where there is none, as for a model that predicts one class.
        higher_is_better: whether it is; else the lowest is the best.
        reference: where it comes from.
    """

    name: str
    function: Callable[[Observation], float]
    higher_is_better: bool
    reference: str

    def goodness(self, value: float) -> float:
        """The value, or its negative: the greater the better, whichever the direction."""
        return value if self.higher_is_better else -value


def get(score: str | Score) -> Score:
    """A score by name; one of your own is returned as it is.

    Raises:
        InputError: an unknown name.
    """
    if isinstance(score, Score):
        return score
    if score not in SCORES:
        raise InputError(
            f"Argument `score`: expected one of {', '.join(SCORES)}, or a Score of your own, received {score!r}."
        )
    return SCORES[score]


def _weighted(risk: Callable[..., float]) -> Callable[[Observation], float]:
    return lambda seen: risk(seen.source.features, seen.source.logits, seen.source_labels, seen.target.features)


# See docs/selection.md for the table that it was chosen from.
DEFAULT = "corr_c"

SCORES: dict[str, Score] = {
    score.name: score
    for score in (
        Score(
            "source_accuracy",
            lambda seen: source_accuracy(seen.source.logits, seen.source_labels),
            True,
            "Musgrave et al., arXiv 2208.07360, 2022",
        ),
        Score(
            "v_measure",
            lambda seen: v_measure(seen.target.features, seen.target.logits),
            True,
            "Rosenberg and Hirschberg, EMNLP-CoNLL 2007",
        ),
        Score(
            "ami",
            lambda seen: ami(seen.target.features, seen.target.logits),
            True,
            "Vinh et al., JMLR 2010",
        ),
        Score("bnm", lambda seen: bnm(seen.target.logits), True, "Cui et al., CVPR 2020"),
        Score(
            "information_maximisation",
            lambda seen: information_maximisation(seen.target.logits),
            True,
            "Shi and Sha, ICML 2012",
        ),
        Score("entropy", lambda seen: entropy(seen.target.logits), False, "Morerio et al., ICLR 2018"),
        Score("corr_c", lambda seen: corr_c(seen.target.logits), True, "Tu et al., openreview 1maXoEyeqx, 2023"),
        Score("snd", lambda seen: snd(seen.target.logits), True, "Saito et al., ICCV 2021"),
        Score("rank_me", lambda seen: rank_me(seen.target.features), True, "Garrido et al., ICML 2023"),
        Score(
            "importance_weighted_risk",
            _weighted(importance_weighted_risk),
            False,
            "Sugiyama et al., JMLR 2007",
        ),
        Score("dev", _weighted(dev), False, "You et al., ICML 2019"),
        Score("devn", _weighted(devn), False, "Musgrave et al., arXiv 2208.07360, 2022"),
    )
}
