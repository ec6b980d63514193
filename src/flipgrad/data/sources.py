"""Where the files of the data sets come from, and how one is found or fetched.

A file is looked for in the folder that the caller names, in the folder that ``$FLIPGRAD_DATA``
names, and in the user's cache; failing these it is downloaded into the cache.  In each folder both
``FOLDER/name`` and, for example, ``FOLDER/mnist/name`` are accepted.
"""

import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pooch

from flipgrad.errors import InputError

VARIABLE = "FLIPGRAD_DATA"
TIMEOUT = (10, 60)  # seconds to connect, and between two pieces of the file

Downloader = Callable[[str, Any, Any], None]


@dataclass(frozen=True)
class RemoteFile:
    """One file of a data set that the package may not carry.

    Attributes:
        name: the file's name on disk.
        folder: the sub-folder in which it may also lie.
        urls: https addresses in the order in which they are tried.
        sha256: of the file; None where only its contents are known and checked (after reading).
        size: in bytes; None where it is not fixed.
        terms: who owns it and on what terms it is given.
        citation: what to cite.
    """

    name: str
    folder: str
    urls: tuple[str, ...]
    sha256: str | None
    size: int | None
    terms: str
    citation: str


def _mnist(name: str, size: int, sha256: str) -> RemoteFile:
    addresses = (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        "https://yann.lecun.com/exdb/mnist/",  # the original; often refuses
    )
    return RemoteFile(
        name=name,
        folder="mnist",
        urls=tuple(address + name for address in addresses),
        sha256=sha256,
        size=size,
        terms="Copyright Yann LeCun and Corinna Cortes; usually stated as CC BY-SA 3.0.",
        citation="LeCun, Bottou, Bengio, Haffner: Gradient-based learning applied to document "
        "recognition. Proceedings of the IEEE 86(11), 1998.",
    )


def _bsds500(name: str, *urls: str) -> RemoteFile:
    return RemoteFile(
        name=name,
        folder="bsds500",
        urls=urls,
        sha256=None,  # the photographs inside are checked instead: see mnist_m.bsds500_photos
        size=None,
        terms="UC Berkeley; non-commercial research and educational use.",
        citation="Arbelaez, Maire, Fowlkes, Malik: Contour detection and hierarchical image "
        "segmentation. IEEE TPAMI 33(5), 2011.",
    )


MNIST = {
    "train images": _mnist(
        "train-images-idx3-ubyte.gz",
        9912422,
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    ),
    "train labels": _mnist(
        "train-labels-idx1-ubyte.gz",
        28881,
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    ),
    "test images": _mnist(
        "t10k-images-idx3-ubyte.gz",
        1648877,
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    ),
    "test labels": _mnist(
        "t10k-labels-idx1-ubyte.gz",
        4542,
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    ),
}

# Any one of these will do: all hold .../BSDS500/data/images/train/<number>.jpg.
BSDS500 = (
    _bsds500(
        "BSR_bsds500.tgz",
        "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/BSR/BSR_bsds500.tgz",
    ),
    _bsds500("BSR_bsds500_images.tgz"),  # the images alone, packed by hand: accepted, not fetched
    _bsds500("BSDS500-master.zip", "https://github.com/BIDS/BSDS500/archive/refs/heads/master.zip"),
)


def cache_folder() -> Path:
    """The folder into which files are downloaded, below the user's cache."""
    return Path(pooch.os_cache("flipgrad"))


def find_files(
    wanted: Sequence[Sequence[RemoteFile]],
    data_dir: str | os.PathLike[str] | None = None,
    download: bool = True,
    progress: bool | None = None,
    downloader: Downloader | None = None,
) -> list[Path]:
    """The paths of all wanted files, downloading those that are nowhere.

    A download goes to a temporary name in the cache and is moved to its own only when it is whole
    and, where the checksum is known, right.

    Args:
        wanted: for each wanted file the alternatives, the best first; any one of them is enough.
        data_dir: the folder to look in first.
        download: whether a missing file may be downloaded.
        progress: whether to show progress bars; None means where standard error is a terminal.
        downloader: what fetches an address into an open file, called as ``pooch`` calls its
            downloaders; None means pooch's own over https.

    Returns:
        One path per element of ``wanted``, in its order.

    Raises:
        InputError: when ``data_dir`` or the folder in ``$FLIPGRAD_DATA`` is not a folder, or when
            files are missing and may not or cannot be downloaded; the message names all of them.
    """
    folders = _folders(data_dir)
    found = [_look(alternatives, folders) for alternatives in wanted]
    problem = "downloading was switched off"
    for i, alternatives in enumerate(wanted):
        if found[i] is None and download:
            try:
                found[i] = _fetch(alternatives, downloader or _https(progress))
            except InputError as error:
                problem = str(error)
                break  # one message about everything that is missing, not one timeout per file
    paths = [path for path in found if path is not None]
    if len(paths) < len(wanted):
        missing = [files for files, path in zip(wanted, found, strict=True) if path is None]
        raise InputError(_missing_message(missing, folders, problem))
    return paths


def _folders(data_dir: str | os.PathLike[str] | None) -> list[Path]:
    """Where to look, in this order."""
    folders = []
    for what, value in (("data_dir", data_dir), (f"${VARIABLE}", os.environ.get(VARIABLE))):
        if value is None or value == "":
            continue
        folder = Path(value).expanduser()
        if not folder.is_dir():
            raise InputError(f"{what} must be an existing folder, received {str(value)!r}; create it or name another.")
        folders.append(folder)
    return [*folders, cache_folder()]


def _look(alternatives: Sequence[RemoteFile], folders: Sequence[Path]) -> Path | None:
    for folder in folders:
        for file in alternatives:
            for path in (folder / file.name, folder / file.folder / file.name):
                if path.is_file():
                    return path
    return None


def _https(progress: bool | None) -> Downloader:
    wanted = sys.stderr.isatty() if progress is None else progress
    bar = wanted and importlib.util.find_spec("tqdm") is not None
    downloader: Downloader = pooch.HTTPDownloader(progressbar=bar, chunk_size=2**16, timeout=TIMEOUT)
    return downloader


def _fetch(alternatives: Sequence[RemoteFile], downloader: Downloader) -> Path:
    """Download the first alternative that any address gives; else InputError with all reasons."""
    reasons = []
    for file, url in [(entry, url) for entry in alternatives for url in entry.urls]:
        try:
            path = pooch.retrieve(
                url,
                known_hash=file.sha256 and f"sha256:{file.sha256}",
                fname=file.name,
                path=cache_folder() / file.folder,
                downloader=downloader,
            )
        # requests' errors are OSErrors; pooch reports a wrong checksum as ValueError
        except (OSError, ValueError) as error:
            reasons.append(f"{url.split('/')[2]}: {_reason(error)}")
        else:
            return Path(path)
    raise InputError(", ".join(reasons))


def _reason(error: Exception) -> str:
    """A few words instead of a chain of library messages."""
    import requests

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"status {error.response.status_code}"
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    if isinstance(error, ValueError) and "hash" in str(error):
        return "the file there has another checksum"
    return " ".join(str(error).split()) or type(error).__name__


def _missing_message(missing: Sequence[Sequence[RemoteFile]], folders: Sequence[Path], problem: str) -> str:
    names = ", ".join(" or ".join(file.name for file in files) for files in missing)
    urls = " ".join(file_url for files in missing for file in files for file_url in file.urls[:1])
    looked = ", ".join(str(folder) for folder in folders)
    return (
        f"missing data files: {names}; looked in {looked}; not downloaded ({problem}); "
        f"fetch them yourself from {urls} and put them into one of these folders, "
        f"or name yours with data_dir or ${VARIABLE}."
    )
