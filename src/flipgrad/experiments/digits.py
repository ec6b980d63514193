"""Handwritten digits -> the same writers' digits before photographs: the embedded example, works offline."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras

from flipgrad import data, networks, recording, training, training_runs
from flipgrad._comparison_text import save_comparison
from flipgrad.data.samples import DomainPair, Samples
from flipgrad.experiments._figures import draw_adaptation, draw_images_and_curves
from flipgrad.models import DANN, DomainAdaptationModel
from flipgrad.runs import Run
from flipgrad.schedules import InverseDecay, Ramp
from flipgrad.scoring import evaluate

MODES = ("source", "dann", "target")


@dataclass(frozen=True)
class Settings:
    """Everything that can change a result; found on the validation split (``split="validation"``).

    Attributes:
        seeds: of weights and batches; the data set is the same for all.
        modes: of ``MODES``.
        steps: training steps.
        batch_size: rows of each domain in a step.
        learning_rate: the paper's mu0, decayed over the run.
        momentum: of the gradient descent.
        strength: the end of the paper's ramp.
        passes: of ``DomainAdaptationModel``; separate, because of the batch normalization.
        split: ``"test"`` or ``"validation"``: what the scores are computed on.
        precision: Keras dtype policy.
        steps_per_execution: steps in one graph loop (TensorFlow).
    """

    preset: str = "default"
    seeds: tuple[int, ...] = (0,)
    modes: tuple[str, ...] = MODES
    steps: int = 1500
    batch_size: int = 64
    learning_rate: float = 0.01
    momentum: float = 0.9
    strength: float = 0.3
    passes: str = "separate"
    split: str = "test"
    precision: str = "float32"
    steps_per_execution: int = 20


PRESETS = {"default": Settings()}


def run(
    settings: Settings,
    out: Path,
    *,
    data_dir: Path | None = None,
    resume: bool = False,
    reporter: training.Reporter | None = None,
) -> list[dict[str, Any]]:
    """Trains every mode with every seed and writes the run folder ``out``.  ``data_dir`` is not used.

    Returns:
        The rows of ``results.json``.
    """
    reporter = reporter or training.Reporter()
    pair = data.digits(seed=0)
    sums = data.checksums({"source_train": pair.source.train.x, "target_train": pair.target.train.x})
    config = training_runs.run_config("digits", asdict(settings), sums)
    with Run.create(out, config, resume=resume, report=reporter.line) as folder:
        if folder.done:
            return folder.rows
        for mode, seed in training_runs.unfinished(folder, settings.seeds, settings.modes):
            with training.seeded(seed, settings.precision):
                train_one(settings, mode, seed, pair, folder, reporter)
        reporter.line("Drawing the figures")
        draw_images_and_curves(folder, pair.source.train, pair.target.train)
        draw_adaptation(
            folder,
            *scored(settings, pair),
            settings.modes,
            settings.seeds[0],
            untrained=lambda: build(settings, "dann"),
            count=300,
        )
        save_comparison(folder)
        folder.finish()
        return folder.rows


def build(settings: Settings, mode: str) -> DomainAdaptationModel:
    """A small convolutional network, with a discriminator in mode ``dann``."""
    encoder, classifier = networks.digits_encoder(), networks.digits_classifier()
    if mode != "dann":
        return DomainAdaptationModel(encoder, classifier)
    return DANN(encoder, classifier, strength=Ramp(maximum=settings.strength), passes=settings.passes)


def scored(settings: Settings, pair: DomainPair) -> tuple[Samples, Samples]:
    """The held-out rows of both domains that the scores are computed on."""
    return getattr(pair.source, settings.split), getattr(pair.target, settings.split)


def training_of(settings: Settings, mode: str, seed: int, labelled: tuple[Any, Any], target: Any) -> training.Training:
    """One mode with one seed, on ``(x, y)`` of one domain and, in mode ``dann``, ``x`` of the target."""
    return training.Training(
        model=build(settings, mode),
        source=labelled,
        target=target if mode == "dann" else None,
        optimizer=keras.optimizers.SGD(
            InverseDecay(settings.steps, settings.learning_rate), momentum=settings.momentum
        ),
        batch_size=settings.batch_size,
        steps=settings.steps,
        log_every=training.log_interval(settings.steps),
        steps_per_execution=settings.steps_per_execution,
        seed=seed,
    )


def train_one(
    settings: Settings,
    mode: str,
    seed: int,
    pair: DomainPair,
    folder: Run,
    reporter: training.Reporter,
) -> None:
    """Trains one mode with one seed and writes its model, history and row."""
    labelled = pair.target.train if mode == "target" else pair.source.train
    job = training_of(settings, mode, seed, labelled, pair.target.train.x)
    source, target = scored(settings, pair)
    record = recording.sample(source, (target.x,), range(10), target_y=target.y)
    training_runs.train_and_record(job, mode, folder, reporter, lambda: evaluate(job.model, source, target), record)
