"""The shape of the features: whether they still say anything, and how far the classes of the two domains lie apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import linalg, special

from flipgrad.observation import evenly

if TYPE_CHECKING:
    from flipgrad.observation import Observation

_DEAD = 1e-6  # a unit whose standard deviation is a smaller share of the features' root mean square says nothing
ONE_CLASS = 0.99  # share of rows from which one class is all that is predicted
COMMON = 0.95  # share of the source's labels from which a class may well be all that is predicted
ALIKE = 1e-3  # spread below which all rows have the same features
_RANKED = 500  # rows from which the rank is computed, evenly spaced
_FEWEST = 5  # rows below which a class has no centre


def scale(features: Any) -> float:
    """The root mean square of all features ``(rows, n)``."""
    return float(np.sqrt(np.square(features, dtype="float64").mean()))


def spread(features: Any) -> float:
    """How much rows differ: the root mean variance of a unit as a share of ``scale``; 0 where all rows are the same."""
    size = scale(features)
    return float(np.sqrt(np.var(features, axis=0, dtype="float64").mean()) / size) if size > 0 else 0.0


def dead_units(features: Any) -> float:
    """The share of units that are the same for every row, 0 to 1."""
    return float((np.std(features, axis=0, dtype="float64") <= _DEAD * scale(features)).mean())


def effective_rank(features: Any) -> float:
    """``exp`` of the entropy of the singular values of the centred features, each divided by their sum; of 500 rows.

    Returns:
        1 to min(rows, n); 0 where all rows are the same.

    Reference:
        Roy, Vetterli: The effective rank: a measure of effective dimensionality. EUSIPCO 2007.
    """
    features = np.asarray(features, dtype="float64")
    features = features[evenly(len(features), _RANKED)]  # the work grows with the third power of the rows
    centred = features - features.mean(axis=0)
    # Of more units than rows the Gram matrix has the same singular values, and is smaller.
    gram = centred @ centred.T if centred.shape[0] <= centred.shape[1] else centred.T @ centred
    values = np.sqrt(np.maximum(linalg.eigvalsh(gram), 0))
    total = values.sum()
    return float(np.exp(special.entr(values / total).sum())) if total > 0 else 0.0


def class_gap(source: Any, labels: Any, target: Any, predicted: Any) -> float | None:
    """How far each class of the target lies from that of the source, in units of the distance between classes.

    The mean over the classes of ``||centre of the source's class - centre of the target rows predicted as it||``,
    divided by the mean distance between the centres of two classes of the source.  0 where every class lies on its
    like; 1 where it lies as far from it as from another class.

    Args:
        source: features ``(n, d)``.
        labels: class numbers ``(n,)``.
        target: features ``(m, d)``.
        predicted: class numbers ``(m,)``.

    Returns:
        0 or greater; None where fewer than two classes have 5 rows in both domains.
    """
    source, target = (np.asarray(x, dtype="float64") for x in (source, target))
    labels, predicted = np.asarray(labels), np.asarray(predicted)
    common = [k for k in np.unique(labels) if min((labels == k).sum(), (predicted == k).sum()) >= _FEWEST]
    if len(common) < 2:
        return None
    centres = np.stack([source[labels == k].mean(axis=0) for k in common])
    others = np.stack([target[predicted == k].mean(axis=0) for k in common])
    between = np.linalg.norm(centres[:, None] - centres[None], axis=-1)
    apart = between[np.triu_indices(len(common), 1)].mean()
    return float(np.linalg.norm(centres - others, axis=1).mean() / apart) if apart > 0 else None


def has_collapsed(seen: Observation) -> bool:
    """Whether the features say nothing any more: one class for 99 % or more of all rows, or all rows alike.

    One class for nearly all is no collapse where nearly all source rows are of one class.  NaN counts as collapsed.
    """
    features = np.concatenate([seen.source.features, seen.target.features])
    if not np.isfinite(features).all():
        return True
    predicted = np.concatenate([view.logits.argmax(axis=1) for view in (seen.source, seen.target)])
    one_class = np.bincount(predicted).max() >= ONE_CLASS * len(predicted)
    common = np.bincount(seen.source_labels).max() >= COMMON * len(seen.source_labels)
    return bool(one_class and not common) or spread(features) < ALIKE
