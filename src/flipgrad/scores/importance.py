"""The error on the target, estimated from labelled source rows that count the more the more they resemble the target.

Right where the classes are the same function of the features in both domains and the source covers the target; blind
where it does not: rows of a kind that the source lacks count for nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import special
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from flipgrad.errors import InputError
from flipgrad.scores._checks import labels_of, logits_of, rows_of, same_rows


def importance_weights(source: Any, target: Any, random_state: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """How much more likely the features of source rows are in the target than in the source.

    A logistic regression d learns to tell the domains apart on a half of the rows of each (standardised features).
    For the other half of the source: ``w(f) = n_source / n_target * d(target | f) / d(source | f)``.

    Args:
        source: features of source rows, ``(rows, n)``, at least 4.
        target: features of target rows, ``(rows, n)``, at least 2.
        random_state: of the halves.

    Returns:
        The numbers of the source rows that were held out, ``(held,)``, ascending; and their weights, float64
        ``(held,)``, 0 or greater, about 1 on average.

    Raises:
        InputError: too few rows, NaN, features of different widths.

    Reference:
        You, Wang, Long, Jordan: Towards accurate model selection in deep unsupervised domain adaptation. ICML 2019;
        Bickel, Brückner, Scheffer: Discriminative learning for differing training and test distributions. ICML 2007.
    """
    source, target = rows_of(source, "source"), rows_of(target, "target")
    if source.shape[1] != target.shape[1] or len(source) < 4 or len(target) < 2:
        raise InputError(
            f"Arguments `source` and `target`: expected features of one width, of 4 source and 2 target rows or more, "
            f"received {source.shape} and {target.shape}; hold out more rows."
        )
    random = np.random.default_rng(random_state)
    order = random.permutation(len(source))
    learnt, held = source[order[: len(source) // 2]], np.sort(order[len(source) // 2 :])
    seen = target[random.permutation(len(target))[: len(target) // 2]]
    domains = np.repeat([0, 1], [len(learnt), len(seen)])
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    classifier.fit(np.concatenate([learnt, seen]), domains)
    # d / (1 - d) is exp of the logit; beyond e^50 any number does.
    odds = np.exp(np.minimum(classifier.decision_function(source[held]), 50.0))
    return held, odds * len(learnt) / len(seen)


def importance_weighted_risk(source: Any, logits: Any, labels: Any, target: Any, random_state: int = 0) -> float:
    """Importance-weighted validation risk (IWCV); lower is better.

    ``1/n * sum of w_i l_i`` over held-out source rows, l the cross-entropy of their labels, w from
    ``importance_weights``.  A few large weights can make up all of it.

    Args:
        source: features of source rows, ``(rows, n)``.
        logits: of the same rows, ``(rows, classes)``.
        labels: their class numbers ``(rows,)``.
        target: features of target rows, ``(rows, n)``.
        random_state: of the halves.

    Returns:
        0 or greater, nats.

    Raises:
        InputError: as ``importance_weights``; labels that do not fit.

    Reference:
        Sugiyama, Krauledat, Müller: Covariate shift adaptation by importance weighted cross validation. JMLR 8, 2007.
    """
    weights, losses = _weights_and_losses(source, logits, labels, target, random_state)
    return float((weights * losses).mean())


def dev(source: Any, logits: Any, labels: Any, target: Any, random_state: int = 0) -> float:
    """Deep embedded validation: the weighted risk with a control variate; lower is better.

    ``mean(w l) + eta * (mean(w) - 1)`` with ``eta = -cov(w l, w) / var(w)``: the weights ought to be 1 on average,
    and what they miss of it tells how far the risk is off.

    Args, errors: as ``importance_weighted_risk``.

    Returns:
        Nats; below 0 at times.

    Reference:
        You, Wang, Long, Jordan: Towards accurate model selection in deep unsupervised domain adaptation. ICML 2019.
    """
    weights, losses = _weights_and_losses(source, logits, labels, target, random_state)
    return _controlled(weights, losses)


def devn(source: Any, logits: Any, labels: Any, target: Any, random_state: int = 0) -> float:
    """``dev`` with the weights divided by the largest; lower is better.

    No row can then count for more than 1.  A value of its own, not a risk in nats: only its order means something.

    Args, errors: as ``importance_weighted_risk``.

    Returns:
        Any number.

    Reference:
        Musgrave, Belongie, Lim: Three new validators and a large-scale benchmark ranking for unsupervised domain
        adaptation. arXiv 2208.07360, 2022.
    """
    weights, losses = _weights_and_losses(source, logits, labels, target, random_state)
    return _controlled(weights / weights.max(), losses)


def _weights_and_losses(
    source: Any, logits: Any, labels: Any, target: Any, random_state: int
) -> tuple[np.ndarray, np.ndarray]:
    """The weight and the cross-entropy of each held-out source row."""
    checked, features = logits_of(logits, several=False), rows_of(source, "source")
    numbers = labels_of(labels, checked)
    same_rows(features, checked, "`source` and `logits`")
    held, weights = importance_weights(features, target, random_state)
    losses = -special.log_softmax(checked[held], axis=1)[np.arange(len(held)), numbers[held]]
    return weights, losses


def _controlled(weights: np.ndarray, losses: np.ndarray) -> float:
    weighted = weights * losses
    variance = weights.var(ddof=1)
    eta = -np.cov(weighted, weights)[0, 1] / variance if variance > 0 else 0.0
    return float(weighted.mean() + eta * (weights.mean() - 1))
