"""Trainings whose truth is known: healthy ones, and sick ones, each made sick on purpose.

A case is a change of one healthy problem: four classes of points in ten dimensions, the target turned and shifted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from flipgrad import training
from flipgrad.callbacks import BackOff  # noqa: F401
from flipgrad.health import Measures, measure
from flipgrad.models import DANN, DomainAdaptationModel
from flipgrad.schedules import InverseDecay, Ramp

CLASSES, WIDTH, STEPS = 4, 10, 1000


@dataclass(frozen=True)
class Case:
    """One way to train.

    Attributes:
        verdicts: names that a diagnosis must have.
        never: names that it must not have.
        strength: of the reversed gradient.
        rate: of Adam.
        weight: of the classification loss.
        discriminator: makes one; None for the default.
        source_shares: of the classes.
        target_shares: of the classes.
        shift: of the target, in standard deviations of a class; 0 for no shift and no turn.
    """

    verdicts: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    strength: float = 1.0
    rate: float = 0.002
    weight: float = 1.0
    discriminator: Callable[[], keras.Model] | None = None
    source_shares: tuple[float, ...] = (0.25, 0.25, 0.25, 0.25)
    target_shares: tuple[float, ...] = (0.25, 0.25, 0.25, 0.25)
    shift: float = 1.0
    optimizer: str = "adam"


def _constant() -> keras.Model:
    """A softmax over one unit is 1 for every row; the offset hides it from the check of probabilities."""
    dense = [keras.layers.Dense(32, "relu"), keras.layers.Dense(1, "softmax")]
    return keras.Sequential([*dense, keras.layers.Rescaling(1.0, offset=-1.0)])


def _short_sighted() -> keras.Model:
    """Sees its input a thousand times smaller than it is, and so learns next to nothing."""
    return keras.Sequential([keras.layers.Rescaling(1e-3), keras.layers.Dense(32, "relu"), keras.layers.Dense(1)])


CASES = {
    "healthy": Case(),
    "dead": Case(discriminator=_constant),
    "weak": Case(discriminator=_short_sighted, optimizer="sgd", rate=0.05),
    "won": Case(strength=1e-3),
    "strength 50": Case(strength=50.0),
    "strength 50, sgd": Case(strength=50.0, optimizer="sgd", rate=0.05),
    "rate 10": Case(rate=10.0, optimizer="sgd"),
    "rate 10 adam": Case(rate=10.0),
    "forgetful": Case(weight=0.003),
    "priors": Case(source_shares=(0.5, 0.5, 0, 0), target_shares=(0.1, 0.9, 0, 0)),
    "priors control": Case(source_shares=(0.5, 0.5, 0, 0), target_shares=(0.5, 0.5, 0, 0)),
    "priors, no shift": Case(source_shares=(0.5, 0.5, 0, 0), target_shares=(0.1, 0.9, 0, 0), shift=0.0),
    "missing": Case(target_shares=(0.34, 0.33, 0.33, 0.0)),
    "identical": Case(shift=0.0),
}


def domains(case: Case, seed: int, rows: int = 600) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """(source, target), each (x, y)."""
    world = np.random.default_rng(seed)
    centres = world.normal(size=(CLASSES, WIDTH)) * 1.3
    turn, _ = np.linalg.qr(np.eye(WIDTH) + 0.25 * case.shift * world.normal(size=(WIDTH, WIDTH)))
    turn *= np.sign(np.diag(turn))
    offset = world.normal(size=WIDTH)
    offset *= 2.0 * case.shift / np.linalg.norm(offset) * 1.5
    made = []
    for domain, shares in enumerate((case.source_shares, case.target_shares)):
        y = world.choice(CLASSES, rows, p=np.array(shares) / sum(shares)).astype("int32")
        x = centres[y] + world.normal(size=(rows, WIDTH))
        made.append(((x @ turn.T + offset if domain and case.shift else x).astype("float32"), y))
    return made[0], made[1]


def train(case: Case, mode: str, seed: int) -> tuple[Measures, float, Any]:
    """(measures on held-out rows, target accuracy, the training's outcome)."""
    source, target = domains(case, seed)
    used = int(max(np.flatnonzero(case.source_shares))) + 1
    with training.seeded(seed):
        encoder = keras.Sequential([keras.Input((WIDTH,)), keras.layers.Dense(32, "relu")])
        classifier = keras.Sequential([keras.layers.Dense(used)])
        if mode == "dann":
            heads = case.discriminator() if case.discriminator else keras.Sequential([keras.layers.Dense(32, "relu"), keras.layers.Dense(1)])
            model = DANN(encoder, classifier, heads, strength=Ramp(maximum=case.strength), classification_weight=case.weight)
        else:
            model = DomainAdaptationModel(encoder, classifier)
        decay = InverseDecay(STEPS, case.rate)
        optimizer = keras.optimizers.Adam(decay) if case.optimizer == "adam" else keras.optimizers.SGD(decay, momentum=0.9)
        job = training.Training(
            model=model, source=(source[0][:400], source[1][:400]), target=target[0][:400] if mode == "dann" else None, optimizer=optimizer,
            batch_size=64, steps=STEPS, log_every=STEPS // 10, steps_per_execution=STEPS // 10, seed=seed,
        )
        outcome = job.run("", training.Reporter())
        held = (source[0][400:], source[1][400:]), target[0][400:]
        found = Measures(finite=False) if outcome.diverged is not None else measure(model, *held)
        predicted = model.predict(held[1], verbose=0).argmax(axis=1)
    return found, float((predicted == target[1][400:]).mean()), outcome
