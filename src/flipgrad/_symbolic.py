"""Shapes of what models give, found by calling them on symbolic tensors."""

from __future__ import annotations

from typing import Any

import keras
from keras import tree

from flipgrad.errors import InputError


def symbolic_input(input_shape: Any) -> Any:
    """Keras tensors of the shapes of a plain batch: a tuple, or a structure of them."""
    if isinstance(input_shape, (tuple, list)) and all(n is None or isinstance(n, int) for n in input_shape):
        return keras.KerasTensor(tuple(input_shape))
    return tree.map_shape_structure(keras.KerasTensor, input_shape)


def symbolic_output(model: keras.layers.Layer, inputs: Any, role: str) -> Any:
    """What ``model`` gives for symbolic inputs; builds it where needed, a subclassed ``keras.Model`` too.

    Raises:
        ValueError: not one tensor; ``role`` names the model in the message.
    """
    if not model.built:
        model(inputs)
    output = model.compute_output_spec(inputs)
    if not isinstance(output, keras.KerasTensor):
        raise InputError(
            f"Argument `{role}`: expected a model that gives one tensor, received one that gives "
            f"{type(output).__name__}; let it return the features, or the logits, alone."
        )
    return output
