"""Trainings whose truth is known: healthy ones, and sick ones, each made sick on purpose.

The problem: four classes of points in ten dimensions; the target is turned and shifted.  A case changes one thing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import keras
import numpy as np

from flipgrad import training
from flipgrad.health import Measures, Verdict, diagnose, measure
from flipgrad.models import DANN, DomainAdaptationModel
from flipgrad.schedules import InverseDecay, Ramp

CLASSES, WIDTH, STEPS, ROWS, LEARNT = 4, 10, 1000, 600, 400
EVEN = (0.25, 0.25, 0.25, 0.25)
SICK = (
    "discriminator dead", "discriminator too weak", "discriminator won", "features collapsed", "diverged",
    "source forgotten", "label shift", "negative transfer suspected", "nothing to adapt",
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One way to train.

    Attributes:
        verdict: the name that its diagnosis must have.
        never: names that it must not have.
        strength: of the reversed gradient, at the end of the ramp.
        rate: of the optimizer, at the beginning.
        sgd: gradient descent with momentum, instead of Adam.
        weight: of the classification loss.
        discriminator: makes one.
        encoder: units of its layers.
        source_shares: of the classes.
        target_shares: of the classes.
        shift: how far the target is turned and shifted; 0 for not at all.
        held: rows of each domain to look at.
    """

    verdict: str = "partly aligned"
    never: tuple[str, ...] = ()
    strength: float = 1.0
    rate: float = 0.002
    sgd: bool = False
    weight: float = 1.0
    discriminator: Callable[[], keras.Model] | None = None
    encoder: tuple[int, ...] = (32,)
    source_shares: tuple[float, ...] = EVEN
    target_shares: tuple[float, ...] = EVEN
    shift: float = 1.0
    held: int = ROWS - LEARNT


@dataclass(frozen=True)
class Finding:
    """What came of it.

    Attributes:
        verdicts: on the adapted model, held against source-only training of the same seed.
        measures: of the adapted model.
        source_only: oracle accuracy of source-only training on the target.
        adapted: of the adapted model.
    """

    verdicts: list[Verdict]
    measures: Measures
    source_only: float
    adapted: float

    @property
    def names(self) -> list[str]:
        return [verdict.name for verdict in self.verdicts]


def dense(*units: int) -> keras.Model:
    """Hidden layers and one logit."""
    return keras.Sequential([*(keras.layers.Dense(n, "relu") for n in units), keras.layers.Dense(1)])


def constant() -> keras.Model:
    """A softmax over one unit: 1 for every row.  The offset hides it from the check that refuses probabilities."""
    layers = keras.layers
    return keras.Sequential([layers.Dense(32, "relu"), layers.Dense(1, "softmax"), layers.Rescaling(1.0, offset=-1.0)])


def short_sighted() -> keras.Model:
    """Sees its features a thousand times smaller than they are, and so learns next to nothing."""
    return keras.Sequential([keras.layers.Rescaling(1e-3), *dense(32).layers])


CASES = {
    "healthy": Case("likely better than source-only", SICK),
    "healthy, narrow": Case("aligned", SICK, strength=5.0, rate=0.01, encoder=(32, 3)),
    "one-unit softmax discriminator": Case("discriminator dead", discriminator=constant),
    "short-sighted discriminator": Case("discriminator too weak", discriminator=short_sighted, sgd=True, rate=0.05),
    "strength 0.001": Case("discriminator won", strength=1e-3),
    "strength 50, narrow": Case("features collapsed", strength=50.0, sgd=True, rate=0.15, encoder=(32, 2)),
    "learning rate 10": Case("diverged", sgd=True, rate=10.0),
    "labels hardly count": Case("source forgotten", weight=1e-3, sgd=True, rate=0.05, strength=10.0),
    "priors 50:50 and 10:90": Case("label shift", source_shares=(0.5, 0.5, 0, 0), target_shares=(0.1, 0.9, 0, 0)),
    "priors 50:50 and 50:50": Case(
        never=("label shift",), source_shares=(0.5, 0.5, 0, 0), target_shares=(0.5, 0.5, 0, 0)
    ),
    "a class missing in the target": Case("label shift", target_shares=(0.7, 0.15, 0.15, 0)),
    "other priors, pulled hard": Case(
        "negative transfer suspected",
        strength=10.0,
        source_shares=(0.3, 0.3, 0.3, 0.1),
        target_shares=(0.02, 0.08, 0.1, 0.8),
        shift=0.3,
    ),
    "twenty held-out rows": Case("too few rows to tell", (*SICK, "aligned"), held=20),
    "six held-out rows": Case("too few rows to tell", SICK, held=6),
    "identical domains": Case("nothing to adapt", ("negative transfer suspected", "label shift"), shift=0.0),
}

# What source-only training does not look at.
OF_ADAPTING: dict[str, Any] = {"verdict": "", "never": (), "strength": 1.0, "weight": 1.0, "discriminator": None}


def domains(case: Case, seed: int) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """(source, target), each (x, y): 600 rows."""
    world = np.random.default_rng(seed)
    centres = world.normal(size=(CLASSES, WIDTH)) * 1.3
    turn, upper = np.linalg.qr(np.eye(WIDTH) + 0.25 * case.shift * world.normal(size=(WIDTH, WIDTH)))
    turn *= np.sign(np.diag(upper))
    offset = world.normal(size=WIDTH)
    offset *= 3 * case.shift / np.linalg.norm(offset)
    made = []
    for name, shares in (("source", case.source_shares), ("target", case.target_shares)):
        y = world.choice(CLASSES, ROWS, p=shares).astype("int32")
        x = centres[y] + world.normal(size=(ROWS, WIDTH))
        made.append(((x @ turn.T + offset if name == "target" else x).astype("float32"), y))
    return made[0], made[1]


def find(case: Case, seed: int) -> Finding:
    """Trains source-only and with the case's adaptation, and diagnoses."""
    baseline, source_only = _source_only(replace(case, **OF_ADAPTING), seed)
    measures, adapted = _train(case, seed, adapts=True)
    return Finding(diagnose(measures, baseline), measures, source_only, adapted)


@cache
def _source_only(case: Case, seed: int) -> tuple[Measures, float]:
    """Trained once for all cases that differ in their adaptation alone."""
    return _train(case, seed, adapts=False)


def _train(case: Case, seed: int, *, adapts: bool) -> tuple[Measures, float]:
    """Measures on held-out rows, and the oracle's accuracy on those of the target."""
    source, target = domains(case, seed)
    with training.seeded(seed):
        hidden = [keras.layers.Dense(units, "relu") for units in case.encoder]
        encoder = keras.Sequential([keras.Input((WIDTH,)), *hidden])
        classes = sum(share > 0 for share in case.source_shares)
        classifier = keras.Sequential([keras.layers.Dense(classes)])
        model = DomainAdaptationModel(encoder, classifier)
        if adapts:
            discriminator = case.discriminator() if case.discriminator else dense(32)
            strength = Ramp(maximum=case.strength)
            model = DANN(encoder, classifier, discriminator, strength=strength, classification_weight=case.weight)
        rate = InverseDecay(STEPS, case.rate)
        job = training.Training(
            model=model,
            source=tuple(part[:LEARNT] for part in source),
            target=target[0][:LEARNT] if adapts else None,
            optimizer=keras.optimizers.SGD(rate, momentum=0.9) if case.sgd else keras.optimizers.Adam(rate),
            batch_size=64,
            steps=STEPS,
            log_every=STEPS // 10,
            steps_per_execution=STEPS // 10,
            seed=seed,
        )
        outcome = job.run("", training.Reporter())
        end = LEARNT + case.held
        held = tuple(part[LEARNT:end] for part in source), target[0][LEARNT:end]
        found = Measures(finite=False) if outcome.diverged is not None else measure(model, *held)
        predicted = keras.ops.convert_to_numpy(model(target[0][LEARNT:], training=False)).argmax(axis=1)
    return found, float((predicted == target[1][LEARNT:]).mean())
