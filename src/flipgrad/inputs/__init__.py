"""What users bring: folders of images, tables, arrays and sparse counts, read as rows of two domains.

Nothing here imports Keras but ``preprocessing_layers``, when it is called.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

# Where each public name lives.
_HOME = {
    "Classes": "flipgrad.inputs.classes",
    "Domain": "flipgrad.inputs.formats",
    "InputFormat": "flipgrad.inputs.formats",
    "preprocessing_layers": "flipgrad.inputs.preprocessing",
    "read_domain": "flipgrad.inputs.reading",
    "read_domains": "flipgrad.inputs.reading",
}

__all__ = ["Classes", "Domain", "InputFormat", "preprocessing_layers", "read_domain", "read_domains"]

if TYPE_CHECKING:
    from flipgrad.inputs.classes import Classes
    from flipgrad.inputs.formats import Domain, InputFormat
    from flipgrad.inputs.preprocessing import preprocessing_layers
    from flipgrad.inputs.reading import read_domain, read_domains


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'flipgrad.inputs' has no attribute {name!r}")
