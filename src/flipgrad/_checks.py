"""Checks of models, losses and labels before anything is trained."""

from __future__ import annotations

import inspect
import math
from numbers import Real
from typing import Any

import keras
import numpy as np

from flipgrad.errors import InputError


def described(value: Any) -> str:
    """What a wrong value is, in a few words on one line."""
    if value is None or isinstance(value, (str, bool, int, float)):
        return repr(value)[:60]
    return f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__


def expect_layer(model: Any, role: str) -> None:
    """Raises TypeError unless ``model`` is a Keras model or layer; ``role`` names it in the message."""
    if not isinstance(model, keras.layers.Layer):
        raise TypeError(
            f"Argument `{role}`: expected a Keras model, received {described(model)}; make one with keras.Sequential."
        )


def expect_objectives(objectives: Any) -> None:
    """Raises unless ``objectives`` is a list of layers of different names.

    Raises:
        TypeError: no list, or something else in it.
        InputError: two of one name, whose metrics could not be told apart.
    """
    example = "objectives.DomainAdversarial(discriminator)"
    if not isinstance(objectives, (list, tuple)):
        raise TypeError(
            f"Argument `objectives`: expected a list of objectives, received {described(objectives)}; "
            f"give for example [{example}]."
        )
    for number, objective in enumerate(objectives):
        if not isinstance(objective, keras.layers.Layer):
            raise TypeError(
                f"Argument `objectives`, number {number}: expected an objective, received {described(objective)}; "
                f"give for example {example}."
            )
    names = [objective.name for objective in objectives]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(
            f"Argument `objectives`: expected a name of its own for each, received {twice[0]!r} twice; "
            "give one of them another with name=..."
        )


def check_number(
    where: str, value: Any, *, zero: bool = False, whole: bool = False, most: float = math.inf, remedy: str
) -> None:
    """Raises InputError unless ``value`` is a finite number, greater than 0 (or, with ``zero``, 0), as described."""
    number = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    if not number or not 0 <= value <= most or (value == 0 and not zero) or (whole and value != int(value)):
        expected = ("0 or greater" if zero else "greater than 0") + (" and whole" if whole else "")
        expected += "" if most == math.inf else f" and at most {most:g}"
        raise InputError(f"{where} must be {expected}; received {described(value)}; {remedy}.")


def refuse_probabilities(model: Any, feature_shape: Any, role: str) -> None:
    """Raises if ``model`` ends in softmax or sigmoid; ``role`` names it in the message.

    Decided on numbers, not on names, so that a wrapped or hand-written softmax is found too: features
    of very different sizes are sent through, and only probabilities stay within [0, 1] for all of them.
    A constant output passes unless it sums to one: it may be a linear layer with zero weights.

    Raises:
        ValueError: the outputs are probabilities.
    """
    # Every unknown length becomes 64: long enough for convolutions.
    shape = [64 if size is None else int(size) for size in feature_shape[1:]]
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
    raise InputError(
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
    if isinstance(loss, (list, tuple)):
        for each in loss:
            refuse_probability_loss(each)
        return
    if isinstance(loss, type):
        raise InputError(f"Argument `loss`: expected a loss, received the class {loss.__name__}; call it.")
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
        raise InputError(
            f"Argument `loss`: the classifier gives logits, but {loss!r} expects probabilities "
            "(from_logits=False); pass for example keras.losses.SparseCategoricalCrossentropy(from_logits=True), "
            "or leave `loss` out."
        )


def sparse_loss(loss: Any) -> Any:
    """The sparse cross-entropy, whose labels are class numbers; None where ``loss`` is another."""
    if isinstance(loss, (list, tuple)) and len(loss) == 1:
        loss = loss[0]
    return loss if isinstance(loss, keras.losses.SparseCategoricalCrossentropy) else None


def check_labels(labels: Any, classes: int, loss: Any) -> None:
    """Raises unless ``labels`` are numbers of classes that the classifier has.

    On JAX and PyTorch a sparse cross-entropy takes any number and trains on nonsense.  Other losses have labels of
    their own and are left alone, as is what is not an array.

    Args:
        labels: class numbers ``(rows,)`` or ``(rows, 1)``; None where there are none to look at.
        classes: logits of the classifier.
        loss: the loss that the labels are for.

    Raises:
        ValueError: with what was received, and the remedy.
    """
    loss = sparse_loss(loss)
    if loss is None:
        return
    if isinstance(labels, list):
        labels = np.asarray(labels)
    if not getattr(labels, "shape", ()) or not len(labels):
        return
    labels = keras.ops.convert_to_numpy(labels)
    expected = f"Labels: expected classes 0 to {classes - 1} ({classes} logits of the classifier)"
    if labels.ndim == 2 and labels.shape[1] > 1:
        raise InputError(
            f"{expected}, one number a row, received shape {labels.shape}; of one-hot labels give y.argmax(-1), or "
            "compile with loss=keras.losses.CategoricalCrossentropy(from_logits=True)."
        )
    if labels.dtype.kind not in "biuf" or labels.ndim > 2:
        return
    present = labels[labels != loss.get_config().get("ignore_class")]
    low, high = (present.min(), present.max()) if present.size else (0, 0)
    if not (low >= 0 and high < classes):
        raise InputError(f"{expected}, received {low} to {high}; number the classes from 0 or widen the classifier.")
    if (present != np.floor(present)).any():
        raise InputError(f"{expected}, received fractions; number the classes 0, 1, 2, ...")


def weights_are_finite(model: Any) -> bool:
    """Whether all weights are finite.  The loss alone does not tell: ReLU on TensorFlow turns NaN into 0."""
    return all(np.isfinite(keras.ops.convert_to_numpy(w)).all() for w in model.trainable_weights)
