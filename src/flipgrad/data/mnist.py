"""MNIST, read from its four original files."""

import gzip
import os
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flipgrad.data import sources
from flipgrad.data.samples import Samples, Splits, sha256
from flipgrad.errors import InputError

# Of the uncompressed files, headers included: a file that was packed again is as good.
_CONTENTS = {
    "train images": (
        (60000, 28, 28),
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    ),
    "train labels": (
        (60000,),
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    ),
    "test images": (
        (10000, 28, 28),
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    ),
    "test labels": (
        (10000,),
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
}


def mnist(
    data_dir: str | os.PathLike[str] | None = None,
    download: bool = True,
    progress: bool | None = None,
) -> Splits:
    """The 60000 training and 10000 test digits of LeCun, Bottou, Bengio and Haffner (1998).

    The files' contents are always checked by SHA-256.

    Args:
        data_dir: where the four ``.gz`` files are, in it or in its ``mnist`` folder; where they are
            looked for otherwise is told in ``flipgrad.data.sources``.
        download: whether missing files may be downloaded.
        progress: whether to show progress bars; None means where standard error is a terminal.

    Returns:
        Splits without validation; ``x`` (60000, 28, 28) and (10000, 28, 28) uint8, white on black,
        ``y`` int32 in 0..9.

    Raises:
        InputError: when a file is missing, cut short or not that of MNIST.
    """
    wanted = [[sources.MNIST[part]] for part in _CONTENTS]
    paths = sources.find_files(wanted, data_dir, download, progress)
    arrays = {part: read_idx(path, *_CONTENTS[part]) for part, path in zip(_CONTENTS, paths, strict=True)}
    return Splits(
        Samples(arrays["train images"], arrays["train labels"].astype(np.int32)),
        None,
        Samples(arrays["test images"], arrays["test labels"].astype(np.int32)),
    )


def read_idx(path: Path, shape: tuple[int, ...], checksum: str) -> NDArray[np.uint8]:
    """Read one gzipped IDX file of bytes whose contents are known.

    Args:
        path: the ``.gz`` file.
        shape: of the array inside.
        checksum: SHA-256 of the uncompressed file.

    Returns:
        A new uint8 array of that shape.

    Raises:
        InputError: when the file is cut short, damaged or another one.
    """
    size = 4 + 4 * len(shape) + int(np.prod(shape))
    try:
        with gzip.open(path) as file:
            contents = file.read(size)  # never more, whatever the file would unpack to
            longer = bool(file.read(1))
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(
            f"{path}: expected a whole gzip file of {size} bytes unpacked, received one that is "
            f"cut short or damaged ({error}); delete it and run again to download it, or put a "
            "good copy there."
        ) from error
    array = np.frombuffer(contents, dtype=np.uint8)
    if longer or sha256(array) != checksum:
        raise InputError(
            f"{path}: expected contents with SHA-256 {checksum}, received "
            f"{'more bytes than these' if longer else sha256(array)}; "
            "delete it and run again to download it, or put a good copy there."
        )
    return array[-int(np.prod(shape)) :].reshape(shape).copy()
