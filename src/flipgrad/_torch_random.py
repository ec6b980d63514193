"""PyTorch's global random state, from which dropout without a seed draws there; nothing on other backends."""

from __future__ import annotations

import keras
import numpy as np


def state() -> dict[str, np.ndarray]:
    """The state of the CPU's generator as ``{"torch_random": uint8 (n,)}``; empty without PyTorch."""
    if keras.backend.backend() != "torch":
        return {}
    import torch

    return {"torch_random": torch.get_rng_state().numpy()}


def set_state(value: np.ndarray | None) -> None:
    """Sets it to what ``state`` gave; None leaves it as it is."""
    if value is not None and keras.backend.backend() == "torch":
        import torch

        torch.set_rng_state(torch.from_numpy(value))
