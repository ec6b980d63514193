"""What the two losses ask of the features: how strongly, and whether they agree."""

from __future__ import annotations

from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from flipgrad._gradients import gradient
from flipgrad.models import DomainAdaptationModel
from flipgrad.observation import evenly

_ROWS = 256  # of each domain, to differentiate at


class FeatureGradients(NamedTuple):
    """Gradients at the features of source and target rows.

    Attributes:
        label: norm of the classification loss's, at the source rows.
        domain: norm of the domain loss's, at the rows of both domains, before it is reversed and scaled.
        cosine: between the two at the source rows, the domain's reversed: -1 (adapting undoes what the labels ask for)
            to 1; None where one of them is 0.
    """

    label: float
    domain: float
    cosine: float | None


def feature_gradients(
    model: DomainAdaptationModel, source: np.ndarray, labels: np.ndarray, target: np.ndarray
) -> FeatureGradients:
    """The gradients of both losses at 256 rows of each domain, evenly spaced.

    Args:
        model: with a discriminator.
        source: features ``(rows, ...)``, as ``model.encode`` gives them.
        labels: their class numbers ``(rows,)``.
        target: features ``(rows, ...)``.
    """
    # Not the first: rows may be sorted by class.
    places = [evenly(len(x), _ROWS) for x in (source, target)]
    source, labels, target = source[places[0]], labels[places[0]], target[places[1]]
    numbers = ops.convert_to_tensor(np.asarray(labels, dtype="int32"))
    discriminator = model.objectives[0].discriminator

    def classification(features: object) -> object:
        logits = ops.cast(model.classifier(features, training=False), "float32")
        return ops.mean(keras.losses.sparse_categorical_crossentropy(numbers, logits, from_logits=True))

    def domain(features: object) -> object:
        logits = ops.cast(discriminator(features, training=False), "float32")
        advantage = logits[:, -1] - logits[:, 0] if logits.shape[-1] == 2 else logits[:, 0]
        rows = len(source)
        return 0.5 * (ops.mean(ops.softplus(advantage[:rows])) + ops.mean(ops.softplus(-advantage[rows:])))

    by_label = gradient(classification, source)
    by_domain = gradient(domain, np.concatenate([source, target]))
    reversed_at_source = -by_domain[: len(source)]
    norms = [float(np.linalg.norm(each)) for each in (by_label, reversed_at_source)]
    cosine = float((by_label * reversed_at_source).sum() / (norms[0] * norms[1])) if all(norms) else None
    return FeatureGradients(norms[0], float(np.linalg.norm(by_domain)), cosine)


def present_strength(model: DomainAdaptationModel) -> float:
    """The factor on the reversed gradient at the model's step: of its schedule, times what a back-off has left."""
    objective = model.objectives[0]
    progress = min(int(model.step.value) / max(int(model.horizon.value), 1), 1.0)
    strength = ops.convert_to_numpy(objective.strength(ops.convert_to_tensor(progress, dtype="float32")))
    return float(strength) * float(objective.strength_scale.value)
