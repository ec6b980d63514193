"""Features in two dimensions: do the domains lie on each other, and the classes apart?"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from flipgrad.errors import InputError
from flipgrad.plots import _style

_WIDEST = 50  # t-SNE of wider features starts from so many principal components


def pca(features: Any, seed: int = 0) -> NDArray[np.float64]:
    """The first two principal components.

    Args:
        features: (n, d) finite numbers, n and d at least 2.
        seed: makes the result the same in every call.

    Returns:
        (n, 2); all zero where every row is the same.

    Raises:
        InputError: another shape, NaN or infinity.
    """
    array = _wide_enough(features, "pca")
    if _constant(array):
        return np.zeros((len(array), 2))
    points = PCA(2, random_state=seed).fit_transform(array)
    return np.asarray(points, dtype=np.float64)


def tsne(features: Any, seed: int = 0, *, start: Any = None, iterations: int = 1000) -> NDArray[np.float64]:
    """t-SNE in two dimensions, of the first 50 principal components where there are more.

    Distances between far clusters and their sizes mean nothing: read neighbourhoods only.

    Args:
        features: (n, d) finite numbers, n at least 4, d at least 2.  2,000 rows take about 5 s.
        seed: makes the result the same in every call on one machine.
        start: (n, 2) places to begin with, such as those of the same rows in another model, so that groups stay where
            they were; by default principal components.
        iterations: at least 250.

    Returns:
        (n, 2); all zero where every row is the same.

    Raises:
        InputError: another shape, too few rows, NaN or infinity.
    """
    array = _wide_enough(features, "tsne", rows=4)
    if _constant(array):
        return np.zeros((len(array), 2))
    if array.shape[1] > _WIDEST:
        array = PCA(min(_WIDEST, len(array)), random_state=seed).fit_transform(array)
    perplexity = min(30.0, (len(array) - 1) / 3)
    init: Any = "pca" if start is None else _small(_style.as_points(start, "start", "tsne"))
    method = TSNE(2, perplexity=perplexity, init=init, random_state=seed, max_iter=iterations)
    # Waiting threads spin: 500 rows on two busy cores took 33 to 65 s with threads, 3 s without.
    with threadpool_limits(1):
        points = method.fit_transform(array)
    return np.asarray(points, dtype=np.float64)


def embedding(
    points: Any,
    labels: Any,
    domains: Any,
    title: str = "",
    digits_as_marks: bool = False,
) -> Figure:
    """Draws points by class and by domain, in two panels or, with digits as marks, in one.

    Args:
        points: (n, 2) finite numbers, from ``pca`` or ``tsne``.
        labels: (n,) class numbers from 0.
        domains: (n,) 0 for source, 1 for target.
        title: over the figure.
        digits_as_marks: draw each point as its class number, coloured by domain.

    Raises:
        InputError: another shape, NaN or infinity, numbers out of range.
    """
    xy = _style.as_points(points, "points", "embedding")
    classes = _style.as_numbers(labels, "labels", "embedding", len(xy))
    sides = _style.as_numbers(domains, "domains", "embedding", len(xy), below=2)
    if digits_as_marks:
        figure = _style.figure(7.0, 6.6, title)
        _by_domain(figure.add_subplot(), xy, classes, sides, digits_as_marks)
        return figure
    figure = _style.figure(11.0, 5.2, title)
    by_class, by_domain = figure.subplots(1, 2)
    _points(by_class, xy, [_style.color(c) for c in classes])
    names = [_style.mark(str(c), _style.color(c)) for c in np.unique(classes)]
    _style.legend_above(by_class, names, columns=10)
    by_class.set_title("by class", pad=10 + 15 * -(-len(names) // 10))
    _by_domain(by_domain, xy, classes, sides, digits_as_marks)
    by_domain.set_title("by domain", pad=25)
    return figure


def before_after(
    points_before: Any,
    points_after: Any,
    labels: Any,
    domains: Any,
    titles: tuple[str, str] = ("before", "after"),
    digits_as_marks: bool = False,
) -> Figure:
    """Draws two embeddings of the same rows side by side, coloured by domain.

    Args:
        points_before: (n, 2) finite numbers.
        points_after: (n, 2) finite numbers, of the same rows.
        labels: (n,) class numbers from 0.
        domains: (n,) 0 for source, 1 for target.
        titles: over the left and over the right panel.
        digits_as_marks: draw each point as its class number.

    Raises:
        InputError: another shape, NaN or infinity, numbers out of range.
    """
    figure = _style.figure(11.0, 5.4, "")
    panels = zip(
        ("points_before", "points_after"),
        (points_before, points_after),
        titles,
        figure.subplots(1, 2),
        strict=True,
    )
    for name, points, title, axes in panels:
        xy = _style.as_points(points, name, "before_after")
        classes = _style.as_numbers(labels, "labels", "before_after", len(xy))
        sides = _style.as_numbers(domains, "domains", "before_after", len(xy), below=2)
        _by_domain(axes, xy, classes, sides, digits_as_marks)
        axes.set_title(title, pad=25)
    return figure


def _by_domain(axes: Any, xy: Any, classes: Any, sides: Any, digits_as_marks: bool) -> None:
    if digits_as_marks:
        for c in np.unique(classes):
            for side, shade in enumerate(_style.DOMAIN_COLORS):
                own = xy[(classes == c) & (sides == side)]
                axes.scatter(
                    own[:, 0],
                    own[:, 1],
                    marker=f"${c}$",
                    s=34,
                    color=shade,
                    alpha=0.8,
                    linewidths=0,
                )
        _labelled(axes)
    else:
        _points(axes, xy, [_style.DOMAIN_COLORS[s] for s in sides])
    _style.legend_above(axes, _style.domain_marks(), columns=2)


def _points(axes: Any, xy: Any, shades: list[str]) -> None:
    """Draws the points in a mixed order, so that no group lies over another."""
    order = np.random.default_rng(0).permutation(len(xy))
    colors = [shades[i] for i in order]
    axes.scatter(xy[order, 0], xy[order, 1], c=colors, s=12, alpha=0.7, linewidths=0)
    _labelled(axes)


def _labelled(axes: Any) -> None:
    axes.set(xlabel="dimension 1 (arbitrary unit)", ylabel="dimension 2 (arbitrary unit)")


def _wide_enough(features: Any, where: str, rows: int = 2) -> NDArray[np.float64]:
    array = _style.as_features(features, "features", where)
    if array.shape[0] < rows or array.shape[1] < 2:
        raise InputError(
            f"{where}: features: expected at least {rows} rows of 2, received shape {array.shape}; give more"
        )
    return array


def _small(points: NDArray[np.float64]) -> NDArray[np.float32]:
    """Places so near to each other that they can still go anywhere: as those of sklearn's own start."""
    small: NDArray[np.float32] = (points / max(points[:, 0].std(), np.finfo(np.float32).tiny) * 1e-4).astype(np.float32)
    return small


def _constant(array: NDArray[np.float64]) -> bool:
    return bool((array == array[0]).all())
