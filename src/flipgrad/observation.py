"""What a model makes of rows of both domains: all that the health checks, the scores and the report look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from flipgrad.errors import InputError

if TYPE_CHECKING:
    from flipgrad.models import DomainAdaptationModel

_BATCH = 500  # rows at once


@dataclass(frozen=True)
class View:
    """What a model makes of the rows of one domain.

    Attributes:
        features: of the encoder, float32 ``(rows, n)``.
        logits: of the classifier, float32 ``(rows, classes)``.
        domain_logits: of the discriminator, float32 ``(rows,)``, greater than 0 for the target; None without one.
    """

    features: np.ndarray
    logits: np.ndarray
    domain_logits: np.ndarray | None = None


@dataclass(frozen=True)
class Observation:
    """What a model makes of rows of both domains, at one moment.  It has no place for labels of the target.

    Attributes:
        source: the view of the labelled domain.
        target: the view of the unlabelled domain.
        source_labels: class numbers, int ``(rows,)``.
    """

    source: View
    target: View
    source_labels: np.ndarray


def observe(
    model: DomainAdaptationModel, source: tuple[Any, Any], target: Any, *, training: bool = False
) -> Observation:
    """What ``model`` makes of rows that it was not trained on.

    Args:
        model: trained or not.
        source: ``(x, y)``, raw rows and class numbers.
        target: raw rows, without labels.
        training: as in any layer; 500 rows of a domain are normalised together.

    Raises:
        InputError: a domain without rows.
    """
    x, y = source
    views = [_view(model, rows, domain, training) for rows, domain in ((x, "source"), (target, "target"))]
    return Observation(views[0], views[1], np.asarray(y))


def _view(model: DomainAdaptationModel, x: Any, domain: str, training: bool) -> View:
    if not len(x):
        raise InputError(f"Argument `{domain}`: expected at least one row, received none; hold out some.")
    parts = [_view_of_batch(model, x[i : i + _BATCH], domain, training) for i in range(0, len(x), _BATCH)]
    features, logits, domain_logits = zip(*parts, strict=True)
    return View(
        np.concatenate(features), np.concatenate(logits), np.concatenate(domain_logits) if model.objectives else None
    )


def _view_of_batch(model: DomainAdaptationModel, x: Any, domain: str, training: bool) -> tuple[Any, Any, Any]:
    features = model.encode(x, domain, training=training)
    logits = _rows(model.classifier(features, training=training))
    if not model.objectives:
        return _rows(features), logits, None
    domain_logits = _rows(model.objectives[0].discriminator(features, training=training))
    if domain_logits.shape[1] == 2:
        return _rows(features), logits, domain_logits[:, 1] - domain_logits[:, 0]
    return _rows(features), logits, domain_logits[:, 0]


def _rows(values: Any) -> np.ndarray:
    """A tensor of any backend as float32 ``(rows, n)``."""
    import keras  # not above: the page is made of views without it

    array = np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(values, "float32")))
    return array.reshape(len(array), -1)
