"""Keras callbacks that look at held-out rows of both domains while a model is trained."""

from flipgrad.callbacks.back_off import BackOff
from flipgrad.callbacks.health_monitor import HealthMonitor
from flipgrad.callbacks.label_free_checkpoint import LabelFreeCheckpoint

__all__ = ["BackOff", "HealthMonitor", "LabelFreeCheckpoint"]
