"""The trainings of a run that nobody has looked at yet are looked at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from flipgrad import recording
from flipgrad.errors import InputError
from flipgrad.health.measures import Measures
from flipgrad.health.measuring import measure
from flipgrad.health.records import Key
from flipgrad.models import DomainAdaptationModel
from flipgrad.recording import Inputs
from flipgrad.runs import Run
from flipgrad.saving import load


def examine(run: Run, known: Mapping[Key, Measures], report: Callable[[str], None]) -> dict[Key, Measures]:
    """The measures of every training of ``results.json``: those that are known, and of the others from their models.

    Args:
        run: open for reading.
        known: what ``health.json`` has.
        report: called with a line for each model that is looked at.

    Raises:
        InputError: no rows to look at, a model that is missing or does not fit them.
    """
    found = dict(known)
    for row in run.rows:
        key = (row["mode"], row["seed"])
        if key in found:
            continue
        if row.get("diverged") is not None:
            found[key] = Measures(finite=False)
            continue
        report(f"Looking at {key[0]}, seed {key[1]}")
        measures = _of_model(run.model_path(*key), run.observation_path("inputs"))
        if measures is not None:
            found[key] = measures
    return found


def _of_model(path: Path, rows: Path) -> Measures | None:
    """The measures of a model; None of one whose classifier is not trained."""
    if not rows.is_file():
        raise InputError(
            f"{rows}: missing: the run has no held-out rows to look at; restore the folder or train on more rows"
        )
    inputs: Inputs = recording.read(rows, Inputs)
    model = load(path)
    if not isinstance(model, DomainAdaptationModel):
        raise InputError(f"{path}: expected a model that flipgrad trained, found another; restore the folder")
    if not model.classification_weight:
        return None
    try:
        return measure(model, (inputs.source_x, inputs.source_y), inputs.target_x)
    except (TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path}: does not fit the rows of {rows} ({error!s:.150}); restore the folder") from None
