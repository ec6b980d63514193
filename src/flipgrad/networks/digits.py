"""A small network with batch normalization and dropout for the embedded digits."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from flipgrad.networks.heads import mlp


def digits_encoder(size: int = 28) -> keras.Sequential:
    """Images ``(rows, size, size, 3)``, 0 to 255 -> features ``(rows, 128)``."""
    blocks: list[Any] = []
    for filters in (32, 48):
        blocks += [
            layers.Conv2D(filters, 5, padding="same", use_bias=False),
            layers.MaxPooling2D(2),
            layers.BatchNormalization(),
            layers.ReLU(),
        ]
    head = [layers.Flatten(), layers.Dropout(0.25), layers.Dense(128, activation="relu")]
    return keras.Sequential(
        [
            keras.Input((size, size, 3)),
            layers.Rescaling(1 / 127.5, offset=-1),
            *blocks,
            *head,
        ],
        name="encoder",
    )


def digits_classifier(classes: int = 10) -> keras.Sequential:
    """Features -> class logits through 100-classes."""
    return mlp([100, classes], "classifier")
