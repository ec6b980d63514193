"""Where the rows of both domains lie in the features, frame by frame, packed for the page."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flipgrad.errors import InputError
from flipgrad.plots import tsne
from flipgrad.recording import Inputs, Recording
from flipgrad.report.contents import Contents, Key

Array = NDArray[Any]

# As good to the eye as the thousand that is usual, and half the time.
_ITERATIONS = 500


def pack(values: Any) -> dict[str, Any]:
    """Numbers as the script of the page unpacks them: whole ones of 8 or 16 bits, others as 16 bits of their range."""
    array = np.asarray(values)
    if array.dtype.kind in "iu":
        kind = np.uint8 if array.max(initial=0) < 256 else np.uint16
        return {"bits": 8 * np.dtype(kind).itemsize, "scale": 1, "low": 0, "data": _base64(array.astype(kind))}
    low, high = float(array.min()), float(array.max())
    scale = (high - low) / 65535 or 1.0
    whole = np.round((array - low) / scale).astype(np.uint16)
    return {"bits": 16, "scale": scale, "low": low, "data": _base64(whole)}


def confidence(logits: Array) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The predicted class of each row, and its probability."""
    exponents = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    shares = exponents / exponents.sum(axis=-1, keepdims=True)
    return logits.argmax(axis=-1), shares.max(axis=-1)


def observed_domain_accuracy(recorded: Recording) -> list[float] | None:
    """Balanced accuracy of the training's own discriminator on the rows, frame by frame; None without one."""
    if recorded.source_domain_logits is None or recorded.target_domain_logits is None:
        return None
    source, target = recorded.source_domain_logits < 0, recorded.target_domain_logits >= 0
    return [float(value) for value in (source.mean(axis=1) + target.mean(axis=1)) / 2]


def movies(found: Contents, words: Mapping[str, str]) -> list[dict[str, Any]]:
    """For each recorded training its frames in two dimensions up to that of its model, the one of the page first.

    The first two principal components are those of all frames of a training together, so that frames can be compared.
    A t-SNE is of one frame: the last of the main training and of source-only training, and the first of the main one.
    """
    keys = sorted(found.recordings, key=lambda key: key != found.main)
    frames = ((key, found.kept(key)) for key in keys)
    return [
        _movie(key, kept, _tsne_frames(found, key, kept)) | {"after": _after(found, key, words)}
        for key, kept in frames
        if kept is not None
    ]


def _after(found: Contents, key: Key, words: Mapping[str, str]) -> str:
    """What the last frame shows: the model, where one was saved."""
    row = found.row(key)
    return words["after_no_model" if row.get("diverged") is not None else "after" if row else "after_last"]


def _tsne_frames(found: Contents, key: Key, recorded: Recording) -> list[int]:
    last = len(recorded.epochs) - 1
    if key == found.main:
        return sorted({0, last})
    return [last] if key == found.baseline(found.main) else []


def _movie(key: Key, recorded: Recording, tsne_frames: list[int]) -> dict[str, Any]:
    features = np.concatenate([recorded.source_features, recorded.target_features], axis=1)
    logits = np.concatenate([recorded.source_logits, recorded.target_logits], axis=1)
    plane = np.pad(features[:, :, :2], ((0, 0), (0, 0), (0, max(0, 2 - features.shape[2]))))
    predicted, sure = confidence(logits)
    shares = observed_domain_accuracy(recorded)
    frames = [
        {
            "epoch": int(epoch),
            "x": pack(plane[frame, :, 0]),
            "y": pack(plane[frame, :, 1]),
            "predicted": pack(predicted[frame]),
            "sure": pack(np.round(100 * sure[frame]).astype(int)),
            **({} if shares is None else {"domain_accuracy": shares[frame]}),
        }
        for frame, epoch in enumerate(recorded.epochs)
    ]
    start = None
    for frame in tsne_frames:
        try:
            start = tsne(features[frame], start=start, iterations=_ITERATIONS)
        except InputError:  # too few rows, or a single feature
            break
        frames[frame]["tsne"] = {"x": pack(start[:, 0]), "y": pack(start[:, 1])}
    low, high = plane.min(axis=(0, 1)), plane.max(axis=(0, 1))
    return {
        "mode": key[0],
        "seed": key[1],
        "ranges": [_padded(a, b) for a, b in zip(low, high, strict=True)],
        "frames": frames,
    }


def rows_of(inputs: Inputs) -> dict[str, Any]:
    """What the script has to know of the rows, the source's before the target's."""
    packed = {
        "source": len(inputs.source_x),
        "target": len(inputs.target_x),
        "labels": pack(inputs.source_y),
        "ids": [str(name) for ids in (inputs.source_ids, inputs.target_ids) for name in ids],
    }
    return packed | oracle_labels(inputs)


def oracle_labels(inputs: Inputs) -> dict[str, Any]:
    """The target's labels, to be looked at, where the user gave any."""
    return {} if inputs.target_y is None else {"oracle": pack(inputs.target_y)}


def _padded(low: float, high: float) -> list[float]:
    room = 0.05 * (high - low) or 1.0
    return [float(low - room), float(high + room)]


def _base64(array: Array) -> str:
    return base64.b64encode(array.astype(array.dtype.newbyteorder("<")).tobytes()).decode()
