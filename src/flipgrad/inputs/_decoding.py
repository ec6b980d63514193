"""One image file as pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from flipgrad.errors import InputError

Result = TypeVar("Result")

ENDINGS = frozenset(
    [".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm", ".pnm"]
)
# Only these are tried: Pillow knows formats, such as EPS, that start other programs.
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
MOST_PIXELS = 50_000_000
THREADS = 4  # Pillow decodes outside the interpreter's lock
_AT_A_TIME = 1024


class BadImageError(Exception):
    """A file with an image's ending that is none; the message is a reason of a few words."""


def size_of(path: Path) -> tuple[int, int]:
    """Height and width in pixels as shown, that is, turned as its EXIF data say; reads the header only.

    Raises:
        BadImageError: no readable image.
    """
    with _opened(path) as image:
        # Whether the size of a TIFF file is that before or after the rotation depends on the version of Pillow, and
        # the EXIF data of a PNG file may stand behind its pixels.
        if image.format == "TIFF" or (image.format == "PNG" and "exif" in image.info):
            image = _upright(image)
        turned = False
        with suppress(Exception):
            turned = image.format != "PNG" and image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
        return (image.width, image.height) if turned else (image.height, image.width)


def decode(path: Path, size: tuple[int, int]) -> NDArray[np.uint8]:
    """The image as uint8 ``(height, width, 3)``.

    Grey, palettes, CMYK and 16 bits become RGB of 8 bits, transparency lies over white, EXIF rotation is undone, and
    of an animation the first picture counts.  Another size is scaled until the shorter side fits; the middle is kept.

    Raises:
        BadImageError: no readable image, or one of more than 50 million pixels.
    """
    with _opened(path) as image:
        # JPEG can be decoded at half, a quarter or an eighth of its size in a fraction of the time.  Twice the
        # wanted size keeps the scaling below free of visible differences.
        image.draft(None, (2 * max(size), 2 * max(size)))
        rgb = _rgb(_upright(image))
        if rgb.size != size[::-1]:
            rgb = ImageOps.fit(rgb, size[::-1], Image.Resampling.BILINEAR)
        return np.asarray(rgb)


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """The open file; whatever is raised while it is read becomes ``BadImageError``."""
    try:
        # Not by its name: Pillow would map uncompressed TIFF files into memory, and read turned ones wrongly.
        with path.open("rb") as file, Image.open(file, formats=_FORMATS) as image:
            if image.width * image.height > MOST_PIXELS:
                raise BadImageError(f"more than {MOST_PIXELS // 10**6} million pixels")
            yield image
    except BadImageError:
        raise
    except Image.DecompressionBombError:
        raise BadImageError(f"more than {MOST_PIXELS // 10**6} million pixels") from None
    except UnidentifiedImageError:
        raise BadImageError("empty" if not path.stat().st_size else "no image") from None
    except PermissionError:
        raise BadImageError("no permission") from None
    except FileNotFoundError:
        raise BadImageError("not there") from None
    except Exception as error:  # Pillow's decoders raise all kinds: OSError, SyntaxError, struct.error, IndexError ...
        raise BadImageError("truncated" if "truncated" in str(error) else "damaged") from None


def _upright(image: Image.Image) -> Image.Image:
    """The decoded image, turned as its EXIF data say."""
    image.load()
    with suppress(Exception):  # damaged EXIF data say nothing about the pixels
        return ImageOps.exif_transpose(image)
    return image


def _rgb(image: Image.Image) -> Image.Image:
    """RGB of 8 bits a channel."""
    if image.mode in ("F", "I") or image.mode.startswith("I;"):
        image = _eight_bits(image)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Grey of 8 bits: 65535 becomes 255, whatever the brightest pixel of this image is."""
    values = np.asarray(image)
    if values.dtype.kind == "f" or values.min() < 0 or values.max() > 65535:
        raise BadImageError("pixels of 32 bits, whose range is unknown")
    return Image.fromarray(((values.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8))


def each(function: Callable[[int], Result], count: int) -> list[Result]:
    """``[function(0), ..., function(count - 1)]``, computed by a few threads."""
    results: list[Result] = []
    with ThreadPoolExecutor(THREADS) as pool:
        for begin in range(0, count, _AT_A_TIME):
            results += pool.map(function, range(begin, min(begin + _AT_A_TIME, count)))
    return results


class ImageRows:
    """The images of a folder as rows that are decoded when they are asked for.

    Attributes:
        shape: ``(rows, height, width, 3)``.
        dtype: uint8.
        ndim: 4.
    """

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(self, folder: Path, files: list[str], size: tuple[int, int]) -> None:
        self.folder, self.files, self.size = folder, files, size
        self.shape = (len(files), *size, 3)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, rows: Any) -> NDArray[np.uint8]:
        """The images numbered ``rows``, a slice or an array of whole numbers or of booleans, or one image.

        Raises:
            InputError: a file that has been damaged or removed in the meantime.
        """
        numbers = np.arange(len(self.files))[rows]
        if np.ndim(numbers) == 0:
            return self._decoded(int(numbers))
        decoded = np.empty((len(numbers), *self.shape[1:]), np.uint8)

        def fill(place: int) -> None:
            decoded[place] = self._decoded(int(numbers[place]))

        each(fill, len(numbers))
        return decoded

    def _decoded(self, number: int) -> NDArray[np.uint8]:
        try:
            return decode(self.folder / self.files[number], self.size)
        except BadImageError as bad:
            raise InputError(
                f"{self.folder / self.files[number]}: could be read before and now cannot ({bad}); restore the file."
            ) from None
