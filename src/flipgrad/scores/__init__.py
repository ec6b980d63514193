"""Scores of how good a model may be on the target, from arrays, without target labels.

Each is a plain function of features, logits and, of the source, labels; ``SCORES`` has those that need one
observation of one model.  ``ensv`` compares a pool of models, ``reverse_validation`` trains again.
"""

from flipgrad.scores.accuracy import source_accuracy
from flipgrad.scores.clustering import ami, v_measure
from flipgrad.scores.ensemble import ensv
from flipgrad.scores.geometry import rank_me, snd
from flipgrad.scores.importance import dev, devn, importance_weighted_risk, importance_weights
from flipgrad.scores.predictions import bnm, corr_c, entropy, information_maximisation
from flipgrad.scores.registry import DEFAULT, SCORES, Score, get
from flipgrad.scores.reverse import reverse_validation

__all__ = [
    "DEFAULT",
    "SCORES",
    "Score",
    "ami",
    "bnm",
    "corr_c",
    "dev",
    "devn",
    "ensv",
    "entropy",
    "get",
    "importance_weighted_risk",
    "importance_weights",
    "information_maximisation",
    "rank_me",
    "reverse_validation",
    "snd",
    "source_accuracy",
    "v_measure",
]
