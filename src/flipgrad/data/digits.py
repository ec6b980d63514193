"""Handwritten digits, plain and in front of photographs: needs no file and no network."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images
from sklearn.model_selection import train_test_split

from flipgrad.data.preparation import blend, to_rgb
from flipgrad.data.samples import Array, DomainPair, Samples, Splits
from flipgrad.errors import InputError

SIZE = 28
THRESHOLD = 127
MAX_SHIFT = 2
STRIP = 64
# Each photograph (427 x 640) is cut into ten upright strips; no pixel serves in two roles.  Narrow ones, far apart,
# so that no role is a single scene.
STRIPS = {"train": (0, 2, 4, 5, 7, 9), "validation": (1, 6), "test": (3, 8)}


def digits(seed: int = 0, copies: int = 4) -> DomainPair:
    """The 1797 digits of scikit-learn; in the target domain they are in front of photographs.

    Source: the 8x8 images enlarged to 28x28 (bicubic), white on black.  Target: the same originals
    by the rule of MNIST-M, a crop of a photograph (scikit-learn's china.jpg and flower.jpg) that is
    inverted to 255 - p where the enlarged digit is above 127.

    The originals are divided once, before anything is made of them, 60 % / 20 % / 20 %, stratified
    by class, and in the same way in both domains; the photographs are divided into strips, so that
    no pixel of a background that is trained on occurs in validation or test.  Row i of a split
    comes from the same original in both domains.

    Args:
        seed: of the division, the shifts and the crops; equal seeds give equal data.
        copies: how many images are made of each training original, at least 1.  The first is
            unmoved; the others are moved by up to 2 pixels each way, and each has its own
            background in the target.  Validation and test have one unmoved image per original.

    Returns:
        A pair of splits; ``x`` (n, 28, 28, 3) uint8 in 0..255, ``y`` (n,) int32 in 0..9; in
        training n = 1078 * copies, in validation 359, in test 360.

    Raises:
        InputError: when ``copies`` is below 1.

    Reference:
        Alpaydin, Kaynak: Optical recognition of handwritten digits, UCI Machine Learning
        Repository, 1998 (43 writers; scikit-learn ships the test part).
    """
    if copies < 1:
        raise InputError(f"digits: copies must be at least 1, received {copies}; give a positive number.")
    images, labels = _enlarged_digits()
    rows = split_rows(labels, seed)
    strips = photo_strips()
    source, target = {}, {}
    for role, child in zip(rows, np.random.SeedSequence(seed).spawn(len(rows)), strict=True):
        rng = np.random.default_rng(child)
        repeats = copies if role == "train" else 1
        grey = np.concatenate([_moved(images[rows[role]], i > 0, rng) for i in range(repeats)])
        y = np.tile(labels[rows[role]], repeats)
        source[role] = Samples(to_rgb(grey), y)
        corners = _corners(strips[role], len(grey), rng)
        target[role] = Samples(blend(grey > THRESHOLD, strips[role], *corners, SIZE), y)
    return DomainPair(Splits(**source), Splits(**target))


def split_rows(labels: Array, seed: int) -> dict[str, NDArray[np.int64]]:
    """Which originals go where: disjoint rows of train (60 %), validation and test (20 % each)."""
    rows = np.arange(len(labels))
    first, second = (int(word) for word in np.random.SeedSequence(seed).generate_state(2))
    train, rest = train_test_split(rows, test_size=0.4, random_state=first, stratify=labels)
    validation, test = train_test_split(rest, test_size=0.5, random_state=second, stratify=labels[rest])
    return {"train": train, "validation": validation, "test": test}


def photo_strips() -> dict[str, list[Array]]:
    """The strips of both photographs by role; each (427, 64, 3) uint8."""
    photos = load_sample_images().images
    return {
        role: [photo[:, i * STRIP : (i + 1) * STRIP] for photo in photos for i in strips]
        for role, strips in STRIPS.items()
    }


def _enlarged_digits() -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """All 1797 digits: (1797, 28, 28) uint8 in 0..255 and their classes."""
    bunch: Any = load_digits()
    small = np.rint(bunch.images * (255 / 16)).astype(np.uint8)
    size = (SIZE, SIZE)
    large = [np.asarray(Image.fromarray(i).resize(size, Image.Resampling.BICUBIC)) for i in small]
    return np.stack(large), bunch.target.astype(np.int32)


def _moved(images: Array, move: bool, rng: np.random.Generator) -> Array:
    """The images, each moved by up to MAX_SHIFT pixels each way (black comes in) when ``move``."""
    if not move:
        return images
    padded = np.pad(images, ((0, 0), (MAX_SHIFT, MAX_SHIFT), (MAX_SHIFT, MAX_SHIFT)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (SIZE, SIZE), axis=(1, 2))
    top, left = rng.integers(0, 2 * MAX_SHIFT + 1, size=(2, len(images)))
    moved: Array = windows[np.arange(len(images)), top, left]
    return moved


def _corners(strips: list[Array], count: int, rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """For ``count`` random crops of SIZE: which strip, and the top and left of the crop in it."""
    height, width = strips[0].shape[:2]
    which = rng.integers(0, len(strips), size=count)
    top = rng.integers(0, height - SIZE + 1, size=count)
    left = rng.integers(0, width - SIZE + 1, size=count)
    return which, top, left
