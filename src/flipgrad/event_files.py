"""A run as TensorBoard reads it: scalars, figures and the embedding projector.  Needs ``flipgrad[tensorboard]``."""

from __future__ import annotations

import io
import math
import os
import struct
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from flipgrad._files import write_whole
from flipgrad.errors import InputError
from flipgrad.recording import Inputs, Recording
from flipgrad.report.contents import Contents
from flipgrad.report.gathering import gather
from flipgrad.report.thumbnails import are_images, sprite

_SPRITE_SIDE = 2**13  # pixels each way that the projector takes


def write(run: str | os.PathLike[str]) -> Path:
    """Writes ``tensorboard/`` into a run folder: one sub-folder a training, and ``figures``.

    Scalars are all columns of ``history.csv``, at their epochs; figures are those of ``figures/``; the projector has
    the features of the observed rows at the end of each training, with class, prediction, domain and image.

    Returns:
        The folder: ``tensorboard --logdir FOLDER``.

    Raises:
        InputError: no run, or TensorBoard is not installed.
    """
    found = gather(run)
    folder = found.path / "tensorboard"
    if folder.is_symlink():
        raise InputError(f"{folder}: is a link, which flipgrad never makes; delete it")
    for old in folder.glob("**/events.out.tfevents.*") if folder.is_dir() else ():
        old.unlink()  # else the same numbers would be drawn twice
    for (mode, seed), history in found.histories.items():
        events = [
            _scalar(name, epoch, value)
            for name, values in history.items()
            for epoch, value in enumerate(values, start=1)
            if value is not None and math.isfinite(value)
        ]
        _write_events(folder / f"{mode}-{seed}", events)
    pictures = map(_image, sorted((found.path / "figures").glob("*.png")))
    _write_events(folder / "figures", [picture for picture in pictures if picture])
    _write_projector(folder, found)
    return folder


def _scalar(name: str, step: int, value: float) -> dict[str, Any]:
    return {"step": step, "summary": {"value": [{"tag": name, "simple_value": value}]}}


def _image(path: Path) -> dict[str, Any] | None:
    """None of a file that is no picture any more: the others are still worth seeing."""
    try:
        with Image.open(path) as picture:
            width, height = picture.size
    except UnidentifiedImageError:
        return None
    image = {"height": height, "width": width, "colorspace": 4, "encoded_image_string": path.read_bytes()}
    return {"step": 0, "summary": {"value": [{"tag": path.stem, "image": image}]}}


def _write_events(folder: Path, events: list[dict[str, Any]]) -> None:
    """One file of events, whole or not at all, in the format of TFRecord files."""
    try:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.record_writer import RecordWriter
    except ImportError:
        raise InputError("TensorBoard is not installed; install it with: pip install 'flipgrad[tensorboard]'") from None
    content = io.BytesIO()
    writer = RecordWriter(content)
    writer.write(Event(file_version="brain.Event:2").SerializeToString())
    now = time.time()
    for event in events:
        summary = Summary(value=[Summary.Value(**_value(Summary, value)) for value in event["summary"]["value"]])
        writer.write(Event(step=event["step"], wall_time=now, summary=summary).SerializeToString())
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / "events.out.tfevents.0.flipgrad", content.getvalue())


def _value(summary: Any, value: dict[str, Any]) -> dict[str, Any]:
    return value | ({"image": summary.Image(**value["image"])} if "image" in value else {})


def _write_projector(folder: Path, found: Contents) -> None:
    """Features, names and images of the rows as the projector reads them, from files beside each other."""
    if found.inputs is None or not found.recordings:
        return
    sheet = _write_sprite(folder, found.inputs)
    parts = []
    for (mode, seed), recorded in found.recordings.items():
        name = f"{mode}-{seed}"
        features = np.concatenate([recorded.source_features[-1], recorded.target_features[-1]])
        write_whole(folder / f"{name}.bytes", struct.pack(f"<{features.size}f", *features.ravel()))
        write_whole(folder / f"{name}.tsv", _metadata(found.inputs, recorded).encode(errors="replace"))
        parts.append(
            f'embeddings {{\n  tensor_name: "{name}"\n  tensor_shape: {features.shape[0]}\n'
            f'  tensor_shape: {features.shape[1]}\n  tensor_path: "{name}.bytes"\n  metadata_path: "{name}.tsv"\n'
            f"{sheet}}}\n"
        )
    write_whole(folder / "projector_config.pbtxt", "".join(parts).encode())


def _write_sprite(folder: Path, inputs: Inputs) -> str:
    """The images on one sheet; returns what the projector has to know of it, nothing for other rows."""
    if not are_images(inputs.source_x):
        return ""
    picture, width, height = sprite(inputs.source_x, inputs.target_x, _SPRITE_SIDE)
    content = io.BytesIO()
    picture.save(content, "PNG")
    write_whole(folder / "sprite.png", content.getvalue())
    return (
        '  sprite {\n    image_path: "sprite.png"\n'
        f"    single_image_dim: {width}\n    single_image_dim: {height}\n  }}\n"
    )


def _metadata(inputs: Inputs, recorded: Recording) -> str:
    """A line a row.  The class of a row of the target is the predicted one: its labels are not looked at."""
    lines = [("domain", "class", "predicted", "id")]
    for domain, ids, logits, labels in (
        ("source", inputs.source_ids, recorded.source_logits[-1], inputs.source_y),
        ("target", inputs.target_ids, recorded.target_logits[-1], None),
    ):
        predicted = logits.argmax(axis=-1)
        for row, name in enumerate(ids):
            shown = predicted[row] if labels is None else labels[row]
            lines.append((domain, _named(inputs, shown), _named(inputs, predicted[row]), str(name)))
    return "\n".join("\t".join(" ".join(cell.split()) or "-" for cell in line) for line in lines) + "\n"


def _named(inputs: Inputs, place: int) -> str:
    return str(inputs.classes[place]) if place < len(inputs.classes) else str(place)
