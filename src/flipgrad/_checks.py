"""Checks of models and losses at construction, before anything is trained."""

from __future__ import annotations

import inspect
from typing import Any

import keras
import numpy as np


def refuse_probabilities(model: Any, feature_shape: Any, role: str) -> None:
    """Raises if ``model`` ends in softmax or sigmoid; ``role`` names it in the message.

    Decided on numbers, not on names, so that a wrapped or hand-written softmax is found too: features
    of very different sizes are sent through, and only probabilities stay within [0, 1] for all of them.
    A constant output passes unless it sums to one: it may be a linear layer with zero weights.

    Raises:
        ValueError: the outputs are probabilities.
    """
    # Every unknown length becomes 8: long enough for small convolutions.
    shape = [8 if size is None else int(size) for size in feature_shape[1:]]
    random = np.random.default_rng(0)
    rows = random.standard_normal((32, *shape)).astype("float32")
    scales = np.repeat([1.0, 1e3], 16).astype("float32").reshape(-1, *[1] * len(shape))
    outputs = keras.ops.convert_to_numpy(model(rows * scales, training=False)).astype("float32")
    if not np.isfinite(outputs).all() or outputs.min() < 0 or outputs.max() > 1:
        return
    sums_to_one = np.allclose(outputs.sum(-1), 1, atol=1e-2)
    if not sums_to_one and (outputs == outputs[0]).all():
        return
    ending = "softmax" if sums_to_one else "sigmoid"
    over = " over one unit, which is constant 1 and has no gradient" if _is_one(outputs) else ""
    raise ValueError(
        f"Argument `{role}`: expected logits (any real number), received a model that ends in {ending}{over}; "
        "its outputs are probabilities, whose cross-entropy is computed twice over. Remove the last activation."
    )


def _is_one(outputs: np.ndarray) -> bool:
    return outputs.shape[-1] == 1 and bool(np.all(outputs == 1))


def refuse_probability_loss(loss: Any) -> None:
    """Raises if ``loss`` is a cross-entropy that expects probabilities (``from_logits=False``).

    Raises:
        ValueError: with the remedy.
    """
    described = isinstance(loss, str) or (isinstance(loss, dict) and "class_name" in loss)
    resolved = keras.losses.get(loss) if described else loss
    if hasattr(resolved, "get_config"):
        from_logits = resolved.get_config().get("from_logits", True)
    elif callable(resolved):
        parameter = inspect.signature(resolved).parameters.get("from_logits")
        from_logits = parameter is None or bool(parameter.default)
    else:
        return
    if not from_logits:
        raise ValueError(
            f"Argument `loss`: the classifier gives logits, but {loss!r} expects probabilities "
            "(from_logits=False); pass for example keras.losses.SparseCategoricalCrossentropy(from_logits=True), "
            "or leave `loss` out."
        )
