"""Reverse validation: train back, from the target to the source, and look at the source's labels.  It trains twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from flipgrad.errors import InputError

Predict = Callable[[Any], Any]
Train = Callable[[tuple[Any, Any], Any], Predict]


def reverse_validation(train: Train, source: tuple[Any, Any], target: Any, held_out: tuple[Any, Any]) -> float:
    """The reverse validation risk of a setting; lower is better.

    A classifier eta is trained from the labelled source to the target and labels the target.  With the same setting a
    reverse classifier is trained from the target, so labelled, to the source without its labels.  Its error on
    held-out source rows is the risk: ``1/n * sum of [eta_r(x_i) != y_i]``.  A setting that loses the classes on the way
    to the target cannot find them on the way back; one that swaps classes can.  Use it to compare settings, not epochs.

    Args:
        train: called as ``train((x, y), x_other)`` with a labelled and an unlabelled domain, returns a function of
            rows that gives class numbers.  It is called twice and ought to start from the same seed.
        source: ``(x, y)``, to train on.
        target: rows without labels, to train on.
        held_out: ``(x, y)`` of the source, not in ``source``.

    Returns:
        0 to 1.

    Raises:
        InputError: no held-out rows, predictions of another length, one class predicted for the whole target.

    Reference:
        Zhong, Fan, Yang, Verscheure, Ren: Cross validation framework to choose amongst models and datasets for transfer
        learning. ECML PKDD 2010; Ganin et al.: Domain-adversarial training of neural networks. JMLR 17, 2016.
    """
    x, y = held_out
    if not len(x) or len(x) != len(y):
        raise InputError(
            f"Argument `held_out`: expected rows of the source and as many labels, received {len(x)} and {len(y)}; "
            "hold out some."
        )
    pseudo = _classes(train(source, target)(target), target, "target")
    if len(np.unique(pseudo)) == 1:
        raise InputError(
            f"Argument `train`: the first training predicts class {pseudo[0]:g} for the whole target, from which "
            "nothing can be trained back; this setting has no score."
        )
    reverse = train((target, pseudo), source[0])
    return float((_classes(reverse(x), x, "source") != np.asarray(y)).mean())


def _classes(predicted: Any, x: Any, domain: str) -> np.ndarray:
    classes = np.asarray(predicted)
    if classes.shape != (len(x),):
        raise InputError(
            f"Argument `train`: expected a function that gives one class number a row, received {classes.shape} for "
            f"{len(x)} {domain} rows; of logits return logits.argmax(-1)."
        )
    return classes
