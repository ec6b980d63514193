"""How well a model still does on the labelled domain."""

from __future__ import annotations

from typing import Any

from flipgrad.scores._checks import labels_of, logits_of


def source_accuracy(logits: Any, labels: Any) -> float:
    """The share of source rows classified rightly; higher is better.

    ``1/n * sum of [argmax logits_i = y_i]``.  It says nothing about the target by itself: source-only training has
    the best.  A fall tells that adapting has spoilt the classifier, which is how the other scores are guarded.

    Args:
        logits: of source rows, ``(rows, classes)``.
        labels: class numbers ``(rows,)``.

    Returns:
        0 to 1.

    Raises:
        InputError: no rows, NaN, labels that do not fit.

    Reference:
        Musgrave, Belongie, Lim: Three new validators and a large-scale benchmark ranking for unsupervised domain
        adaptation. arXiv 2208.07360, 2022 (where it is a strong baseline).
    """
    checked = logits_of(logits, several=False)
    return float((checked.argmax(axis=1) == labels_of(labels, checked)).mean())
