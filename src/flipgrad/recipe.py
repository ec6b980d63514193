"""How a classifier is trained on a user's own data: the settings, and the training that they make."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import keras
import numpy as np

from flipgrad.errors import InputError
from flipgrad.inputs.formats import take_rows
from flipgrad.models import DANN, DomainAdaptationModel
from flipgrad.schedules import InverseDecay, Ramp
from flipgrad.training import Training

MODES = ("source", "dann")
KEPT = ("last", "best")
# Enough for the ramp of the strength to do its work on a small data set, and not a day's work on a large one.
_STEPS, _FEWEST, _MOST = 3000, 5, 200
# By fewer labelled rows an epoch is better by chance alone: the standard error of an accuracy of .8 on 20 is .09.
_FEWEST_TO_CHOOSE = 20


@dataclass(frozen=True)
class Recipe:
    """Everything that can change the result of one training, the data apart.

    Attributes:
        mode: ``"dann"`` adapts to the target, ``"source"`` trains on the source alone.
        encoder: see ``networks.default_encoder``.
        weights: of a backbone, see there.
        epochs: passes over the larger domain; None for about 3,000 steps, at least 5 passes and at most 200.
        batch_size: rows of each domain in a step.
        learning_rate: of Adam, at the beginning; decayed as in the paper.  A training that diverges (loss or weights
            NaN or infinite) leaves no model, also where an epoch could have been chosen: lower it and train again.
        strength: the end of the paper's ramp.  A tenth does less good where the paper's 1 would do much, and less harm
            where adapting does harm, which without target labels nobody sees.
        passes: of ``DomainAdaptationModel``; ``"separate"`` normalises each domain by itself.
        seed: of weights, batches and dropout, 0 or greater.
        keep: the epoch whose weights mode ``"dann"`` keeps: ``"last"``, or the ``"best"`` by
            ``callbacks.LabelFreeCheckpoint`` on held-out rows, without target labels.  Labelled rows of the target,
            where there are enough of them, decide before it.

    Raises:
        InputError: a setting out of its range.
    """

    mode: str = "dann"
    encoder: str = "auto"
    weights: str | None = None
    epochs: int | None = None
    batch_size: int = 64
    learning_rate: float = 0.001
    strength: float = 0.1
    passes: str = "separate"
    seed: int = 0
    keep: str = "last"

    def __post_init__(self) -> None:
        whole = "a positive whole number"
        expected = {
            "mode": (self.mode in MODES, " or ".join(map(repr, MODES))),
            "epochs": (self.epochs is None or _is_positive(self.epochs, Integral), f"{whole} or None"),
            "batch_size": (_is_positive(self.batch_size, Integral), whole),
            "learning_rate": (_is_positive(self.learning_rate, Real), "a number greater than 0"),
            "strength": (_is_positive(self.strength, Real), "a number greater than 0 (mode 'source' is without)"),
            "encoder": (isinstance(self.encoder, str), "a name"),
            "weights": (self.weights is None or isinstance(self.weights, str), "a name, a file or None"),
            "seed": (self.seed == 0 or _is_positive(self.seed, Integral), "a whole number, 0 or greater"),
            "keep": (self.keep in KEPT, " or ".join(map(repr, KEPT))),
            "passes": (self.passes in ("joint", "separate"), "'joint' or 'separate'"),
        }
        for name, (fits, wanted) in expected.items():
            if not fits:
                raise InputError(f"Argument `{name}`: expected {wanted}, received {getattr(self, name)!r}.")


def _is_positive(value: Any, kind: type) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool) and 0 < value < math.inf  # type: ignore[operator]


def training_of(
    recipe: Recipe,
    encoder: keras.Model,
    classes: int,
    source: tuple[Any, ...],
    target: Any,
    *,
    target_labelled: tuple[Any, Any] | None = None,
    allow_missing: bool = False,
    split_seed: int | None = None,
    held_out: tuple[Any, Any, Any] | None = None,
) -> Training:
    """The training of a recipe: the model, its data and its length.  Make it inside ``seeded``.

    Args:
        recipe: the settings.
        encoder: raw rows -> features.
        classes: their number.
        source: ``(x, y)`` or ``(x, y, sample_weight)``.
        target: rows without labels; not used in mode ``source``, which sees as many rows in a step, all of the source.
        target_labelled: ``(x, y)``, the few rows of the target with labels; None without any.  A third of them is not
            trained on but chooses the epoch that is kept, where that leaves 20 rows or more to choose by.
        allow_missing: whether NaN stands for a missing value, which the encoder fills in.
        split_seed: draws that third; None for the recipe's seed.
        held_out: ``(source x, source y, target x)``, rows that are not trained on: what ``keep`` chooses by.

    Raises:
        InputError: too many steps; a best epoch to keep, and no rows held out to choose it by.
    """
    classifier = keras.Sequential([keras.layers.Dense(classes)], name="classifier")
    adapts = recipe.mode == "dann"
    if adapts:
        model = DANN(encoder, classifier, strength=Ramp(maximum=recipe.strength), passes=recipe.passes)
    else:
        model = DomainAdaptationModel(encoder, classifier)
    steps = math.ceil(max(len(source[1]), len(target)) / recipe.batch_size)
    epochs = recipe.epochs or min(max(math.ceil(_STEPS / steps), _FEWEST), _MOST)
    if epochs * steps >= 2**31:
        raise InputError(f"Argument `epochs`: expected fewer than 2^31 steps, received {epochs} x {steps}; lower it.")
    split_seed = recipe.seed if split_seed is None else split_seed
    labelled, choosing = (None, None) if target_labelled is None else _split(target_labelled, split_seed)
    keep_best = recipe.keep == "best" and choosing is None and adapts
    if keep_best and not (held_out and all(map(len, held_out))):
        raise InputError(
            "Argument `keep`: expected rows of both domains held out to choose by, received none; use 'last'."
        )
    return Training(
        model=model,
        source=source,
        target=target if adapts else None,
        optimizer=keras.optimizers.Adam(InverseDecay(epochs * steps, recipe.learning_rate)),
        batch_size=recipe.batch_size * (1 if adapts else 2),
        steps=epochs * steps,
        log_every=steps,
        steps_per_execution=min(20, steps),
        seed=recipe.seed,
        allow_missing=allow_missing,
        target_labelled=labelled,
        choosing=choosing,
        keep_best=keep_best,
        held_out=held_out,
    )


def _split(rows: tuple[Any, Any], seed: int) -> tuple[tuple[Any, Any], tuple[Any, Any] | None]:
    """(rows to train on, rows to choose by): two thirds and a third; all and None where the third would be too few.

    One row of each class stays for the training.
    """
    x, y = rows
    order = np.random.default_rng(seed).permutation(len(y))
    free = np.delete(order, np.unique(y[order], return_index=True)[1])
    chosen = np.sort(free[: len(y) // 3])
    if len(chosen) < _FEWEST_TO_CHOOSE:
        return rows, None
    kept = np.setdiff1d(order, chosen)
    return (take_rows(x, kept), y[kept]), (take_rows(x, chosen), y[chosen])
