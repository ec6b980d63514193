"""Whether the classes that are predicted are the clusters that the features form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_mutual_info_score, v_measure_score

from flipgrad.errors import InputError
from flipgrad.scores._checks import logits_of, rows_of, same_rows


def v_measure(features: Any, logits: Any, random_state: int = 0) -> float:
    """The V-measure between predicted classes and k-means clusters of the target; higher is better.

    With the predicted class Y and the cluster K of each row, as many clusters as classes::

        homogeneity h = 1 - H(Y|K) / H(Y)    completeness c = 1 - H(K|Y) / H(K)    V = 2 h c / (h + c)

    Not corrected for chance: with few rows and many classes it is above 0 for random predictions, see ``ami``.

    Args:
        features: of target rows, ``(rows, n)``.
        logits: of the same rows, ``(rows, classes)``.
        random_state: of k-means (ten starts); equal states give equal clusters but for rounding.

    Returns:
        0 to 1.

    Raises:
        InputError: no rows, NaN, fewer rows than classes, one class predicted for all, constant features.

    Reference:
        Rosenberg, Hirschberg: V-measure. EMNLP-CoNLL 2007; to choose models: Ericsson, Li, Hospedales:
        Better practices for domain adaptation. AutoML 2023.
    """
    return _agreement(v_measure_score, features, logits, random_state)


def ami(features: Any, logits: Any, random_state: int = 0) -> float:
    """The adjusted mutual information between predicted classes and k-means clusters; higher is better.

    ``(I(Y;K) - E) / ((H(Y) + H(K)) / 2 - E)``, where E is the mutual information that chance gives: 0 for random
    predictions, whatever the number of classes.

    Args:
        features: of target rows, ``(rows, n)``.
        logits: of the same rows, ``(rows, classes)``.
        random_state: of k-means (ten starts).

    Returns:
        At most 1; about 0, or a little below, by chance.

    Raises:
        InputError: as ``v_measure``.

    Reference:
        Vinh, Epps, Bailey: Information theoretic measures for clusterings comparison. JMLR 11, 2010; to choose
        models: "ClassAMI" in Musgrave, Belongie, Lim, arXiv 2208.07360, 2022.
    """
    return _agreement(adjusted_mutual_info_score, features, logits, random_state)


def _agreement(measure: Callable[..., float], features: Any, logits: Any, random_state: int) -> float:
    checked, points = logits_of(logits), rows_of(features, "features")
    same_rows(points, checked, "`features` and `logits`")
    if len(np.unique(points, axis=0)) < checked.shape[1]:
        raise InputError(
            f"Argument `features`: expected as many different rows as classes ({checked.shape[1]}) or more, received "
            "fewer: the features have collapsed; take another epoch or another model."
        )
    clusters = KMeans(checked.shape[1], n_init=10, random_state=random_state).fit_predict(points)
    return float(measure(checked.argmax(axis=1), clusters))
