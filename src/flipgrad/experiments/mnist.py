"""MNIST -> MNIST-M, as the seed ran it (preset ``seed``) and as the paper did (preset ``paper``)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras

from flipgrad import data, networks, recording, training, training_runs
from flipgrad._comparison_text import save_comparison
from flipgrad.data.samples import Splits
from flipgrad.experiments._figures import draw_adaptation, draw_images_and_curves
from flipgrad.models import DANN, DomainAdaptationModel
from flipgrad.runs import Run
from flipgrad.schedules import InverseDecay
from flipgrad.scoring import evaluate

MODES = ("source", "dann", "target")


@dataclass(frozen=True)
class Settings:
    """Everything that can change a result.  ``PRESETS`` holds the named ones.

    Attributes:
        seeds: of weights and batches.
        modes: of ``MODES``.
        steps: training steps.
        batch_size: rows of each domain in a step of ``dann``.
        single_batch_size: rows in a step of ``source`` and ``target``.
        binarise: source digits as 0 and 255.
        target: ``"generated"`` or ``"official"`` MNIST-M.
        weights: initialiser style, see ``networks.mnist_encoder``.
        padding: of the convolutions.
        divisor: of the centred pixels.
        learning_rate: the paper's mu0, decayed over the run.
        momentum: of the gradient descent.
        clip_norm: largest norm of each weight's gradient, None for no clipping.
        ema_momentum: of the running mean of the weights over the steps, which is the trained model; None for the
            weights of the last step.
        precision: Keras dtype policy.
    """

    preset: str = "seed"
    seeds: tuple[int, ...] = (0,)
    modes: tuple[str, ...] = MODES
    steps: int = 8600
    batch_size: int = 32
    single_batch_size: int = 64
    binarise: bool = True
    target: str = "generated"
    weights: str = "truncated-normal"
    padding: str = "same"
    divisor: float = 255.0
    learning_rate: float = 0.01
    momentum: float = 0.9
    clip_norm: float | None = None
    ema_momentum: float | None = None
    precision: str = "float32"
    steps_per_execution: int = 20


PRESETS = {
    "seed": Settings(),
    # 20 passes over 60,000 digits in batches of 64; the paper's network has no padding.  Pixels are divided by about
    # their standard deviation.
    "paper": Settings(
        preset="paper",
        steps=18_760,
        batch_size=64,
        binarise=False,
        target="official",
        weights="fan-in",
        padding="valid",
        divisor=80.0,
        ema_momentum=0.999,
    ),
}


def run(
    settings: Settings,
    out: Path,
    *,
    data_dir: Path | None = None,
    resume: bool = False,
    reporter: training.Reporter | None = None,
) -> list[dict[str, Any]]:
    """Trains every mode with every seed and writes the run folder ``out``.

    Returns:
        The rows of ``results.json``.
    """
    reporter = reporter or training.Reporter()
    reporter.line("Reading MNIST and MNIST-M")
    source, target = load_domains(settings, data_dir)
    sums = data.checksums(
        {
            "source_train": source.train.x,
            "target_train": target.train.x,
            "target_test": target.test.x,
        }
    )
    config = training_runs.run_config("mnist", asdict(settings), sums)
    with Run.create(out, config, resume=resume, report=reporter.line) as folder:
        if folder.done:
            return folder.rows
        for mode, seed in training_runs.unfinished(folder, settings.seeds, settings.modes):
            with training.seeded(seed, settings.precision):
                train_one(settings, mode, seed, source, target, folder, reporter)
        reporter.line("Drawing the figures")
        draw_images_and_curves(folder, source.train, target.train)
        mean = data.channel_mean(source.train.x, target.train.x)
        seed = settings.seeds[0]
        draw_adaptation(
            folder,
            source.test,
            target.test,
            settings.modes,
            seed,
            untrained=lambda: build(settings, "dann", mean),
        )
        save_comparison(folder)
        folder.finish()
        return folder.rows


def load_domains(settings: Settings, data_dir: Path | None) -> tuple[Splits, Splits]:
    """Source and target as uint8 ``(n, 28, 28, 3)``, 0 to 255."""
    mnist = data.mnist(data_dir)
    digits = [data.binarise(s.x) if settings.binarise else s.x for s in (mnist.train, mnist.test)]
    train, test = (data.Samples(data.to_rgb(x), s.y) for x, s in zip(digits, (mnist.train, mnist.test), strict=True))
    if settings.target == "official":
        target = data.mnist_m.official(data_dir, size=28)
    else:
        target = data.mnist_m.generated(data_dir, seed=0)
    return Splits(train, None, test), target


def build(settings: Settings, mode: str, mean: Any) -> DomainAdaptationModel:
    """The seed's networks, with a discriminator in mode ``dann``."""
    weights = settings.weights
    encoder = networks.mnist_encoder(mean, weights=weights, padding=settings.padding, divisor=settings.divisor)
    classifier = networks.mnist_classifier(weights=weights)
    if mode == "dann":
        return DANN(encoder, classifier, networks.mnist_discriminator(weights))
    return DomainAdaptationModel(encoder, classifier)


def training_of(
    settings: Settings, mode: str, seed: int, labelled: tuple[Any, Any], target: Any, mean: Any
) -> training.Training:
    """One mode with one seed, on ``(x, y)`` of one domain and, in mode ``dann``, ``x`` of the target.

    ``mean`` is the pixel that the network subtracts.
    """
    optimizer = keras.optimizers.SGD(
        InverseDecay(settings.steps, settings.learning_rate),
        momentum=settings.momentum,
        clipnorm=settings.clip_norm,
        use_ema=settings.ema_momentum is not None,
        ema_momentum=settings.ema_momentum or 0.0,  # read with use_ema only
    )
    return training.Training(
        model=build(settings, mode, mean),
        source=labelled,
        target=target if mode == "dann" else None,
        optimizer=optimizer,
        batch_size=settings.batch_size if mode == "dann" else settings.single_batch_size,
        steps=settings.steps,
        log_every=training.log_interval(settings.steps),
        steps_per_execution=settings.steps_per_execution,
        seed=seed,
    )


def train_one(
    settings: Settings,
    mode: str,
    seed: int,
    source: Splits,
    target: Splits,
    folder: Run,
    reporter: training.Reporter,
) -> None:
    """Trains one mode with one seed and writes its model, history and row."""
    mean = data.channel_mean(source.train.x, target.train.x)
    labelled = target.train if mode == "target" else source.train
    job = training_of(settings, mode, seed, (labelled.x, labelled.y), target.train.x, mean)
    record = recording.sample(source.test, (target.test.x,), range(10), target_y=target.test.y)
    training_runs.train_and_record(
        job, mode, folder, reporter, lambda: evaluate(job.model, source.test, target.test), record
    )
