"""The figures that the image experiments share."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from flipgrad import data, plots
from flipgrad.data.samples import Samples
from flipgrad.models import DomainAdaptationModel
from flipgrad.runs import Run
from flipgrad.saving import load
from flipgrad.scoring import features_of


def draw_images_and_curves(folder: Run, source: Samples, target: Samples) -> None:
    """Training images of both domains, and ``draw_curves``."""
    for name, samples in (("source", source), ("target", target)):
        title = f"{name} domain, training images"
        grid = plots.image_grid(samples.x[:32], samples.y[:32], title=title)
        folder.save_figure(f"{name}_images", grid)
    draw_curves(folder)


def draw_curves(folder: Run) -> None:
    """Every logged number, and the accuracy of each mode and seed that has one."""
    logged = [value for history in folder.histories.values() for values in history.values() for value in values]
    if any(value is not None and math.isfinite(value) for value in logged):
        folder.save_figure("curves", plots.curves(folder.histories))
    names = ("source_accuracy", "target_accuracy")
    scored = [row for row in folder.rows if any(row.get(name) is not None for name in names)]
    if scored:
        folder.save_figure("accuracy", plots.accuracy_bars(scored))


def draw_adaptation(
    folder: Run,
    source: Samples,
    target: Samples,
    modes: tuple[str, ...],
    seed: int,
    untrained: Callable[[], Any],
    count: int = 500,
) -> None:
    """t-SNE and PCA of test features before and after ``dann``, digits as marks, coloured by domain.

    "Before" is the source-only model where the run has one, else ``untrained()``.  Nothing is drawn where one of
    them diverged.
    """
    compared = [mode for mode in ("source", "dann") if mode in modes]
    if "dann" not in modes or not all(folder.model_path(mode, seed).exists() for mode in compared):
        return
    images, labels, domains = data.mixed_test_set(source, target, count=count)
    after = load(folder.model_path("dann", seed))
    if "source" in modes:
        before, title = load(folder.model_path("source", seed)), "before: source only"
    else:
        before, title = untrained(), "before: untrained"
    features_before, features_after = (_features(model, images, domains) for model in (before, after))
    for name, project in (("tsne", plots.tsne), ("pca", plots.pca)):
        figure = plots.before_after(
            project(features_before),
            project(features_after),
            labels,
            domains,
            titles=(title, "after: dann"),
            digits_as_marks=True,
        )
        folder.save_figure(name, figure)


def _features(model: DomainAdaptationModel, images: np.ndarray, domains: np.ndarray) -> np.ndarray:
    """Features in the order of the images, each by the statistics of its domain (0 source, 1 target)."""
    source, target = (features_of(model, images[domains == d], name) for d, name in enumerate(("source", "target")))
    features = np.empty((len(images), source.shape[1]), source.dtype)
    features[domains == 0], features[domains == 1] = source, target
    return features
