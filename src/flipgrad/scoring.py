"""Features, predictions and scores of a trained model on rows of both domains."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from flipgrad.health.features import ONE_CLASS
from flipgrad.models import DomainAdaptationModel

SCORES = ("source_accuracy", "target_accuracy", "target_recall", "domain_accuracy", "collapsed")  # of ``evaluate``


def outputs(
    function: Callable[[Any], Any], x: Any, rows: int = 500, progress: Callable[[int], None] | None = None
) -> np.ndarray:
    """What a model, or any function of a batch, gives for ``x``: float32 ``(rows, n)``.

    Called batch by batch: ``predict`` would compile each model anew for one pass over a small test set.  After each
    batch ``progress`` is called with the number of rows done.
    """
    parts = []
    for i in range(0, len(x), rows):
        parts.append(keras.ops.convert_to_numpy(keras.ops.cast(function(x[i : i + rows]), "float32")))
        if progress is not None:
            progress(min(i + rows, len(x)))
    return np.concatenate(parts).reshape(len(x), -1)


def held_out_domain_accuracy(model: DomainAdaptationModel, source: Any, target: Any) -> float | None:
    """Balanced accuracy of the model's own discriminator on held-out rows; None without one."""
    if not model.objectives:
        return None
    discriminator = model.objectives[0].discriminator
    shares = []
    for domain, x, is_right in (("source", source, np.less), ("target", target, np.greater_equal)):
        logits = outputs(lambda batch, domain=domain: discriminator(model.encode(batch, domain)), x)  # type: ignore[misc]
        advantage = logits[:, -1] - (logits[:, 0] if logits.shape[-1] == 2 else 0)
        shares.append(is_right(advantage, 0).mean())
    return float(np.mean(shares))


def features_of(model: DomainAdaptationModel, x: Any, domain: str) -> np.ndarray:
    """The encoder's features of rows of one domain, by that domain's statistics: float32 ``(rows, n)``."""
    return outputs(lambda batch: model.encode(batch, domain), x)


def evaluate(model: DomainAdaptationModel, source: tuple[Any, Any], target: tuple[Any, Any]) -> dict[str, Any]:
    """Scores on test rows of both domains, ``(x, y)`` each, for reporting only; the target's labels may be None.

    ``target_recall`` is the accuracy on the target of each class by its number, None for a class without rows.
    ``collapsed`` is true where one class is predicted for 99 % or more of the rows of both domains together.
    """
    predicted = [
        outputs(lambda batch, domain=domain: model.classifier(model.encode(batch, domain)), x).argmax(-1)  # type: ignore[misc]
        for domain, (x, _) in (("source", source), ("target", target))
    ]
    counts = np.bincount(np.concatenate(predicted))
    return {
        "source_accuracy": float((predicted[0] == source[1]).mean()),
        "target_accuracy": None if target[1] is None else float((predicted[1] == target[1]).mean()),
        "target_recall": None if target[1] is None else _recall(predicted[1], target[1], model.classes),
        "domain_accuracy": held_out_domain_accuracy(model, source[0], target[0]),
        "collapsed": bool(counts.max() >= ONE_CLASS * counts.sum()),
    }


def _recall(predicted: np.ndarray, labels: Any, classes: int) -> list[float | None]:
    """The share of right predictions among the rows of each class; None where it has none."""
    right = predicted == np.asarray(labels)
    own = [np.asarray(labels) == number for number in range(classes)]
    return [float(right[rows].mean()) if rows.any() else None for rows in own]
