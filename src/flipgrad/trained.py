"""A finished ``adapt`` run, opened to predict: its data format, its classes and its model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from flipgrad._run_files import key_of
from flipgrad._run_state import lacking, resume_command, trainings
from flipgrad.errors import InputError
from flipgrad.inputs import InputFormat
from flipgrad.picking import name_of, read_pick
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
    def open(cls, path: Path, training: str | None = None) -> Trained:
        """Opens the folder of a finished run; nothing of it is executed and no model is loaded yet.

        Args:
            path: the folder.
            training: "MODE-SEED"; None for the only one or, of several, the one that was picked.

        Raises:
            InputError: not such a run, one that is not done or lacks a result or model, or one that diverged; no such
                training, or none picked.
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
        row = _row(run, training)
        if row.get("diverged") is not None:
            raise InputError(
                f"{path}: its training {name_of(row)} diverged at step {row['diverged']}, so it has no model; train "
                "again with a smaller --learning-rate or --strength, into another --out"
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


def _row(run: Run, training: str | None) -> dict[str, Any]:
    """The row of the training that is meant: the only one, the one that was picked, or that of this name."""
    wanted = set(trainings(run.config))
    by_name = {name_of(row): row for row in run.rows if key_of(row) in wanted}
    names = ", ".join(by_name)
    if not by_name:
        raise InputError(f"{run.path}/config.json: expected the settings of a run of adapt, found others; restore it")
    if training is not None:
        if training not in by_name:
            raise InputError(f"--training: expected one of {names}, received {training!r:.200}; choose one of these")
        return by_name[training]
    if len(by_name) == 1:
        return next(iter(by_name.values()))
    pick = read_pick(run)
    if pick is None or pick.picked not in by_name:
        why = f" ({pick.reason})" if pick and pick.reason else ""
        raise InputError(f"{run.path}: none of its trainings was picked{why}; choose one with --training: {names}")
    return by_name[pick.picked]


def check_predictor(predictor: Any, shape: tuple[int, ...], classes: int, path: Path) -> None:
    """Raises InputError unless the predictor of the file ``path`` takes rows of ``shape`` and knows so many classes."""
    expected = ((None, *shape), (None, classes))
    if predictor is None or (predictor.input_shape, predictor.output_shape) != expected:
        raise InputError(
            f"{path}: expected a model of rows {shape} and {classes} classes, found another: config.json and the "
            "model do not belong together; restore the folder"
        )


def probabilities(
    predictor: keras.Model, x: Any, rows: int = 256, progress: Callable[[int], None] | None = None
) -> np.ndarray:
    """Class probabilities of rows in any number, a few at a time: float32 ``(rows, classes)``.

    After each batch ``progress`` is called with the number of rows done.
    """
    from flipgrad.scoring import outputs

    return outputs(lambda batch: predictor(batch, training=False), x, rows, progress)
