"""Gradients as NumPy arrays, for tests and diagnostics: the only module that imports a backend."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from flipgrad.errors import InputError


def gradient(function: Callable[[Any], Any], x: Any) -> np.ndarray:
    """The gradient of a scalar function of one array.

    Args:
        function: takes a tensor like ``x`` and returns a scalar tensor.  It must not change variables.
        x: a floating-point array or tensor.

    Returns:
        An array of the shape and dtype of ``x``; zeros where the function does not depend on ``x``.
    """
    (result,) = _gradients(lambda tensors: function(tensors[0]), [ops.convert_to_tensor(x)])
    return result


def loss_gradients(model: keras.Model, batch: Any) -> dict[str, np.ndarray]:
    """The gradient of the training loss of one batch for every trainable weight.

    Nothing changes: no weight, no step count, no moving statistic, no metric.

    Args:
        model: a compiled and built ``DomainAdaptationModel``.
        batch: ``({"source": xs, "target": xt}, ys)``, with a third part for sample weights.

    Returns:
        Gradients by the path of the weight; zeros where the loss does not reach it.

    Raises:
        ValueError: two weights of the same path.
    """
    tensors = keras.tree.map_structure(ops.convert_to_tensor, batch)
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(tensors)
    weights = model.trainable_variables
    paths = [weight.path for weight in weights]
    if len(set(paths)) < len(paths):
        twice = sorted({path for path in paths if paths.count(path) > 1})
        raise InputError(
            f"loss_gradients: expected a path of its own for each weight, weights share the paths {twice}; "
            "name the layers apart."
        )

    def loss(values: Sequence[Any]) -> Any:
        # The scope stands in for the weights and catches every update: counters, statistics, metrics.
        mapping = zip(weights, values, strict=True)
        with keras.StatelessScope(state_mapping=list(mapping), collect_losses=True):
            outputs = model(x, training=True)
            return model.compute_loss(x=x, y=y, y_pred=outputs, sample_weight=sample_weight, training=True)

    found = _gradients(loss, [ops.convert_to_tensor(weight) for weight in weights])
    return dict(zip(paths, found, strict=True))


def _gradients(function: Callable[[Sequence[Any]], Any], tensors: list[Any]) -> list[np.ndarray]:
    """The gradients of a scalar function of a list of tensors, on the present backend."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        found = jax.grad(function)(tensors)
    elif backend == "torch":
        tensors = [tensor.detach().clone().requires_grad_() for tensor in tensors]
        value = function(tensors)
        if value.requires_grad:
            value.backward()
        found = [tensor.grad for tensor in tensors]
    else:
        import tensorflow as tf

        tensors = [tf.identity(tensor) for tensor in tensors]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(tensors)
            value = function(tensors)
        found = tape.gradient(value, tensors)
    return [
        ops.convert_to_numpy(ops.zeros_like(tensor) if grad is None else grad)
        for grad, tensor in zip(found, tensors, strict=True)
    ]
