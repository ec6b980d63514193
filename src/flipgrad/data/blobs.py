"""Four Gaussian blobs: the smallest problem on which adaptation can be watched."""

import numpy as np

from flipgrad.data.samples import Samples
from flipgrad.errors import InputError

SOURCE_CENTRES = ((0.0, 0.0), (0.0, 1.0))
TARGET_CENTRES = ((1.0, -1.0), (1.0, 0.0))


def blobs(seed: int = 0, samples_per_class: int = 150, std: float = 0.2) -> tuple[Samples, Samples]:
    """Two classes in the plane, in two domains that differ by a shift of (1, -1).

    The source classes are centred at (0, 0) and (0, 1), the target's at (1, -1) and (1, 0); all
    four are round Gaussians.  The rows are ordered by class.

    Args:
        seed: of the random numbers; equal seeds give equal data.
        samples_per_class: at least 1.
        std: standard deviation of every blob along each axis, at least 0.

    Returns:
        ``(source, target)``, each with ``x`` (2 * samples_per_class, 2) float32 and ``y`` int32 in
        {0, 1}.

    Raises:
        InputError: when an argument is out of range.
    """
    if samples_per_class < 1:
        raise InputError(
            f"blobs: samples_per_class must be at least 1, received {samples_per_class}; give a positive number."
        )
    if not std >= 0:
        raise InputError(f"blobs: std must be at least 0, received {std}; give 0 or more.")
    rng = np.random.default_rng(seed)
    domains = []
    for centres in (SOURCE_CENTRES, TARGET_CENTRES):
        y = np.repeat(np.arange(len(centres), dtype=np.int32), samples_per_class)
        x = np.asarray(centres)[y] + rng.normal(0.0, std, size=(len(y), 2))
        domains.append(Samples(x.astype(np.float32), y))
    return domains[0], domains[1]
