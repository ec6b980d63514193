"""How the two domains of a batch go through the encoder: together, or each with statistics of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops, tree

# What a loss added by a layer of the encoder, such as an activity penalty, counts in each of two separate passes, so
# that both together are that of one joint pass over equal halves.  Keras 3.14 and later divide an activity penalty by
# the rows of the pass, so each pass has one half; 3.13 adds up the rows.
SHARE_OF_A_PASS = 0.5 if tuple(map(int, keras.version().split(".")[:2])) >= (3, 14) else 1.0


def is_pair(x: Any) -> bool:
    """Whether ``x`` is a training batch of two domains, ``{"source": ..., "target": ...}``.

    There may be a third part, ``"target_labelled"``: rows of the target whose labels follow those of the source.
    """
    return isinstance(x, dict) and x.keys() in ({"source", "target"}, {"source", "target", "target_labelled"})


def stacked(first: Any, second: Any) -> Any:
    """The rows of two batches, one below the other; dicts of tensors too."""
    return tree.map_structure(lambda one, other: ops.concatenate([one, other], axis=0), first, second)


def input_of(model: keras.Model) -> Any:
    """The symbolic input of a functional or Sequential model, in its own structure; None where unknown."""
    inputs = getattr(model, "inputs", None)
    if not inputs:
        return None
    return inputs[0] if isinstance(model, keras.Sequential) else model.input


def encode_jointly(encoder: keras.Model, source: Any, target: Any, training: bool | None) -> tuple[Any, Any]:
    """Features of both domains from one pass over all rows."""
    features = encoder(stacked(source, target), training=training)
    rows = ops.shape(tree.flatten(source)[0])[0]
    return features[:rows], features[rows:]


def moving_statistics(encoder: keras.Model) -> list[Any]:
    """The weights that a pass in training moves by itself, frozen or not: those of batch normalization.

    Told by their names, ``moving_mean`` and ``moving_variance``, which other normalizations of this kind share.
    """
    return [weight for weight in encoder.weights if weight.name.startswith("moving_")]


def add_source_statistics(model: keras.Model, encoder: keras.Model) -> list[Any]:
    """A second set of the encoder's moving statistics, as weights of ``model``; the encoder's own are the target's."""
    return [
        model.add_weight(
            name=f"source_{index}_{own.name}",
            shape=own.shape,
            initializer="zeros",
            dtype=own.dtype,
            trainable=False,
            autocast=False,
        )
        for index, own in enumerate(moving_statistics(encoder))
    ]


def copy_statistics(encoder: keras.Model, twins: list[Any]) -> None:
    """Sets the source's statistics to the encoder's own."""
    for own, twin in zip(moving_statistics(encoder), twins, strict=True):
        twin.assign(ops.copy(own.value))  # JAX would share the buffer, and then refuse to donate it twice


def encode_apart(
    encoder: keras.Model, domains: Sequence[tuple[Any, list[Any]]], training: bool | None
) -> tuple[list[Any], list[Any]]:
    """Features of each domain from a pass of its own, with statistics of its own; and the losses of all passes.

    A pass runs in a scope in which the encoder's variables have the values given here.  All passes begin with the same
    weights, so that a layer that changes a weight by itself (``SpectralNormalization``) treats the domains alike; the
    seeds of dropout go on from pass to pass.  What the passes change is written back after the last one; of a weight
    that several of them change, the value of the last, the target's, stays.

    Args:
        encoder: of both domains.
        domains: for each, its rows and the weights that stand in for the encoder's moving statistics; none of them
            for the encoder's own.
        training: as in any layer.
    """
    # Copies, because PyTorch writes into the tensor, of which the backward pass may still need the old values.
    start = [ops.copy(variable.value) for variable in encoder.variables]
    weights = {id(weight) for weight in encoder.weights}
    seeds: dict[int, Any] = {}
    changed: dict[int, tuple[Any, Any]] = {}
    features, losses = [], []
    for x, twins in domains:
        holder = {id(own): twin for own, twin in zip(moving_statistics(encoder) if twins else [], twins, strict=True)}
        values = [
            (variable, holder[id(variable)].value if id(variable) in holder else seeds.get(id(variable), value))
            for variable, value in zip(encoder.variables, start, strict=True)
        ]
        with keras.StatelessScope(state_mapping=values, collect_losses=True) as scope:
            before = dict(scope.state_mapping)
            features.append(encoder(x, training=training))
        losses += scope.losses
        for variable in encoder.variables:
            after = scope.get_current_value(variable)
            if after is not before[id(variable)]:
                written = holder.get(id(variable), variable)
                changed[id(written)] = (written, after)
                if id(variable) not in weights:
                    seeds[id(variable)] = after
    for variable, after in changed.values():
        variable.assign(after)
    return features, losses
