"""The class frequencies of the target, estimated from predictions: black box shift estimation."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import lsq_linear

UNEXPLAINED = 0.5  # share of target rows, predicted as no source row is, above which there are no weights


def class_weights(labels: Any, predicted: Any, target_predicted: Any, classes: int) -> np.ndarray | None:
    """How many times more frequent each class is in the target than in the source.

    With the confusion matrix ``C[i, j] = p(predicted i, class j)`` of held-out source rows and the share ``mu[i]`` of
    target rows that are predicted i, the weights solve ``C w = mu``; here in least squares over ``w >= 0``, scaled to
    ``sum of w_j p(class j) = 1``.  Right where the classes look the same in both domains (the features of an aligned
    model, say) and only their frequencies differ; where a model errs on the target in other ways than on the source,
    those errors come out as a shift.

    Args:
        labels: class numbers of held-out source rows ``(n,)``.
        predicted: the model's predictions of them ``(n,)``.
        target_predicted: its predictions of target rows ``(m,)``.
        classes: their number.

    Returns:
        Weights ``(classes,)``, 0 or greater; of a class that the source rows lack, 1.  None where more than half of the
        target rows are predicted as classes that no source row is: no weights explain them, and the few other rows
        would decide.

    Reference:
        Lipton, Wang, Smola: Detecting and correcting for label shift with black box predictors. ICML 2018.
    """
    labels = np.asarray(labels)
    confusion = np.zeros((classes, classes))
    np.add.at(confusion, (np.asarray(predicted), labels), 1 / len(labels))
    priors = confusion.sum(axis=0)
    seen = priors > 0
    mean = shares(target_predicted, classes)
    if mean[confusion.sum(axis=1) == 0].sum() > UNEXPLAINED:
        return None
    weights = np.ones(classes)
    with np.errstate(invalid="ignore"):  # it meets 0 * inf on its way where a class is never predicted
        weights[seen] = lsq_linear(confusion[:, seen], mean, bounds=(0, np.inf)).x
    # Never 0: the rows that the source explains have a weight above it.
    weights[seen] /= float(weights[seen] @ priors[seen])
    return weights


def chance_divergence(at_source: Any, source_rows: int, target_rows: int) -> float:
    """The prior divergence that samples of this size have by chance, where the domains have the same priors.

    The share of a class differs between two samples by a normal error of variance ``p (1 - p) (1/n + 1/m)``; returned
    is the mean of half the sum of their absolute values plus 2.33 of its standard deviations, about the 99th
    percentile, for a model that is nearly always right.

    Args:
        at_source: priors ``(classes,)``.
        source_rows: n.
        target_rows: m.
    """
    priors = np.asarray(at_source)
    variances = np.maximum(priors * (1 - priors), 0) * (1 / source_rows + 1 / target_rows)
    mean = 0.5 * np.sqrt(2 / np.pi * variances).sum()
    return float(mean + 2.33 * 0.5 * np.sqrt((1 - 2 / np.pi) * variances.sum()))


def shares(classes_of_rows: Any, classes: int) -> np.ndarray:
    """The share of rows of each class, ``(classes,)``."""
    return np.bincount(np.asarray(classes_of_rows), minlength=classes) / len(classes_of_rows)


def divergence(first: Any, second: Any) -> float:
    """The total variation of two class distributions: the share of rows that would have to change class, 0 to 1."""
    return float(np.abs(np.asarray(first) - np.asarray(second)).sum() / 2)
