"""Random draws that are fixed for a while and leave no trace."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import keras
import numpy as np


@contextmanager
def local_seed(seed: int) -> Iterator[None]:
    """Fixes the draws inside, and puts the random states back after them.

    Keras takes the seeds of initial weights, of dropout and its kin from Python's generator; layers of others may use
    NumPy's, and dropout on PyTorch uses PyTorch's.  Not put back: Keras's own global generator, from which only layers
    draw that have none of their own, and TensorFlow's global seed, which nothing here reads.

    Args:
        seed: 0 to 2**32 - 1.
    """
    python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002
    with ExitStack() as stack:
        if keras.backend.backend() == "torch":
            import torch

            stack.enter_context(torch.random.fork_rng())
            torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(legacy)  # noqa: NPY002
