"""The seed's toy: two classes of points in the plane, a moved target, and what a reversed gradient does to it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from sklearn.neighbors import NearestNeighbors

from flipgrad import data, networks, plots, recording, training, training_runs
from flipgrad._comparison_text import save_comparison
from flipgrad.experiments._figures import draw_curves
from flipgrad.models import DomainAdaptationModel
from flipgrad.objectives import DomainAdversarial
from flipgrad.runs import Run
from flipgrad.saving import load
from flipgrad.scoring import evaluate, outputs

MODES = ("domain", "source", "dann", "dann-deep")


@dataclass(frozen=True)
class Settings:
    """Everything that can change a result.

    Attributes:
        seeds: each draws the points, the weights and the batches.
        modes: of ``MODES``: ``domain`` trains the discriminator with the encoder's help (strength -1, no class
            labels), ``source`` the classifier alone, ``dann`` both, ``dann-deep`` with the discriminator 15-8-2.
        steps: training steps.
        batch_size: rows of each domain in a step.
        classification_weight: of ``dann``.  The seed sums its losses over the rows of a batch, 8 class terms and
            16 domain terms; ours are means, so the same ratio is one half (Adam ignores a common factor).
        learning_rate: of Adam.
        precision: Keras dtype policy.
        steps_per_execution: steps in one graph loop (TensorFlow).
        jit_compile: compile the step with XLA (TensorFlow), which halves the time of one so small.
    """

    preset: str = "seed"
    seeds: tuple[int, ...] = (0,)
    modes: tuple[str, ...] = MODES
    steps: int = 10_000
    batch_size: int = 8
    classification_weight: float = 0.5
    learning_rate: float = 0.001
    precision: str = "float32"
    steps_per_execution: int = 100
    jit_compile: bool = True


PRESETS = {"seed": Settings()}
_OBSERVED = 2**32  # the seed of the points that are looked at while training: no training has it


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
        The rows of ``results.json``; besides the usual columns ``merged``, see ``merged_share``.
    """
    reporter = reporter or training.Reporter()
    config = training_runs.run_config("blobs", asdict(settings), {"code": "drawn from the seed"})
    with Run.create(out, config, resume=resume, report=reporter.line) as folder:
        if folder.done:
            return folder.rows
        for mode, seed in training_runs.unfinished(folder, settings.seeds, settings.modes):
            with training.seeded(seed, settings.precision):
                train_one(settings, mode, seed, folder, reporter)
        reporter.line("Drawing the figures")
        draw(settings, folder)
        save_comparison(folder)
        folder.finish()
        return folder.rows


def build(settings: Settings, mode: str) -> DomainAdaptationModel:
    """The seed's networks with the objective of ``mode``."""
    encoder, classifier = networks.blobs_encoder(), networks.blobs_classifier()
    if mode == "source":
        return DomainAdaptationModel(encoder, classifier)
    discriminator = networks.blobs_discriminator(deep=mode == "dann-deep")
    if mode == "domain":
        objective = DomainAdversarial(discriminator, strength=-1.0)
        return DomainAdaptationModel(encoder, classifier, [objective], classification_weight=0)
    return DomainAdaptationModel(
        encoder,
        classifier,
        [DomainAdversarial(discriminator)],
        classification_weight=settings.classification_weight,
    )


def training_of(settings: Settings, mode: str, seed: int, source: tuple[Any, Any], target: Any) -> training.Training:
    """The training of one mode with one seed, on ``(x, y)`` of the source and ``x`` of the target."""
    model = build(settings, mode)
    return training.Training(
        model=model,
        source=source,
        target=target if model.objectives else None,
        optimizer=keras.optimizers.Adam(settings.learning_rate),
        batch_size=settings.batch_size,
        steps=settings.steps,
        log_every=training.log_interval(settings.steps),
        steps_per_execution=settings.steps_per_execution,
        seed=seed,
        jit_compile=settings.jit_compile,
    )


def train_one(settings: Settings, mode: str, seed: int, folder: Run, reporter: training.Reporter) -> None:
    """Trains one mode with one seed and writes its model, history and row."""
    source, target = data.blobs(seed)
    job = training_of(settings, mode, seed, source, target.x)
    model = job.model

    def score() -> dict[str, Any]:
        scores = evaluate(model, source, target)
        if mode == "domain":  # nothing trained the classifier
            scores.update(source_accuracy=None, target_accuracy=None, target_recall=None, collapsed=None)
        features = [outputs(model.encoder, points.x) for points in (source, target)]
        return {**scores, "merged": merged_share(features[0], features[1])}

    training_runs.train_and_record(job, mode, folder, reporter, score, record=observed())


def observed() -> recording.Inputs | None:
    """Points that no training sees, the same for all."""
    source, target = data.blobs(_OBSERVED)
    return recording.sample(source, (target.x,), ["0", "1"], target_y=target.y)


def merged_share(source: np.ndarray, target: np.ndarray, neighbours: int = 10) -> float:
    """The mean share of target points among the nearest features of each source point.

    Args:
        source: features ``(n, d)``.
        target: features ``(m, d)``.
        neighbours: how many nearest features, the point itself left out.

    Returns:
        0.0 where the domains lie apart, about ``m / (n + m - 1)`` where they are mixed.
    """
    index = NearestNeighbors(n_neighbors=neighbours).fit(np.concatenate([source, target]))
    # Without an argument each fitted point's own neighbours are given, itself left out.
    nearest = index.kneighbors(return_distance=False)[: len(source)]
    return float((nearest >= len(source)).mean())


def draw(settings: Settings, folder: Run) -> None:
    """The points, the PCA of the first seed's features in each mode, the curves and the accuracies."""
    seed = settings.seeds[0]
    source, target = data.blobs(seed)
    points = plots.scatter(source.x, source.y, target.x, target.y, title=f"blobs, seed {seed}")
    folder.save_figure("blobs", points)
    both = np.concatenate([source.x, target.x])
    labels = np.concatenate([source.y, target.y])
    domains = np.repeat([0, 1], [len(source.x), len(target.x)])
    for mode in settings.modes:
        if not folder.model_path(mode, seed).exists():  # it diverged
            continue
        features = outputs(load(folder.model_path(mode, seed)).encoder, both)
        figure = plots.embedding(plots.pca(features), labels, domains, title=f"PCA of the features, {mode}")
        folder.save_figure(f"pca_{mode}", figure)
    draw_curves(folder)
