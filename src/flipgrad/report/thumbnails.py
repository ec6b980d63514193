"""What a row looks like: an image among many on one sheet, or a line of text."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from flipgrad.report.text import NONE, short_number

Array = NDArray[Any]

_SIDE = 64  # of the largest thumbnails in pixels
_COLUMNS = 40  # thumbnails side by side on a sheet
_QUALITY = 80  # of WebP, 0 to 100
_LONGEST = 4  # times as long as wide
_SHOWN = 10  # columns of a table that are shown of a row


@dataclass(frozen=True)
class Sheet:
    """All images of one domain as one picture, from left to right and from top to bottom.

    Attributes:
        source: address of the picture, ``data:image/webp;base64,...``.
        columns: images side by side.
        lines: images on top of each other.
        aspect: width of an image divided by its height.
        coarse: whether the images are so small that their pixels are to be seen.
    """

    source: str
    columns: int
    lines: int
    aspect: float
    coarse: bool


def are_images(x: Array) -> bool:
    """Whether rows can be shown as images: ``(n, h, w)`` or ``(n, h, w, 1 or 3)``, at least 4 pixels each way.

    What is more than four times as long as wide is taken to be a signal, ``(n, steps, channels)``.
    """
    if x.ndim != 3 and not (x.ndim == 4 and x.shape[3] in (1, 3)):
        return False
    shorter, longer = sorted(x.shape[1:3])
    return bool(shorter >= 4 and longer <= _LONGEST * shorter)


def sheets(*domains: Array) -> list[Sheet]:
    """One sheet a domain; numbers other than 0 to 255 are scaled alike in all of them."""
    return [_sheet(x, _range(domains)) for x in domains]


def sprite(source: Array, target: Array, side: int) -> tuple[Image.Image, int, int]:
    """(picture, width, height of one image) of both domains together, in a square of at most ``side`` pixels."""
    columns = math.ceil(math.sqrt(len(source) + len(target)))
    largest = min(side // columns, _SIDE)
    images = [image for x in (source, target) for image in _images(x, _range((source, target)), largest)]
    return _tiled(images, columns, columns), *images[0].size


def _range(domains: Sequence[Array]) -> tuple[float, float]:
    """The numbers that are black and white."""
    if all(x.dtype == np.uint8 for x in domains):
        return 0.0, 255.0
    finite = [x[np.isfinite(x)] for x in domains]
    return min(float(x.min(initial=0)) for x in finite), max(float(x.max(initial=1)) for x in finite)


def _images(x: Array, shades: tuple[float, float], largest: int) -> Iterator[Image.Image]:
    """Each row as an image of at most so many pixels each way."""
    height, width = x.shape[1:3]
    shrink = min(1.0, largest / max(height, width))
    size = max(round(width * shrink), 1), max(round(height * shrink), 1)
    low, high = shades
    for row in x:
        scaled = np.nan_to_num((row.reshape(height, width, -1).astype(np.float32) - low) * (255 / (high - low)))
        pixels = np.clip(scaled, 0, 255).astype(np.uint8)
        image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).convert("RGB")
        yield image.resize(size, Image.Resampling.LANCZOS) if shrink < 1 else image


def _tiled(images: Sequence[Image.Image], columns: int, lines: int) -> Image.Image:
    w, h = images[0].size
    picture = Image.new("RGB", (columns * w, lines * h))
    for place, image in enumerate(images):
        picture.paste(image, (place % columns * w, place // columns * h))
    return picture


def _sheet(x: Array, shades: tuple[float, float]) -> Sheet:
    images = list(_images(x, shades, _SIDE))
    columns = min(_COLUMNS, len(x))
    lines = math.ceil(len(x) / columns)
    picture = _tiled(images, columns, lines)
    w, h = images[0].size
    content = io.BytesIO()
    picture.save(content, "WEBP", quality=_QUALITY)
    address = f"data:image/webp;base64,{base64.b64encode(content.getvalue()).decode()}"
    return Sheet(address, columns, lines, w / h, max(w, h) <= 40)


def lines_of_text(x: Array, described: Mapping[str, Any]) -> list[str]:
    """One line for each row of a table or of numbers.

    Args:
        x: ``(n, columns)`` or more axes.
        described: the ``input`` of ``config.json``, perhaps with names of columns and categories.
    """
    flat = x.reshape(len(x), -1)
    columns = _columns(described, flat.shape[1])
    more = "" if flat.shape[1] <= _SHOWN else f", … ({flat.shape[1]})"
    return [
        ", ".join(
            f"{name} = {_value(value, categories)}" for value, (name, categories) in zip(row, columns, strict=False)
        )
        + more
        for row in flat[:, :_SHOWN]
    ]


def _columns(described: Mapping[str, Any], count: int) -> list[tuple[str, Sequence[Any]]]:
    detail = described.get("detail")
    columns = detail.get("columns") if isinstance(detail, dict) else None
    if isinstance(columns, list) and len(columns) == count and all(isinstance(column, dict) for column in columns):
        return [(str(column.get("name")), column.get("categories") or ()) for column in columns[:_SHOWN]]
    return [(f"x{place}", ()) for place in range(min(count, _SHOWN))]


def _value(value: Any, categories: Sequence[Any]) -> str:
    if isinstance(categories, list) and categories and np.isfinite(value) and 0 <= int(value) < len(categories):
        return str(categories[int(value)])
    return NONE if not np.isfinite(value) else short_number(float(value))
