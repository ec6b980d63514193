"""The figures that the image experiments share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flipgrad import data, plots
from flipgrad.data.samples import Samples
from flipgrad.experiments._training import outputs
from flipgrad.runs import Run
from flipgrad.saving import load


def draw_images_and_curves(folder: Run, source: Samples, target: Samples) -> None:
    """Training images of both domains, every logged number, and the accuracy of each mode and seed."""
    for name, samples in (("source", source), ("target", target)):
        title = f"{name} domain, training images"
        grid = plots.image_grid(samples.x[:32], samples.y[:32], title=title)
        folder.save_figure(f"{name}_images", grid)
    folder.save_figure("curves", plots.curves(folder.histories))
    folder.save_figure("accuracy", plots.accuracy_bars(folder.rows))


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

    "Before" is the source-only model where the run has one, else ``untrained()``.
    """
    if "dann" not in modes:
        return
    images, labels, domains = data.mixed_test_set(source, target, count=count)
    after = load(folder.model_path("dann", seed))
    if "source" in modes:
        before, title = load(folder.model_path("source", seed)), "before: source only"
    else:
        before, title = untrained(), "before: untrained"
    features_before, features_after = (outputs(model.encoder, images) for model in (before, after))
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
