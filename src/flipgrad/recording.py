"""What a run keeps of its trainings to look at afterwards: rows of both domains, and what the model made of them.

``observations/inputs.npz`` holds the rows, the same for every training of a run.  ``observations/MODE-SEED.npz`` holds
up to twelve frames of one training, from before its first step to its end.  A ``Recorder`` writes the frames.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from flipgrad._archives import open_zip
from flipgrad._files import write_whole
from flipgrad.errors import InputError

if TYPE_CHECKING:
    from flipgrad._recorder import Recorder
    from flipgrad.observation import Observation

__all__ = ["Inputs", "Recorder", "Recording", "read", "sample", "write"]

Array = NDArray[Any]

MOST_ROWS = 1000  # of each domain
# Of each domain.  Both together stay below the size from which an archive must not unpack to much more than itself.
_MOST_BYTES = 30 * 2**20
_DAMAGES = (OSError, EOFError, ValueError, TypeError, KeyError, MemoryError, zipfile.BadZipFile, zlib.error)


def __getattr__(name: str) -> Any:
    if name == "Recorder":  # needs Keras, which reading a record does not
        from flipgrad._recorder import Recorder

        return Recorder
    raise AttributeError(f"module 'flipgrad.recording' has no attribute {name!r}")


@dataclass(frozen=True)
class Inputs:
    """Rows of both domains that a run was not trained on.

    Attributes:
        source_x: raw rows ``(n, ...)``.
        source_y: class numbers, int32 ``(n,)``.
        source_ids: one text a row, such as the name of a file, ``(n,)``.
        target_x: raw rows ``(m, ...)``.
        target_ids: ``(m,)``.
        classes: their names, ``(classes,)``.
        target_y: class numbers of the target ``(m,)``, only where the user gave them to report an accuracy; read them
            in functions that say so.
    """

    source_x: Array
    source_y: Array
    source_ids: Array
    target_x: Array
    target_ids: Array
    classes: Array
    target_y: Array | None = None

    def __post_init__(self) -> None:
        n, m = len(self.source_x), len(self.target_x)
        _expect("source_x and target_x", n > 0 and m > 0 and self.source_x.shape[1:] == self.target_x.shape[1:])
        _expect("source_x and target_x", self.source_x.dtype.kind in "biuf" and self.target_x.dtype.kind in "biuf")
        _expect("classes", self.classes.ndim == 1 and self.classes.dtype.kind == "U" and len(self.classes) > 0)
        for name, rows in (("source_ids", n), ("target_ids", m)):
            value = getattr(self, name)
            _expect(name, value.shape == (rows,) and value.dtype.kind == "U")
        for name, rows in (("source_y", n), ("target_y", m)):
            value = getattr(self, name)
            _expect(name, value is None or _are_classes(value, rows, len(self.classes)))


@dataclass(frozen=True)
class Recording:
    """Frames of one training on the rows of an ``Inputs``.

    Attributes:
        epochs: epochs done at each frame, int ``(frames,)``, ascending; 0 is before the first step.
        source_features: float32 ``(frames, n, d)``, at most 50 principal components, fitted on all frames of both
            domains together.
        target_features: ``(frames, m, d)``.
        source_logits: of the classifier, float32 ``(frames, n, classes)``.
        target_logits: ``(frames, m, classes)``.
        source_domain_logits: of the discriminator, float32 ``(frames, n)``, greater than 0 for the target; None
            without one.
        target_domain_logits: ``(frames, m)``.
        learning_rate: at the end of each epoch from 0 on, float32 ``(epochs + 1,)``; None where it is not known.
        strength: of the reversed gradient, likewise.
    """

    epochs: Array
    source_features: Array
    target_features: Array
    source_logits: Array
    target_logits: Array
    source_domain_logits: Array | None = None
    target_domain_logits: Array | None = None
    learning_rate: Array | None = None
    strength: Array | None = None

    def __post_init__(self) -> None:
        frames = len(self.epochs)
        ascending = self.epochs.ndim == 1 and self.epochs.dtype.kind in "iu" and bool((np.diff(self.epochs) > 0).all())
        _expect("epochs", frames > 0 and ascending and self.epochs[0] >= 0)
        both = (self.source_domain_logits is None) == (self.target_domain_logits is None)
        _expect("domain_logits of both domains or of none", both)
        for domain in ("source", "target"):
            features, logits, domain_logits = (
                getattr(self, f"{domain}_{part}") for part in ("features", "logits", "domain_logits")
            )
            rows = (frames, features.shape[1] if features.ndim == 3 else 0)
            _expect(f"{domain}_features", features.ndim == 3 and features.shape[:2] == rows and features.shape[2] > 0)
            _expect(f"{domain}_logits", logits.ndim == 3 and logits.shape[:2] == rows and logits.shape[2] > 0)
            _expect(f"{domain}_domain_logits", domain_logits is None or domain_logits.shape == rows)
        _expect("features of one width", self.source_features.shape[2] == self.target_features.shape[2])
        _expect("logits of the same classes", self.source_logits.shape[2] == self.target_logits.shape[2])
        for name, value in vars(self).items():
            fine = value is None or (value.dtype.kind in "iuf" and bool(np.isfinite(value).all()))
            _expect(f"{name} of finite numbers", fine)

    def observation(self, frame: int, source_labels: Array) -> Observation:
        """One frame as the scores and the health checks take it.

        Args:
            frame: its place in ``epochs``; -1 for the last.
            source_labels: ``source_y`` of the rows.
        """
        from flipgrad.observation import Observation, View

        views = []
        for domain in ("source", "target"):
            domain_logits = getattr(self, f"{domain}_domain_logits")
            views.append(
                View(
                    getattr(self, f"{domain}_features")[frame],
                    getattr(self, f"{domain}_logits")[frame],
                    None if domain_logits is None else domain_logits[frame],
                )
            )
        return Observation(views[0], views[1], source_labels)

    def until(self, epoch: int) -> Recording:
        """The frames up to an epoch; all where there are none."""
        frames = int((self.epochs <= epoch).sum()) or len(self.epochs)
        by_frame = {
            name: value[:frames] for name, value in vars(self).items() if value is not None and "_rate" not in name
        }
        return replace(self, **{name: value for name, value in by_frame.items() if name != "strength"})

    def of(self, inputs: Inputs) -> bool:
        """Whether the frames are of these rows and classes."""
        rows = (self.source_features.shape[1], self.target_features.shape[1])
        same = rows == (len(inputs.source_x), len(inputs.target_x))
        return same and self.source_logits.shape[2] >= len(inputs.classes)


def sample(
    source: Sequence[Any], target: Sequence[Any], classes: Sequence[Any], *, target_y: Any = None, seed: int = 0
) -> Inputs | None:
    """At most 1,000 rows of each domain, fewer where rows are large, drawn at random; None where a domain has none.

    Args:
        source: ``(x, y)`` or ``(x, y, ids)`` of rows that are held out of the training.
        target: ``(x,)`` or ``(x, ids)``, likewise.
        classes: their names.
        target_y: class numbers of the target, for reporting only.
        seed: of the draw.
    """
    if not len(source[0]) or not len(target[0]):
        return None
    random = np.random.default_rng(seed)
    rows = [_drawn(x, random) for x in (source[0], target[0])]
    ids = [
        np.asarray(part[place] if len(part) > place else range(len(part[0])), dtype=np.str_)
        for part, place in ((source, 2), (target, 1))
    ]
    return Inputs(
        source_x=np.asarray(source[0][rows[0]]),
        source_y=np.asarray(source[1], dtype=np.int32)[rows[0]],
        source_ids=ids[0][rows[0]],
        target_x=np.asarray(target[0][rows[1]]),
        target_ids=ids[1][rows[1]],
        classes=np.asarray([str(name) for name in classes], dtype=np.str_),
        target_y=None if target_y is None else np.asarray(target_y, dtype=np.int32)[rows[1]],
    )


def _drawn(x: Any, random: np.random.Generator) -> NDArray[np.int64]:
    size = np.dtype(x.dtype).itemsize * int(np.prod(x.shape[1:]))
    count = min(MOST_ROWS, len(x), max(_MOST_BYTES // max(size, 1), 1))
    return np.sort(random.choice(len(x), count, replace=False))


def write(path: Path, record: Inputs | Recording) -> None:
    """Writes a record into one compressed file, whole or not at all."""
    write_arrays(path, {name: value for name, value in vars(record).items() if value is not None})


def write_arrays(path: Path, arrays: Mapping[str, Any], *, compressed: bool = True) -> None:
    """Writes arrays by name into one file, whole or not at all."""
    content = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(content, **arrays)
    write_whole(path, content.getvalue())


def read(path: Path, kind: type[Any]) -> Any:
    """Reads what ``write`` has written; the file may be a stranger's.

    Args:
        path: of the file.
        kind: ``Inputs`` or ``Recording``.

    Raises:
        InputError: no such file, a damaged one, or one of other arrays.
    """
    arrays = read_arrays(path)
    try:
        return kind(**{field.name: arrays[field.name] for field in fields(kind) if field.name in arrays})
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except _DAMAGES as error:
        raise InputError(f"{path}: not as recorded ({error!s:.100}); delete it") from None


def read_arrays(path: Path) -> dict[str, Array]:
    """All arrays of a file, without unpickling anything; InputError where it cannot be read."""
    try:
        with open_zip(path), np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except InputError:
        raise
    except _DAMAGES as error:
        raise InputError(f"{path}: damaged ({type(error).__name__}); delete it") from None


def _are_classes(value: Array, rows: int, classes: int) -> bool:
    if value.shape != (rows,) or value.dtype.kind not in "iu":
        return False
    return bool(((value >= 0) & (value < classes)).all())


def _expect(what: str, holds: Any) -> None:
    if not holds:
        raise InputError(f"expected {what} as recorded, found something else; delete the file and train again")
