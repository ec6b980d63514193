"""Keras callbacks that look at held-out rows of both domains while a model is trained."""

from flipgrad.callbacks.label_free_checkpoint import LabelFreeCheckpoint

__all__ = ["LabelFreeCheckpoint"]
