"""The names of the experiments, known without importing Keras, so that a typing slip costs no wait."""

from __future__ import annotations

from typing import NamedTuple


class Experiment(NamedTuple):
    """What the command line has to know beforehand of ``flipgrad.experiments.{name}``."""

    modes: tuple[str, ...]
    presets: tuple[str, ...]  # the first is the default


# A test holds these equal to MODES and PRESETS of the modules.
EXPERIMENTS = {
    "blobs": Experiment(("domain", "source", "dann", "dann-deep"), ("seed",)),
    "digits": Experiment(("source", "dann", "target"), ("default",)),
    "mnist": Experiment(("source", "dann", "target"), ("seed", "paper")),
}
