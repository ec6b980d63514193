"""The shape of the cloud that the target's predictions or features form."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import linalg, special
from sklearn.preprocessing import normalize

from flipgrad.errors import InputError
from flipgrad.scores._checks import logits_of, rows_of

_ROWS = 1000  # of the similarity matrix at once


def snd(logits: Any, temperature: float = 0.05) -> float:
    """Soft neighbourhood density; higher is better.

    With the normalised softmax outputs ``q_i = p_i / ||p_i||``, the similarity ``q_i . q_j`` of a row to every other
    becomes a distribution ``softmax over j != i of (q_i . q_j / temperature)``; the score is its mean entropy.  Many
    equally near neighbours make it high, so a model that puts all rows into one class has the best: use it with a guard
    on the source accuracy only.

    Args:
        logits: of target rows, ``(rows, classes)``.
        temperature: greater than 0.

    Returns:
        0 to ln(rows - 1), nats; compare only scores of equally many rows.

    Raises:
        InputError: no rows, NaN, fewer rows than classes, one class predicted for all, a temperature of 0 or less.

    Reference:
        Saito, Kim, Teterwak, Sclaroff, Darrell, Saenko: Tune it the right way: unsupervised validation of domain
        adaptation via soft neighborhood density. ICCV 2021.
    """
    if not temperature > 0:
        raise InputError(f"Argument `temperature`: expected a number greater than 0, received {temperature!r}.")
    points = normalize(special.softmax(logits_of(logits), axis=1))
    densities = []
    for begin in range(0, len(points), _ROWS):
        similar = points[begin : begin + _ROWS] @ points.T / temperature
        rows = np.arange(len(similar))
        others = np.ones_like(similar, dtype=bool)
        others[rows, begin + rows] = False
        logs = special.log_softmax(similar[others].reshape(len(similar), -1), axis=1)
        densities.append(-(np.exp(logs) * logs).sum(axis=1))
    return float(np.concatenate(densities).mean())


def rank_me(features: Any) -> float:
    """The effective rank of the features; higher is better.

    ``exp(-sum of p_k log p_k)``, where p_k are the singular values of the features divided by their sum.  A low one
    tells of collapsed features; a high one does not tell of separable classes.

    Args:
        features: of target rows, ``(rows, n)``, as they are (not centred).

    Returns:
        1 to min(rows, n).

    Raises:
        InputError: no rows, NaN, features that are all 0.

    Reference:
        Garrido, Balestriero, Najman, LeCun: RankMe: assessing the downstream performance of pretrained self-supervised
        representations by their rank. ICML 2023 (without its small constant: 0 log 0 is 0 here).
    """
    values = linalg.svdvals(rows_of(features, "features"))
    if not values.sum() > 0:
        raise InputError("Argument `features`: expected features that are not all 0: they have collapsed.")
    return float(np.exp(special.entr(values / values.sum()).sum()))
