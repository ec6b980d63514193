"""Whether an adaptation worked, and what is the matter where it did not, without labels of the target.

``measure`` looks at held-out rows of both domains, ``diagnose`` draws the conclusions.
"""

from __future__ import annotations

from typing import Any

from flipgrad.health.measures import Measures
from flipgrad.health.verdicts import Verdict, diagnose

__all__ = ["Measures", "Verdict", "diagnose", "measure"]


def __getattr__(name: str) -> Any:
    if name == "measure":  # needs Keras, which reading a diagnosis does not
        from flipgrad.health.measuring import measure

        return measure
    raise AttributeError(f"module 'flipgrad.health' has no attribute {name!r}")
