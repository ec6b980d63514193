"""Two half moons, and the same turned: the toy problem of the DANN paper (JMLR 2016, figure 2)."""

import numpy as np
from sklearn.datasets import make_moons

from flipgrad.data.samples import Samples
from flipgrad.errors import InputError

CENTRE = (0.5, 0.25)  # the middle of the two noiseless half circles' bounding box


def moons(seed: int = 0, samples: int = 300, noise: float = 0.05, rotation: float = 35.0) -> tuple[Samples, Samples]:
    """Two half moons as the source; as the target an independent draw, turned.

    The target is turned counter-clockwise about (0.5, 0.25), the middle of the noiseless figure, so
    that both domains keep the same centre and the shift is the angle alone.

    Args:
        seed: of the random numbers; equal seeds give equal data.
        samples: per domain, at least 2; half of them (the odd one more in class 1) of each class.
        noise: standard deviation of the Gaussian noise on each coordinate, at least 0.
        rotation: in degrees.

    Returns:
        ``(source, target)``, each with ``x`` (samples, 2) float32 and ``y`` (samples,) int32 in
        {0, 1}, shuffled.

    Raises:
        InputError: when an argument is out of range.
    """
    if samples < 2:
        raise InputError(f"moons: samples must be at least 2, received {samples}; give 2 or more.")
    if not noise >= 0:
        raise InputError(f"moons: noise must be at least 0, received {noise}; give 0 or more.")
    domains = []
    for child, degrees in zip(np.random.SeedSequence(seed).spawn(2), (0.0, rotation), strict=True):
        state = int(child.generate_state(1)[0])  # make_moons takes no Generator
        x, y = make_moons(n_samples=samples, noise=noise, random_state=state)
        x = (x - CENTRE) @ _rotation(degrees).T + CENTRE
        domains.append(Samples(x.astype(np.float32), y.astype(np.int32)))
    return domains[0], domains[1]


def _rotation(degrees: float) -> np.ndarray:
    """The (2, 2) matrix that turns a column vector counter-clockwise."""
    angle = np.deg2rad(degrees)
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
