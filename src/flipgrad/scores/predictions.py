"""How sure and how varied the predictions on the target are.

None of these looks at the features, and a model that is sure and wrong has the same scores as one that is right.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import linalg, special

from flipgrad.scores._checks import logits_of


def entropy(logits: Any) -> float:
    """The mean entropy of the predictions; lower is better.

    ``H = -1/n * sum over rows and classes of p log p``, p the softmax of the logits.  A model that puts all rows into
    one class, or that has been driven to be sure, has a good one.

    Args:
        logits: of target rows, ``(rows, classes)``.

    Returns:
        0 to ln(classes), nats.

    Raises:
        InputError: no rows, NaN, fewer rows than classes, one class predicted for all.

    Reference:
        Morerio, Cavazza, Murino: Minimal-entropy correlation alignment for unsupervised deep domain adaptation. ICLR
        2018.
    """
    return _mean_entropy(logits_of(logits))


def information_maximisation(logits: Any) -> float:
    """The mutual information between rows and predictions; higher is better.

    ``H(mean of p) - mean of H(p)``: sure predictions of all classes alike.  Misleads where the target's classes are not
    of equal size.

    Args:
        logits: of target rows, ``(rows, classes)``.

    Returns:
        0 to ln(classes), nats.

    Raises:
        InputError: as ``entropy``.

    Reference:
        Shi, Sha: Information-theoretical learning of discriminative clusters for unsupervised domain adaptation. ICML
        2012; Krause, Perona, Gomes: Discriminative clustering by regularized information maximization. NIPS
        2010.
    """
    checked = logits_of(logits)
    marginal = special.softmax(checked, axis=1).mean(axis=0)
    # Never below 0 but for rounding.
    return max(0.0, float(special.entr(marginal).sum()) - _mean_entropy(checked))


def bnm(logits: Any) -> float:
    """The nuclear norm of the prediction matrix, as a share of the largest possible; higher is better.

    ``||P||_* / sqrt(rows * min(rows, classes))``, the sum of the singular values of the softmax outputs
    ``P (rows, classes)``; 1 where every row is sure and the classes are of equal size.

    Args:
        logits: of target rows, all of them one batch, ``(rows, classes)``.

    Returns:
        1 / classes to 1.

    Raises:
        InputError: as ``entropy``.

    Reference:
        Cui, Wang, Zhuo, Li, Huang, Tian: Towards discriminability and diversity: batch nuclear-norm maximization under
        label insufficient situations. CVPR 2020; as a validator: Musgrave, Belongie, Lim, arXiv
        2208.07360, 2022.
    """
    predictions = special.softmax(logits_of(logits), axis=1)
    return float(linalg.svdvals(predictions).sum() / np.sqrt(len(predictions) * min(predictions.shape)))


def corr_c(logits: Any) -> float:
    """The cosine between the class correlation matrix and the identity; higher is better.

    ``C = P^T P / rows``, ``trace(C) / (||C||_F sqrt(classes))``: 1 where every row is sure and the classes are of equal
    size.  As in the reference; others have chosen models by the smallest value instead (code of EnsV, 2024).

    Args:
        logits: of target rows, ``(rows, classes)``.

    Returns:
        1 / sqrt(classes) to 1.

    Raises:
        InputError: as ``entropy``.

    Reference:
        Tu, Deng, Gedeon, Zheng: Assessing model out-of-distribution generalization with softmax prediction probability
        baselines and a correlation method (SoftmaxCorr). 2023, openreview 1maXoEyeqx.
    """
    predictions = special.softmax(logits_of(logits), axis=1)
    correlation = predictions.T @ predictions
    return float(np.trace(correlation) / (np.linalg.norm(correlation) * np.sqrt(len(correlation))))


def _mean_entropy(logits: np.ndarray) -> float:
    logs = special.log_softmax(logits, axis=1)
    return float(-(np.exp(logs) * logs).sum(axis=1).mean())
