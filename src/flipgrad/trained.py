"""A finished ``adapt`` run, opened to predict: its data format, its classes and its model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from flipgrad._run_files import key_of
from flipgrad._run_state import lacking, resume_command, trainings
from flipgrad.errors import InputError
from flipgrad.inputs import InputFormat
from flipgrad.runs import Run

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Trained:
    """What a run has to say about new rows.

    Attributes:
        run: its folder, open for reading.
        form: how files become rows, and the classes.
        model_path: the saved model.
    """

    run: Run
    form: InputFormat
    model_path: Path

    @classmethod
    def open(cls, path: Path) -> Trained:
        """Opens the folder of a finished run; nothing of it is executed and no model is loaded yet.

        Raises:
            InputError: not such a run, one that is not done or lacks its result or model, or one that diverged.
        """
        run = Run.open(path)
        if run.config.get("experiment") != "adapt" or "input" not in run.config:
            found = run.config.get("experiment", "nothing")
            raise InputError(
                f"{path}: expected a run of flipgrad adapt, found one of {found!r:.200}; choose another folder"
            )
        if not run.done:
            raise InputError(f"{path}: the run is not done; finish it with: {resume_command(path, run.config)}")
        if missing := lacking(run):
            raise InputError(missing)
        key = next(trainings(run.config), None)
        row = next((row for row in run.rows if key_of(row) == key), None)
        if row is None:
            raise InputError(f"{path}/config.json: expected the settings of a run of adapt, found others; restore it")
        if row.get("diverged") is not None:
            raise InputError(
                f"{path}: its training diverged at step {row['diverged']}, so it has no model; train again with a "
                "smaller --learning-rate or --strength, into another --out"
            )
        try:
            form = InputFormat.from_dict(run.config["input"])
        except InputError as error:
            raise InputError(f"{path}/config.json: {error}") from None
        return cls(run, form, run.model_path(row["mode"], row["seed"]))

    def predictor(self) -> keras.Model:
        """The model, raw rows -> class probabilities; Keras is imported here.

        Raises:
            InputError: no model of flipgrad, or one of other rows or classes than ``form``.
        """
        from flipgrad.models import DomainAdaptationModel
        from flipgrad.saving import load

        model = load(self.model_path)
        predictor = model.predictor if isinstance(model, DomainAdaptationModel) else None
        check_predictor(predictor, self.form.shape, len(self.form.classes), self.model_path)
        return predictor


def check_predictor(predictor: Any, shape: tuple[int, ...], classes: int, path: Path) -> None:
    """Raises InputError unless the predictor of the file ``path`` takes rows of ``shape`` and knows so many classes."""
    expected = ((None, *shape), (None, classes))
    if predictor is None or (predictor.input_shape, predictor.output_shape) != expected:
        raise InputError(
            f"{path}: expected a model of rows {shape} and {classes} classes, found another: config.json and the "
            "model do not belong together; restore the folder"
        )


def probabilities(predictor: keras.Model, x: Any, rows: int = 256) -> np.ndarray:
    """Class probabilities of rows in any number, a few at a time: float32 ``(rows, classes)``."""
    from flipgrad.scoring import outputs

    return outputs(lambda batch: predictor(batch, training=False), x, rows)
