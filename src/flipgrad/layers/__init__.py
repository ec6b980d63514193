"""Keras layers of flipgrad."""

from flipgrad.layers.gradient_reversal import GradientReversal, flip_gradient

__all__ = ["GradientReversal", "flip_gradient"]
