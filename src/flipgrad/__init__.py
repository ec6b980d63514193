"""flipgrad: domain-adversarial training for Keras 3 on TensorFlow, JAX and PyTorch.

Names are imported when they are first used, so that ``import flipgrad`` is quick and does not choose a backend.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Where each public name lives.
_HOME = {
    "DANN": "flipgrad.models",
    "DomainAdaptationModel": "flipgrad.models",
    "adapt": "flipgrad.models",
    "flip_gradient": "flipgrad.layers",
    "load": "flipgrad.saving",
    "select": "flipgrad.selection",
}
_MODULES = [
    "callbacks",
    "checkpoint",
    "data",
    "errors",
    "health",
    "inputs",
    "layers",
    "models",
    "networks",
    "objectives",
    "plots",
    "schedules",
    "scores",
    "sklearn",
]

__all__ = [
    "DANN",
    "DomainAdaptationModel",
    "adapt",
    "callbacks",
    "checkpoint",
    "data",
    "errors",
    "flip_gradient",
    "health",
    "inputs",
    "layers",
    "load",
    "models",
    "networks",
    "objectives",
    "plots",
    "schedules",
    "scores",
    "select",
    "sklearn",
]

if TYPE_CHECKING:
    from flipgrad import (
        callbacks,
        checkpoint,
        data,
        errors,
        health,
        inputs,
        layers,
        models,
        networks,
        objectives,
        plots,
        schedules,
        scores,
        sklearn,
    )
    from flipgrad.layers import flip_gradient
    from flipgrad.models import DANN, DomainAdaptationModel, adapt
    from flipgrad.saving import load
    from flipgrad.selection import select


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    if name in _MODULES:
        return importlib.import_module(f"flipgrad.{name}")
    raise AttributeError(f"module 'flipgrad' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
