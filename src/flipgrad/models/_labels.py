"""Labels that arrive batch by batch: noted in the step, refused in one line afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras import ops

from flipgrad._checks import check_labels, sparse_loss
from flipgrad.data._streams import is_class_numbers
from flipgrad.data.pairing import PairedDomains
from flipgrad.errors import InputError


def labels_of(x: Any, y: Any) -> Any:
    """The labels of the first two arguments of ``fit`` or ``evaluate``, None where they come batch by batch."""
    return x.labels if isinstance(x, PairedDomains) else y


def note_labels(seen: Any, labels: Any, loss: Any) -> None:
    """Widens ``seen``, the int32 weight [lowest, highest label so far], by one batch.

    Inside the step, so that it works for every kind of dataset, and without waiting for the device.  TensorFlow needs
    none of it: there a label outside the classes raises in the step, or the loss is NaN.
    """
    loss = sparse_loss(loss)
    if keras.backend.backend() == "tensorflow" or loss is None or not is_class_numbers(labels):
        return
    labels = ops.cast(labels, "int32")
    ignored = loss.get_config().get("ignore_class")
    if ignored is not None:
        labels = ops.where(labels == ignored, 0, labels)
    low, high = ops.minimum(seen[0], ops.min(labels)), ops.maximum(seen[1], ops.max(labels))
    seen.assign(ops.stack([low, high]))


def forget_labels(model: Any) -> None:
    """Nothing seen yet; 0 is a class of every classifier."""
    model.label_range.assign(np.zeros(2, "int32"))


def refuse_labels_seen(model: Any) -> None:
    """Raises InputError where a batch since ``forget_labels`` had labels outside the classifier's classes."""
    check_labels(ops.convert_to_numpy(model.label_range), model.classes, model.loss)


def check_every_batch(model: Any, data: Any) -> None:
    """Has the labels of each batch of ``pair_domains`` checked before the step that they are for."""
    if isinstance(data, PairedDomains):
        data.check_each(lambda labels: check_labels(labels, model.classes, model.loss))


@contextmanager
def errors_of_batches(model: Any, *data: Any) -> Iterator[None]:
    """Raises what a batch was refused for, where a backend says it in words of its own.

    TensorFlow wraps an error of ``pair_domains`` in forty lines; PyTorch stops at a label in the step that noted it.
    """
    try:
        yield
    except Exception:
        reasons = [pairs.error for pairs in data if isinstance(pairs, PairedDomains) and pairs.error]
        try:
            if not reasons and keras.backend.backend() == "torch":
                refuse_labels_seen(model)
        except InputError as error:
            reasons = [error]
        if reasons:
            raise reasons[0] from None
        raise
