"""What is done to images before training: channels, photographs behind digits, means."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from flipgrad.data.samples import Array, Samples
from flipgrad.errors import InputError


def to_rgb(images: Array) -> Array:
    """Grey images as colour images with three equal channels.

    Args:
        images: ``(n, h, w)``, any dtype.

    Returns:
        ``(n, h, w, 3)`` of the same dtype, a new array.

    Raises:
        InputError: when ``images`` is not three-dimensional.
    """
    if images.ndim != 3:
        raise InputError(
            f"to_rgb: images must have the shape (n, height, width), received {images.shape}; give grey images."
        )
    return np.repeat(images[..., np.newaxis], 3, axis=-1)


def binarise(images: Array) -> NDArray[np.uint8]:
    """Every pixel above 0 becomes 255, every other 0.

    Args:
        images: any shape and dtype.

    Returns:
        uint8 of the same shape, values 0 and 255.
    """
    return np.where(images > 0, np.uint8(255), np.uint8(0))


def blend(
    digits: Array, photos: Sequence[Array], photo: Array, top: Array, left: Array, size: int
) -> NDArray[np.uint8]:
    """Digits in front of photographs by the rule of MNIST-M.

    Image i is the unscaled crop of photograph ``photo[i]`` whose corner is ``(top[i], left[i])``;
    where the i-th digit, put in the middle, is above 0 the photograph's value p becomes 255 - p.

    Args:
        digits: ``(n, h, w)`` with h and w up to ``size``.
        photos: arrays ``(H, W, 3)`` uint8.
        photo, top, left: ``(n,)`` integers; every crop must lie inside its photograph.
        size: of the images.

    Returns:
        ``(n, size, size, 3)`` uint8.
    """
    height, width = digits.shape[1:]
    row, column = (size - height) // 2, (size - width) // 2
    images = np.empty((len(digits), size, size, 3), dtype=np.uint8)
    # One gather for each photograph instead of one Python step for each image.
    for k in np.unique(photo):
        rows = np.flatnonzero(photo == k)
        crops = np.lib.stride_tricks.sliding_window_view(photos[k], (size, size), axis=(0, 1))
        images[rows] = crops[top[rows], left[rows]].transpose(0, 2, 3, 1)
    middle = images[:, row : row + height, column : column + width]
    middle ^= binarise(digits)[..., np.newaxis]  # p ^ 255 is 255 - p, p ^ 0 is p
    return images


def generate(
    digits: Array,
    photos: Sequence[Array],
    seed: int | np.random.SeedSequence,
    size: int = 28,
) -> NDArray[np.uint8]:
    """Blend any digits into random crops of any photographs by the rule of MNIST-M.

    Photograph and corner are uniform; as in the published set a corner lies in 0..H-size-1 and
    0..W-size-1, i.e. the very last position is not used.

    Args:
        digits: (n, h, w); above 0 is digit.
        photos: arrays (H, W, 3) uint8, each larger than ``size`` both ways.
        seed: of the choice of photographs and corners.
        size: of the images, at least h and w; the digit is put in the middle.

    Returns:
        (n, size, size, 3) uint8.

    Raises:
        InputError: when a shape or dtype does not fit.
    """
    _check_generate(digits, photos, size)
    rng = np.random.default_rng(seed)
    image = rng.integers(0, len(photos), size=len(digits))
    heights, widths = np.array([photo.shape[:2] for photo in photos])[image].T
    top, left = rng.integers(0, heights - size), rng.integers(0, widths - size)
    return blend(digits, photos, image, top, left, size)


def _check_generate(digits: Array, photos: Sequence[Array], size: int) -> None:
    if digits.ndim != 3 or max(digits.shape[1:]) > size:
        raise InputError(
            f"generate: digits must be (n, h, w) with h and w up to size={size}, "
            f"received {digits.shape}; give grey images or a larger size."
        )
    for photo in photos:
        if photo.ndim != 3 or photo.shape[2] != 3 or min(photo.shape[:2]) <= size:
            raise InputError(
                f"generate: photos must be (H, W, 3) with H and W above size={size}, "
                f"received {photo.shape}; give larger colour photographs."
            )
        if photo.dtype != np.uint8:
            raise InputError(f"generate: photos must be uint8 (0..255), received {photo.dtype}; convert them.")
    if not photos:
        raise InputError("generate: photos must not be empty, received none; give at least one.")


def pixel_mean(source: Array, target: Array) -> Array:
    """The mean image of both domains' training images, to be subtracted inside the encoder.

    Every image counts once, so the larger domain weighs more.

    Args:
        source, target: ``(n, h, w, c)`` and ``(m, h, w, c)``, any numeric dtype; the units are kept
            (uint8 images give a mean in 0..255).

    Returns:
        ``(h, w, c)`` float32.

    Raises:
        InputError: when the image shapes differ or a domain is empty.
    """
    _check_same_images(source, target)
    total = source.sum(axis=0, dtype=np.float64) + target.sum(axis=0, dtype=np.float64)
    return np.asarray(total / (len(source) + len(target)), dtype=np.float32)


def channel_mean(source: Array, target: Array) -> Array:
    """As ``pixel_mean``, but one number per channel, the same at every pixel.

    Returns:
        ``(c,)`` float32, the mean over all images and pixels of both domains.

    Raises:
        InputError: when the image shapes differ or a domain is empty.
    """
    mean = pixel_mean(source, target).astype(np.float64)
    return np.asarray(mean.mean(axis=tuple(range(mean.ndim - 1))), dtype=np.float32)


def mixed_test_set(source: Samples, target: Samples, count: int = 500, seed: int = 0) -> tuple[Array, Array, Array]:
    """As many test samples of the source as of the target, for an embedding (t-SNE, PCA) of both.

    Args:
        source, target: the test sets; equal sample shapes.
        count: how many of each, drawn without replacement.
        seed: of the draw.

    Returns:
        ``(x, y, domain)`` with 2 * count rows, the source first; ``domain`` is int32, 0 for source
        and 1 for target.

    Raises:
        InputError: when a domain has fewer than ``count`` samples or the sample shapes differ.
    """
    _check_same_images(source.x, target.x)
    for name, samples in (("source", source), ("target", target)):
        if not 1 <= count <= len(samples.x):
            raise InputError(
                f"mixed_test_set: count must be between 1 and the {len(samples.x)} samples of the "
                f"{name}, received {count}; ask for fewer."
            )
    rng = np.random.default_rng(seed)
    rows = [rng.choice(len(samples.x), count, replace=False) for samples in (source, target)]
    x = np.concatenate([source.x[rows[0]], target.x[rows[1]]])
    y = np.concatenate([source.y[rows[0]], target.y[rows[1]]])
    return x, y, np.repeat(np.array([0, 1], dtype=np.int32), count)


def _check_same_images(source: Array, target: Array) -> None:
    if source.shape[1:] != target.shape[1:] or not len(source) or not len(target):
        raise InputError(
            "source and target must be non-empty and equal in shape per sample, "
            f"received {source.shape} and {target.shape}; resize one or add channels (to_rgb)."
        )
