"""How predictions compare with labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn import metrics


@dataclass(frozen=True)
class Evaluation:
    """The comparison, class by class.

    Attributes:
        rows: how many were compared.
        accuracy: share of right predictions.
        balanced_accuracy: mean recall over the classes that occur.
        classes: for each class: precision, recall, f1, rows.
        confusion: counts ``(true classes, predicted classes)``.
    """

    rows: int
    accuracy: float
    balanced_accuracy: float
    classes: dict[str, dict[str, float]]
    confusion: np.ndarray


def evaluate_predictions(labels: np.ndarray, predicted: np.ndarray, names: list[str]) -> Evaluation:
    """Compares class numbers ``(rows,)`` with each other.

    Args:
        labels: the true ones; read for reporting only.
        predicted: the model's.
        names: of the classes, by number.
    """
    numbers = np.arange(len(names))
    precision, recall, f1, rows = metrics.precision_recall_fscore_support(
        labels, predicted, labels=numbers, zero_division=0
    )
    return Evaluation(
        rows=len(labels),
        accuracy=float(metrics.accuracy_score(labels, predicted)),
        balanced_accuracy=float(recall[rows > 0].mean()),
        classes={
            name: {"precision": float(p), "recall": float(r), "f1": float(f), "rows": int(n)}
            for name, p, r, f, n in zip(names, precision, recall, f1, rows, strict=True)
        },
        confusion=metrics.confusion_matrix(labels, predicted, labels=numbers),
    )
