"""Held-out rows of both domains, at which callbacks, health checks and selection look: checked once, kept as arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from flipgrad._checks import described
from flipgrad.data._streams import as_arrays, check_parts
from flipgrad.errors import InputError
from flipgrad.models import DomainAdaptationModel
from flipgrad.observation import class_numbers, evenly, missing_in, observe, rows_in, take


def held_out(source: Any, target: Any) -> tuple[tuple[Any, Any], Any]:
    """``((x, y), target)`` as arrays, or dicts of arrays; what is on disk stays there.

    Raises:
        InputError: no ``(x, y)``, no rows, other rows than labels, numbers that are none, a target with labels.
    """
    if not isinstance(source, (tuple, list)) or len(source) != 2:
        raise InputError(
            "Argument `source`: expected (x, y), held-out rows of the source and as many class numbers, received "
            f"{described(source)}; hold out some rows."
        )
    if isinstance(target, (tuple, list)):
        raise InputError(
            f"Argument `target`: expected an array of rows without labels, received {described(target)}; leave the "
            "labels out: nothing here may see them."
        )
    if isinstance(source[1], dict):
        raise InputError("Argument `source`, y: expected class numbers, received a dict; give one array.")
    x, y = (_arrays(part, f"Argument `source`, {name}") for part, name in zip(source, "xy", strict=True))
    rows = _arrays(target, "Argument `target`")
    check_parts((x, y), "source", allow_missing=True)
    check_parts((rows,), "target", allow_missing=True)
    return (x, y), rows


def _arrays(part: Any, where: str) -> Any:
    arrays = as_arrays(part)
    for array in arrays.values() if isinstance(arrays, dict) else [arrays]:
        if array.ndim == 0:
            raise InputError(f"{where}: expected an array of held-out rows, received {described(part)}; give one.")
    return arrays


def spaced(x: Any, count: int) -> Any:
    """So many rows at most, evenly spaced over all: they may be sorted by class."""
    return take(x, evenly(rows_in(x), count))


def expect_model(model: Any, who: str) -> None:
    """Raises InputError unless the model is one of ours."""
    if not isinstance(model, DomainAdaptationModel):
        raise InputError(
            f"{who}: expected a DomainAdaptationModel, received {described(model)}; make one of its encoder and its "
            "classifier."
        )


def check_taken(model: Any, source: tuple[Any, Any], target: Any, who: str) -> None:
    """Raises InputError unless the model is one of ours that takes such rows and has such classes.

    A row or two of each domain are looked at: the first, and the first with NaN where there are any.
    """
    expect_model(model, who)
    (x, y), rows = source, _telling(source[0])
    try:
        seen = observe(model, (take(x, rows), y[rows]), take(target, _telling(target)))
    except InputError:
        raise
    except Exception as error:  # what Keras and the backends raise has many classes and many lines
        lines = [line for line in str(error).splitlines() if line.strip() and not line.startswith("Exception enc")]
        said = (lines or [type(error).__name__])[0].strip()
        raise InputError(
            f"{who}: the model does not take the held-out rows ({said:.200}); give rows as those that it is trained on."
        ) from error
    class_numbers(y, np.broadcast_to(seen.source.logits[:1], (len(y), seen.source.logits.shape[1])))


def _telling(x: Any) -> NDArray[np.int64]:
    missing = missing_in(x)
    return np.unique([missing.argmin(), missing.argmax()])
