"""The seed's networks for points in the plane: 2-15 encoder, linear heads, and the deeper discriminator."""

from __future__ import annotations

from typing import Any

import keras
from keras import initializers, layers

from flipgrad.networks.heads import mlp


def _seed_style() -> dict[str, Any]:
    """The seed's weights: truncated normal of 0.1, biases 0.1."""
    return {
        "kernel_initializer": initializers.TruncatedNormal(stddev=0.1),
        "bias_initializer": initializers.Constant(0.1),
    }


def blobs_encoder(units: int = 15) -> keras.Sequential:
    """Points ``(rows, 2)`` -> features ``(rows, units)``, ReLU."""
    dense = layers.Dense(units, activation="relu", **_seed_style())
    return keras.Sequential([keras.Input((2,)), dense], name="encoder")


def blobs_classifier(classes: int = 2) -> keras.Sequential:
    """Features -> class logits, linear."""
    return mlp([classes], "classifier", **_seed_style())


def blobs_discriminator(deep: bool = False) -> keras.Sequential:
    """Features -> two domain logits: linear, or 15-8-2 with ``deep``."""
    return mlp([8, 2] if deep else [2], "discriminator", **_seed_style())
