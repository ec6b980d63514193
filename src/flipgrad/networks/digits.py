"""A small network with batch normalization and dropout for the embedded digits."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from flipgrad.networks.heads import mlp


def digits_encoder(size: int = 28) -> keras.Sequential:
    """Images ``(rows, size, size, 3)``, 0 to 255 -> features ``(rows, 512)`` for the default size.

    Convolution 5x5x16 and 5x5x32, each with pooling, batch normalization and ReLU; then dropout of a half.
    """
    blocks: list[Any] = []
    for filters in (16, 32):
        blocks += [
            layers.Conv2D(filters, 5),
            layers.MaxPooling2D(2),
            layers.BatchNormalization(),
            layers.ReLU(),
        ]
    scale = layers.Rescaling(1 / 127.5, offset=-1)
    return keras.Sequential(
        [keras.Input((size, size, 3)), scale, *blocks, layers.Flatten(), layers.Dropout(0.5)], name="encoder"
    )


def digits_classifier(classes: int = 10) -> keras.Sequential:
    """Features -> class logits through 100-classes."""
    return mlp([100, classes], "classifier")
