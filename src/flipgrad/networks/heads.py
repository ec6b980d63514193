"""Heads of dense layers, for any encoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers


def mlp(units: Sequence[int], name: str, **dense: Any) -> keras.Sequential:
    """Flatten, then dense layers of ``units``, ReLU between them, nothing after the last.

    Args:
        units: widths, the last one being the number of logits.
        name: name of the model.
        **dense: further arguments of every ``keras.layers.Dense``, such as ``kernel_initializer``.
    """
    hidden = [layers.Dense(n, activation="relu", **dense) for n in units[:-1]]
    return keras.Sequential([layers.Flatten(), *hidden, layers.Dense(units[-1], **dense)], name=name)


def discriminator(units: Sequence[int] = (100, 1)) -> keras.Sequential:
    """The default discriminator: 100 hidden units and one domain logit (the paper's MNIST head)."""
    return mlp(units, "discriminator")
