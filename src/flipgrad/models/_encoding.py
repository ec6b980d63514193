"""How the two domains of a batch go through the encoder: together, or each with statistics of its own."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops, tree


def is_pair(x: Any) -> bool:
    """Whether ``x`` is a training batch of two domains, ``{"source": ..., "target": ...}``."""
    return isinstance(x, dict) and x.keys() == {"source", "target"}


def input_of(model: keras.Model) -> Any:
    """The symbolic input of a functional or Sequential model, in its own structure; None where unknown."""
    inputs = getattr(model, "inputs", None)
    if not inputs:
        return None
    return inputs[0] if isinstance(model, keras.Sequential) else model.input


def encode_jointly(encoder: keras.Model, source: Any, target: Any, training: bool | None) -> tuple[Any, Any]:
    """Features of both domains from one pass over all rows."""
    joined = tree.map_structure(lambda s, t: ops.concatenate([s, t], axis=0), source, target)
    features = encoder(joined, training=training)
    rows = ops.shape(tree.flatten(source)[0])[0]
    return features[:rows], features[rows:]


def add_source_statistics(model: keras.Model, encoder: keras.Model) -> list[Any]:
    """A second set of the encoder's moving statistics, as weights of ``model``; the encoder's own are the target's."""
    twins = []
    for index, weight in enumerate(encoder.non_trainable_weights):
        twin = model.add_weight(
            name=f"source_statistic_{index}",
            shape=weight.shape,
            initializer="zeros",
            dtype=weight.dtype,
            trainable=False,
            autocast=False,
        )
        twin.assign(ops.copy(weight))  # JAX would share the buffer, and then refuse to donate it twice
        twins.append(twin)
    return twins


def encode_source(encoder: keras.Model, statistics: list[Any], x: Any, training: bool | None) -> Any:
    """Source features, with the source's moving statistics in place of the encoder's own."""
    twins = {id(own): twin for own, twin in zip(encoder.non_trainable_weights, statistics, strict=True)}
    # Other state, such as the seeds of dropout, is shared.
    holders = [twins.get(id(variable), variable) for variable in encoder.non_trainable_variables]
    features, updated = encoder.stateless_call(
        [variable.value for variable in encoder.trainable_variables],
        [holder.value for holder in holders],
        x,
        training=training,
    )
    for holder, value in zip(holders, updated, strict=True):
        holder.assign(value)
    return features
