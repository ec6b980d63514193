"""Classifiers that are trained afresh to tell the domains apart, and what they find on rows that they have not seen."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from flipgrad.health.measures import FEWEST

_FEWEST_OF_TREES = 40  # rows of a domain below which trees find nothing
_WIDEST = 50  # principal components of raw rows
_LARGEST = 1e15  # of a raw number: its square and their sums are finite
_STEPS, _BATCH = 300, 64  # of the training of a fresh discriminator (Adam)


def linear_probe(source: Any, target: Any, random_state: int = 0) -> float | None:
    """How well a logistic regression tells the domains apart.

    It learns from a half of the rows of each domain, standardised, and is asked about the other half.  In wide
    features it nearly always finds something, after an adaptation that works too: compare it with that of another
    model, never with chance alone.

    Args:
        source: ``(rows, ...)``.
        target: ``(rows, ...)``.
        random_state: of the halves.

    Returns:
        Balanced accuracy, 0 to 1, about 0.5 where there is nothing to find; None below 8 rows of a domain.

    Reference:
        Ben-David et al.: Analysis of representations for domain adaptation. NIPS 2006.
    """
    return _probe(LogisticRegression(max_iter=200), source, target, random_state)


def fresh_discriminator(
    source: Any, target: Any, hidden: Sequence[int] = (100,), random_state: int = 0
) -> float | None:
    """How well a new discriminator of the same shape tells the domains apart once the features stand still.

    The one in training chases features that flee from it; this one has them to itself, for 300 steps of 64 rows.

    Args:
        source: features ``(rows, ...)``.
        target: features ``(rows, ...)``.
        hidden: units of its hidden layers (ReLU); none makes it ``linear_probe``.
        random_state: of weights, halves and batches.

    Returns:
        As ``linear_probe``.
    """
    if not len(hidden):
        return linear_probe(source, target, random_state)
    learnt = 2 * (min(len(source), len(target)) // 2)
    epochs = max(1, _STEPS * _BATCH // max(learnt, 1))
    network = MLPClassifier(
        tuple(hidden), batch_size=min(_BATCH, max(learnt, 1)), max_iter=epochs, random_state=random_state
    )
    return _probe(network, source, target, random_state)


def input_probe(source: Any, target: Any, random_state: int = 0) -> float | None:
    """How well boosted trees tell raw rows of the domains apart: whether there is anything to adapt.

    Args:
        source: raw rows ``(rows, ...)``; NaN is a missing value.
        target: likewise.  Rows of more than 50 numbers are reduced to as many principal components.
        random_state: of the halves.

    Returns:
        As ``linear_probe``, but None below 40 rows of a domain.
    """
    if min(len(source), len(target)) < _FEWEST_OF_TREES:
        return None
    x = np.concatenate([_flat(source), _flat(target)])
    if x.shape[1] > _WIDEST and len(x) > _WIDEST:
        x = PCA(_WIDEST, random_state=random_state).fit_transform(np.nan_to_num(x))
    leaf = min(20, min(len(source), len(target)) // 8)  # 20 of 40 rows leave nothing to split
    trees = HistGradientBoostingClassifier(
        max_iter=50, min_samples_leaf=leaf, early_stopping=False, random_state=random_state
    )
    return _probe(trees, x[: len(source)], x[len(source) :], random_state, scale=False)


def channel_probe(source: Any, target: Any, random_state: int = 0) -> float | None:
    """How well the mean of each channel of a raw row alone tells the domains apart: the most trivial of cues.

    Args:
        source: raw rows ``(rows, ..., channels)``; of vectors each column is a channel, of numbers ``(rows,)`` the one.
        target: likewise.
        random_state: of the halves.

    Returns:
        As ``linear_probe``.
    """
    rows = [_flat(x).reshape(np.shape(x)) for x in (source, target)]
    means = [x.reshape(len(x), -1, x.shape[-1] if x.ndim > 1 else 1).mean(axis=1) for x in rows]
    source, target = map(np.nan_to_num, means)
    return linear_probe(source, target, random_state)


def proxy_a_distance(accuracy: float) -> float:
    """The proxy A-distance ``2 (1 - 2 err)`` of a probe of this balanced accuracy: 0 (no better than chance) to 2.

    Reference:
        Ben-David et al.: Analysis of representations for domain adaptation. NIPS 2006; Ganin et al., JMLR 2016,
        section 5.2.2.
    """
    return max(0.0, 2 * (1 - 2 * (1 - accuracy)))


def _probe(classifier: Any, source: Any, target: Any, random_state: int, *, scale: bool = True) -> float | None:
    """Balanced accuracy on a random half of each domain, learnt from the other; as many rows of one as of the other."""
    count = min(len(source), len(target))
    if count < FEWEST:
        return None
    random = np.random.default_rng(random_state)
    parts = [_flat(x)[random.permutation(len(x))[:count]] for x in (source, target)]
    half = count // 2
    learnt, held = (np.concatenate([x[place] for x in parts]) for place in (slice(half), slice(half, None)))
    if not scale:  # for trees, which fail on a column without two different values
        told = _differ(learnt)
        if not told.any():
            return None
        learnt, held = learnt[:, told], held[:, told]
    else:
        classifier = make_pipeline(StandardScaler(), classifier)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # it need not end, it need only find something
        classifier.fit(learnt, np.repeat([0, 1], half))
    return float(balanced_accuracy_score(np.repeat([0, 1], count - half), classifier.predict(held)))


def _differ(x: np.ndarray) -> Any:
    """Which columns have two different finite values: others tell nothing, and trees fail on them."""
    known = np.isfinite(x)
    return np.where(known, x, np.inf).min(axis=0) < np.where(known, x, -np.inf).max(axis=0)


def _flat(x: Any) -> Any:
    """Rows of float32 ``(rows, n)``, no number of them too large to be squared; NaN stays."""
    return np.clip(np.asarray(x, dtype="float32").reshape(len(x), -1), -_LARGEST, _LARGEST)
