"""What a model makes of rows of both domains: all that the health checks, the scores and the report look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from flipgrad.errors import InputError
from flipgrad.scores._checks import labels_of

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


def rows_in(x: Any) -> int:
    """The number of rows of an array, or of a dict of arrays."""
    return len(next(iter(x.values())) if isinstance(x, dict) else x)


def take(x: Any, rows: Any) -> Any:
    """The rows of these numbers, or this slice, of an array or of each of a dict of arrays."""
    return {name: array[rows] for name, array in x.items()} if isinstance(x, dict) else x[rows]


def evenly(rows: int, count: int) -> NDArray[np.int64]:
    """So many of the numbers 0 to ``rows - 1`` at most, ascending and evenly spaced."""
    return np.linspace(0, rows - 1, min(rows, count)).astype(np.int64)


def class_numbers(labels: Any, logits: np.ndarray) -> NDArray[np.int64]:
    """Labels ``(rows,)``, ``(rows, 1)`` or one-hot, all of which Keras takes, as class numbers int64 ``(rows,)``.

    Raises:
        InputError: something else, another number of rows, or a class that the logits do not have.
    """
    array = np.asarray(labels)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    elif array.shape == logits.shape and array.dtype.kind in "biuf" and (array.sum(axis=1) == 1).all():
        array = array.argmax(axis=1)
    return labels_of(array, logits)


def observe(
    model: DomainAdaptationModel, source: tuple[Any, Any], target: Any, *, training: bool = False
) -> Observation:
    """What ``model`` makes of rows that it was not trained on.

    Args:
        model: trained or not.
        source: ``(x, y)``, raw rows (an array, or a dict of arrays) and class numbers as ``class_numbers`` takes them.
        target: raw rows, without labels.
        training: as in any layer; 500 rows of a domain are normalised together.

    Raises:
        InputError: a domain without rows, labels that are no class numbers, NaN in some of the rows of which the model
            makes NaN.
    """
    x, y = source
    views = [_view(model, rows, domain, training) for rows, domain in ((x, "source"), (target, "target"))]
    return Observation(views[0], views[1], class_numbers(y, views[0].logits))


def _view(model: DomainAdaptationModel, x: Any, domain: str, training: bool) -> View:
    count = rows_in(x)
    if not count:
        raise InputError(f"Argument `{domain}`: expected at least one row, received none; hold out some.")
    batches = [take(x, slice(i, i + _BATCH)) for i in range(0, count, _BATCH)]
    features, logits, domain_logits = zip(*(_view_of_batch(model, x, domain, training) for x in batches), strict=True)
    _refuse_missing(x, ~np.isfinite(np.concatenate(logits)).all(axis=1), domain)
    return View(
        np.concatenate(features), np.concatenate(logits), np.concatenate(domain_logits) if model.objectives else None
    )


def _refuse_missing(x: Any, bad: NDArray[np.bool_], domain: str) -> None:
    """Raises where the rows of which the model makes no numbers are those that have NaN: it has not diverged."""
    if not bad.any() or bad.all():
        return
    if np.array_equal(bad, missing_in(x)):
        raise InputError(
            f"Argument `{domain}`: expected rows that the model takes, received some with NaN or infinity, of which it "
            "makes NaN; remove or fill them."
        )


def missing_in(x: Any) -> NDArray[np.bool_]:
    """Which rows of an array, or of a dict of arrays, have NaN or infinity; none of those that are on disk."""
    found = np.zeros(rows_in(x), bool)
    for array in x.values() if isinstance(x, dict) else [x]:
        if isinstance(array, np.ndarray) and not isinstance(array, np.memmap) and array.dtype.kind == "f":
            found |= ~np.isfinite(array.reshape(len(array), -1)).all(axis=1)
    return found


def _view_of_batch(model: DomainAdaptationModel, x: Any, domain: str, training: bool) -> tuple[Any, Any, Any]:
    features = model.encode(x, domain, training=training)
    logits = _rows(model.classifier(features, training=training))
    if not model.objectives:
        return _rows(features), logits, None
    domain_logits = _rows(model.objectives[0].discriminator(features, training=training))
    return _rows(features), logits, domain_logits[:, -1] - (domain_logits[:, 0] if domain_logits.shape[1] == 2 else 0)


def _rows(values: Any) -> np.ndarray:
    """A tensor of any backend as float32 ``(rows, n)``."""
    import keras  # not above: the page is made of views without it

    array = np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(values, "float32")))
    return array.reshape(len(array), -1)
