"""How well each model of a pool agrees with all of them together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import special

from flipgrad.errors import InputError
from flipgrad.scores._checks import logits_of


def ensv(pool: Mapping[str, Any]) -> dict[str, float]:
    """EnsV: the share of target rows on which a model predicts what the mean of the pool does; higher is better.

    ``argmax_k of the mean over models of softmax(logits_m)`` is the pool's prediction.  It follows the majority: a pool
    of mostly bad models, or of many alike, misleads it.

    Args:
        pool: name -> logits of the same target rows, ``(rows, classes)``.

    Returns:
        Name -> 0 to 1.

    Raises:
        InputError: an empty pool, no rows, NaN, shapes that differ.

    Reference:
        Hu, Luo, Liang, Foo: Towards reliable model selection for unsupervised domain adaptation: an empirical study and
        a certified baseline. NeurIPS 2024 (datasets and benchmarks).
    """
    checked = {name: logits_of(logits, f"pool[{name!r}]", several=False) for name, logits in pool.items()}
    shapes = {logits.shape for logits in checked.values()}
    if len(shapes) != 1:
        raise InputError(
            f"Argument `pool`: expected logits of the same rows and classes from one model or more, received the "
            f"shapes {sorted(shapes)}; give all of them the same rows."
        )
    together = np.mean([special.softmax(logits, axis=1) for logits in checked.values()], axis=0).argmax(axis=1)
    return {name: float((logits.argmax(axis=1) == together).mean()) for name, logits in checked.items()}
