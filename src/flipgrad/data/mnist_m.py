"""MNIST-M: MNIST digits blended into photographs (Ganin et al., JMLR 2016, section 5.2.4).

The published set is rebuilt bit for bit from MNIST, BSDS500 and the packaged list of crop corners;
another one of the same kind is made from a seed.  The rule of both: put the digit into the middle
of a random unscaled crop of a BSDS500 training photograph, and where the digit is above 0 turn the
photograph's pixel p into 255 - p.
"""

import hashlib
import io
import itertools
import os
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from flipgrad.data import sources
from flipgrad.data.mnist import mnist
from flipgrad.data.preparation import blend, generate
from flipgrad.data.samples import Samples, Splits, sha256
from flipgrad.data.samples import load as load_splits
from flipgrad.errors import InputError

__all__ = ["bsds500_photos", "generate", "generated", "load", "official"]

OFFICIAL_COUNT = 59001  # training images of the published set
SIZE = 32  # of the published images; the experiments of the paper use the middle 28
# SHA-256 of the C-order bytes: of the published images, of the middle of them, and of the labels.
CHECKSUMS = {
    32: {
        "train": "3c689850ded80df111260294d02c79ee0a6e602a9fd634c4e08e1339628f8d33",
        "test": "47415b066fe8a39de3f0e86f65a72d4c4078f1e2557a388ca0a7cfd8dfe90b14",
    },
    28: {
        "train": "7ea10580b2ba73a424d73c618000011af38c19bb583f30faa310ef69a5d08f26",
        "test": "3bde75907271a9cc6a8c9d68cc8abead521ccfb55c138713dc0646440988c3ef",
    },
}
LABEL_CHECKSUMS = {  # of int32, little-endian
    "train": "0182fe0262a3276215b6bfab42d0ca498f486b3b221ec24ce15eb304ef5ad6f8",
    "test": "4be2210218834e14b1055fb30ce156cb5f143ba36c6966760081f819daea8155",
}
# SHA-256 of the 200 JPEG files, one after the other, sorted by name.
_PHOTOS_CHECKSUM = "b626d29a9653bf7a573863ad2470032b8d6e01a04a88d1c1e4b599055eb60e71"
_PHOTO_COUNT = 200
_PHOTO_NAME = re.compile(r"(?:^|/)BSDS500/data/images/train/(\d+\.jpg)$")
_PHOTO_BYTES = 1_000_000  # the largest has 123972
_ARCHIVE_ERRORS = (
    *(OSError, EOFError, ValueError, zlib.error, tarfile.TarError, zipfile.BadZipFile),
    RuntimeError,  # an encrypted or oddly packed .zip
)
_ARCHIVE_BYTES = 2_000_000_000  # unpacked; the official archive has far less


def official(
    data_dir: str | os.PathLike[str] | None = None,
    size: int = SIZE,
    download: bool = True,
    progress: bool | None = None,
) -> Splits:
    """The MNIST-M that Ganin et al. published, bit for bit.

    Image i is made of MNIST image i of the same split and has its label; the last 999 of each MNIST
    split are not used.  The result is always checked by SHA-256.

    Args:
        data_dir: where MNIST and BSDS500 are; where they are looked for otherwise is told in
            ``flipgrad.data.sources``.
        size: 32 as published, or 28 for the middle of it, in which the digits lie as they do in
            MNIST.
        download: whether missing files may be downloaded.
        progress: whether to show progress bars; None means where standard error is a terminal.

    Returns:
        Splits without validation; ``x`` (59001, size, size, 3) and (9001, size, size, 3) uint8,
        ``y`` int32 in 0..9.

    Raises:
        InputError: when ``size`` is another, a file is missing, damaged or not the expected one, or
            the JPEG decoder at hand does not give the published pixels.
    """
    if size not in CHECKSUMS:
        raise InputError(f"official: size must be 32 or 28, received {size}; give one of these.")
    digits, photos = _inputs(data_dir, download, progress)
    packaged = resources.files("flipgrad.data") / "mnist_m_official_index.npz"
    index = np.load(io.BytesIO(packaged.read_bytes()), allow_pickle=False)
    made = []
    for name, samples in (("train", digits.train), ("test", digits.test)):
        image, top, left = (index[f"{name}_{part}"] for part in ("image", "top", "left"))
        x = blend(samples.x[: len(image)], photos, image, top, left, SIZE)
        border = (SIZE - size) // 2
        x = x[:, border : SIZE - border, border : SIZE - border]
        made.append(Samples(np.ascontiguousarray(x), samples.y[: len(image)].copy()))
    splits = Splits(made[0], None, made[1])
    _check_official(
        splits,
        "official",
        "this Pillow decodes JPEG unlike libjpeg: install Pillow's own wheel, or use generated().",
    )
    return splits


def load(path: str | os.PathLike[str]) -> Splits:
    """Read an MNIST-M that ``flipgrad.data.samples.save`` wrote.

    A file with the number of images of the published set is checked as ``official`` checks it; any
    other is taken for a generated one.

    Args:
        path: of the ``.npz`` file.

    Returns:
        The splits.

    Raises:
        InputError: when the file is missing, damaged, not such a file, or meant to be the published
            set but not it.
    """
    splits = load_splits(path)
    if len(splits.train.x) == OFFICIAL_COUNT:
        _check_official(splits, str(path), "delete the file and make it again.")
    return splits


def _check_official(splits: Splits, where: str, remedy: str) -> None:
    """InputError unless these are the published images, 32x32 or the middle 28x28, and labels."""
    expected = CHECKSUMS.get(splits.train.x.shape[1] if splits.train.x.ndim > 1 else 0, {})
    for name, samples in (("train", splits.train), ("test", splits.test)):
        for what, array, checksum in (
            ("images", samples.x, expected.get(name)),
            ("labels", samples.y, LABEL_CHECKSUMS[name]),
        ):
            if sha256(array) != checksum:
                raise InputError(
                    f"{where}: the {name} {what} of MNIST-M must have SHA-256 {checksum}, "
                    f"received {sha256(array)} with shape {array.shape}; {remedy}"
                )


def generated(
    data_dir: str | os.PathLike[str] | None = None,
    seed: int = 0,
    size: int = 28,
    download: bool = True,
    progress: bool | None = None,
) -> Splits:
    """A new MNIST-M of all 60000 + 10000 digits by the rule of the published one.

    As in the published set, both splits draw from the same 200 photographs.

    Args:
        data_dir, download, progress: as for ``official``.
        seed: of the crops; equal seeds give equal images.
        size: of the images, at least 28.

    Returns:
        Splits without validation; ``x`` (60000, size, size, 3) and (10000, size, size, 3) uint8,
        ``y`` int32 in 0..9.

    Raises:
        InputError: as ``official`` and ``generate``.
    """
    digits, photos = _inputs(data_dir, download, progress)
    seeds = np.random.SeedSequence(seed).spawn(2)
    made = [
        Samples(generate(samples.x, photos, child, size), samples.y)
        for samples, child in zip((digits.train, digits.test), seeds, strict=True)
    ]
    return Splits(made[0], None, made[1])


def _inputs(
    data_dir: str | os.PathLike[str] | None, download: bool, progress: bool | None
) -> tuple[Splits, list[NDArray[np.uint8]]]:
    """MNIST and the photographs, after asking for all their files at once."""
    wanted = [[file] for file in sources.MNIST.values()]
    sources.find_files([*wanted, sources.BSDS500], data_dir, download, progress)
    return mnist(data_dir, download, progress), bsds500_photos(data_dir, download, progress)


def bsds500_photos(
    data_dir: str | os.PathLike[str] | None = None,
    download: bool = True,
    progress: bool | None = None,
) -> list[NDArray[np.uint8]]:
    """The 200 training photographs of BSDS500, sorted by file name.

    Nothing is unpacked to disk; the JPEG files are read from the archive one by one, and decoded
    only when all of them together have the known SHA-256.

    Args:
        data_dir, download, progress: as for ``official``.

    Returns:
        200 arrays (321, 481, 3) or (481, 321, 3), uint8.

    Raises:
        InputError: when the archive is missing, cut short, damaged or not BSDS500.
    """
    (path,) = sources.find_files([sources.BSDS500], data_dir, download, progress)
    remedy = "delete it and run again to download it, or put a good copy there."
    try:
        files = dict(itertools.islice(_archive_photos(path), _PHOTO_COUNT))
    except _ARCHIVE_ERRORS as error:
        raise InputError(
            f"{path}: expected a whole BSDS500 archive, received one that is cut short or damaged ({error}); {remedy}"
        ) from error
    digest = hashlib.sha256(b"".join(files[name] for name in sorted(files))).hexdigest()
    if digest != _PHOTOS_CHECKSUM:
        raise InputError(
            f"{path}: expected the {_PHOTO_COUNT} BSDS500 training photographs with SHA-256 "
            f"{_PHOTOS_CHECKSUM}, received {len(files)} with {digest}; {remedy}"
        )
    return [np.asarray(Image.open(io.BytesIO(files[name]), formats=("JPEG",)).convert("RGB")) for name in sorted(files)]


def _archive_photos(path: Path) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of each training photograph in a .tgz or .zip, read once, front to back."""
    total = 0
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                match = _PHOTO_NAME.search(entry.filename)
                if match and entry.file_size <= _PHOTO_BYTES:
                    yield match[1], archive.read(entry)
        return
    with tarfile.open(path, "r|gz") as stream:
        for member in stream:
            total += member.size
            if total > _ARCHIVE_BYTES:
                raise tarfile.ReadError(f"more than {_ARCHIVE_BYTES} bytes inside")
            match = _PHOTO_NAME.search(member.name)
            if match and member.isreg() and member.size <= _PHOTO_BYTES:
                file = stream.extractfile(member)
                yield match[1], file.read() if file else b""
