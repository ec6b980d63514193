"""Pairs of domains: training batches ``({"source": xs, "target": xt}, ys)``."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import tree

from flipgrad._checks import described
from flipgrad.data._read_ahead import ReadAhead
from flipgrad.data._streams import ArrayStream, LoaderStream, on_disk
from flipgrad.errors import InputError


def pair_domains(
    source: Any,
    target: Any,
    batch_size: int | tuple[int, int] | None = None,
    *,
    target_labelled: tuple[Any, Any] | None = None,
    seed: int = 0,
    allow_missing: bool = False,
) -> PairedDomains:
    """Pairs labelled source rows with unlabelled target rows, batch by batch.

    One epoch is one pass over the domain with more batches, rounded up to whole ones.  The other domain goes round
    as often as needed and is shuffled anew on every pass.  A batch that reaches the end of a pass is filled
    from the next one, so none is short and no sample is lost.

    Args:
        source: ``(x, y)`` or ``(x, y, sample_weight)``, arrays with rows along axis 0, where ``x`` may be a
            dict of arrays; or a ``tf.data.Dataset``, ``keras.utils.PyDataset`` or torch ``DataLoader`` that
            yields such batches.  A memory map, and any object with shape, dtype, ndim, length and
            ``x[row numbers]`` that NumPy cannot convert, is read batch by batch, ahead of the training.
        target: ``x``, or a dataset that yields ``x`` or ``(x, ...)``, of which all but ``x`` is ignored.  None
            gives plain batches ``(xs, ys)``, the same rows as with a target: source-only training.
        batch_size: rows of each domain in a batch, or ``(source rows, target rows)``.  Needed for arrays;
            datasets keep their own batches.
        target_labelled: ``(x, y)``, arrays: the few rows of the target whose labels are known.  As many of them as of
            the source, or all where there are fewer, join every batch: ``{"source": ..., "target": ...,
            "target_labelled": ...}``, with the labels of the source first.  Without a target they join the plain batch.
        seed: of every draw: the order of arrays and of the batches of a ``PyDataset``.  A ``tf.data.Dataset``
            or a ``DataLoader`` shuffles by itself; give it a seed or a generator of its own.
        allow_missing: whether ``x`` may be NaN where a value is missing, for encoders that begin with
            ``flipgrad.layers.TableFeatures``.

    Returns:
        A ``PairedDomains``, for ``DomainAdaptationModel.fit``.

    Raises:
        InputError: no rows, unequal numbers of samples and labels, samples of different shape, NaN (unless
            ``allow_missing``) or infinite values, labels that are no whole numbers, a missing batch size.
    """
    sizes = batch_size if isinstance(batch_size, tuple) else (batch_size, batch_size)
    if len(sizes) != 2:
        raise InputError(
            f"Argument `batch_size`: expected a number or (source rows, target rows), received {sizes}; "
            "give one or two."
        )
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise InputError(f"Argument `seed`: expected a whole number, 0 or greater, received {seed!r}; give one.")
    streams = {
        role: _stream(data, role, rows, [seed, domain], allow_missing)
        for domain, (data, role, rows) in enumerate(zip((source, target), ("source", "target"), sizes, strict=True))
        if domain == 0 or data is not None
    }
    if target_labelled is not None:
        streams["target_labelled"] = _labelled_stream(target_labelled, streams["source"], [seed, 2], allow_missing)
    return PairedDomains(streams)


def _stream(data: Any, role: str, rows: int | None, seed: list[int], allow_missing: bool) -> ArrayStream | LoaderStream:
    if isinstance(data, (tuple, list)) and role == "source":
        return ArrayStream(tuple(data), role, rows, seed, allow_missing)
    if hasattr(data, "shape") or isinstance(data, (dict, list)):
        return ArrayStream((data,), role, rows, seed, allow_missing)
    if hasattr(data, "__next__"):
        raise InputError(
            f"Argument `{role}`: expected a dataset that can be read again and again, received a "
            f"{type(data).__name__}, which ends after one pass; give a tf.data.Dataset, PyDataset or DataLoader."
        )
    is_dataset = hasattr(data, "__iter__") or isinstance(data, keras.utils.PyDataset)
    if is_dataset and not isinstance(data, (tuple, str, bytes)):
        return LoaderStream(data, role, seed, allow_missing)
    raise InputError(
        f"Argument `{role}`: expected {'(x, y)' if role == 'source' else 'x'} as arrays, or a dataset of "
        f"batches, received {described(data)}; give NumPy arrays, a tf.data.Dataset, PyDataset or DataLoader."
    )


def _labelled_stream(data: Any, source: Any, seed: list[int], allow_missing: bool) -> ArrayStream:
    """The labelled rows of the target, in a batch at most as many as of the source, each of weight 1."""
    role = "target_labelled"
    if not isinstance(data, (tuple, list)) or len(data) != 2:
        raise InputError(f"Argument `{role}`: expected (x, y) as arrays, received {described(data)}; give both.")
    x, y = data[0], np.asarray(data[1])
    labels, *weights = source.sample[1:]
    if y.shape[1:] != labels.shape[1:]:
        raise InputError(
            f"Argument `{role}`, y: expected labels as those of the source, {labels.shape[1:]} a row, received "
            f"{y.shape[1:]}; encode both alike."
        )
    rows = len(labels) if isinstance(source, LoaderStream) else source.rows
    ones = [np.ones(len(y), weight.dtype) for weight in weights]
    stream = ArrayStream((x, y, *ones), role, min(rows, max(len(y), 1)), seed, allow_missing)
    # Both are joined in a batch, so they have one type each.
    types = [tree.map_structure(lambda array: array.dtype, sample) for sample in (source.sample[0], stream.sample[0])]
    if types[0] != types[1]:
        raise InputError(
            f"Argument `{role}`, x: expected {types[0]} as in the source, received {types[1]}; convert one of them."
        )
    stream.parts = (stream.parts[0], y.astype(labels.dtype), *ones)
    return stream


class PairedDomains(keras.utils.PyDataset):
    """What ``pair_domains`` returns: batches of both domains, the same for every run with the same seed.

    ``len(pairs)`` is the number of steps of one epoch.  Batch ``i`` of epoch ``e`` of two arrays is a pure
    function of the seed and of ``e * len(pairs) + i``.  ``fit`` sets the epoch; a loop of your own calls
    ``set_epoch`` before it iterates.
    """

    def __init__(self, streams: Mapping[str, ArrayStream | LoaderStream]) -> None:
        super().__init__()
        self.roles = tuple(streams)
        self.streams = tuple(streams.values())
        self._epoch = 0
        self._steps: int | None = None
        self._orders: tuple[tuple[int, int], list[np.ndarray]] | None = None
        self._ahead: ReadAhead | None = None
        shapes = [tree.map_structure(lambda a: a.shape[1:], s.sample[0]) for s in self.streams]
        for role, shape in zip(self.roles, shapes, strict=True):
            if shape != shapes[0]:
                raise InputError(
                    f"Arguments `source` and `{role}`: expected samples of one shape, received {shapes[0]} and "
                    f"{shape}; bring both domains to the same shape."
                )

    @property
    def labels(self) -> Any:
        """All labels, None where those of the source come batch by batch (the others were checked by themselves)."""
        labels: list[Any] = [s.labels for role, s in zip(self.roles, self.streams, strict=True) if role != "target"]
        if any(each is None for each in labels):
            return None
        return labels[0] if len(labels) == 1 else np.concatenate(labels)

    @property
    def input_shape(self) -> Any:
        """Shape of one plain batch, first dimension None."""
        return tree.map_structure(lambda a: (None, *a.shape[1:]), self.streams[0].sample[0])

    def set_epoch(self, epoch: int) -> None:
        """The epoch, from 0, whose batches come next."""
        self._epoch = epoch

    def begin(self, epoch: int) -> None:
        """A new run that starts with ``epoch``, from 0; datasets go on with batches that no run has had."""
        self.set_epoch(epoch)
        for stream in self.streams:
            stream.error = None
        for stream in self._loaders():
            stream.begin()

    def check_each(self, check: Callable[[Any], None]) -> None:
        """Has ``check`` called with the labels of every new batch of a dataset; it raises where they are wrong."""
        for stream in self._loaders():
            stream.check_each(check)

    @property
    def error(self) -> InputError | None:
        """Why a batch was refused or could not be read; None where none was."""
        return next((stream.error for stream in self.streams if stream.error), None)

    def _loaders(self) -> list[LoaderStream]:
        return [stream for stream in self.streams if isinstance(stream, LoaderStream)]

    def with_steps(self, steps: int) -> PairedDomains:
        """The same with another number of steps for one epoch; the passes over the domains go on across epochs."""
        if isinstance(steps, bool) or not isinstance(steps, (int, np.integer)) or steps < 1:
            raise InputError(
                f"Argument `steps_per_epoch`: expected a positive whole number, received {described(steps)}; give one."
            )
        other = copy.copy(self)
        other._steps = int(steps)
        return other

    def __len__(self) -> int:
        steps = self._steps or max(stream.steps or 0 for stream in self.streams)
        if not steps:
            raise TypeError(
                "pair_domains: expected a dataset that knows its number of batches, received none; pass "
                "steps_per_epoch to fit."
            )
        return steps

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        """Batch ``index`` of the present epoch, as NumPy arrays."""
        first = self._epoch * len(self)
        if not self._arrays():
            return self.join([stream.batch(first + index) for stream in self.streams], np.concatenate)
        step = first + range(len(self))[index]
        if not self.is_on_disk:
            return self._read(step)
        self._ahead = self._ahead or ReadAhead(self._read)
        batch: tuple[Any, ...] = self._ahead(step)
        return batch

    def _read(self, step: int) -> tuple[Any, ...]:
        """The batch of a step counted from the beginning of the run, of arrays."""
        epoch, index = divmod(step, len(self))
        orders = self._orders_of(epoch)
        parts = [s.take(order[index]) for s, order in zip(self._arrays() or (), orders, strict=True)]
        return self.join(parts, np.concatenate)

    def join(self, parts: Sequence[tuple[Any, ...]], concatenate: Callable[[Sequence[Any]], Any]) -> tuple[Any, ...]:
        """The rows of each stream as one training batch; a plain batch where there is no target.

        Args:
            parts: ``(x, ...)`` of each stream.
            concatenate: joins arrays, or tensors, along the first axis.
        """
        by_role = dict(zip(self.roles, parts, strict=True))
        x: Any = {role: part[0] for role, part in by_role.items()}
        _, *rest = by_role["source"]
        if "target_labelled" in by_role:
            _, *more = by_role["target_labelled"]
            rest = [concatenate([one, other]) for one, other in zip(rest, more, strict=True)]
        if "target" not in by_role:  # a plain batch
            x = tree.map_structure(lambda *rows: concatenate(rows) if len(rows) > 1 else rows[0], *x.values())
        return (x, *rest)

    @property
    def is_on_disk(self) -> bool:
        """Whether any array is read or computed when its rows are asked for."""
        return any(on_disk(array) for stream in self._arrays() or () for array in tree.flatten(stream.parts))

    def _arrays(self) -> list[ArrayStream] | None:
        """The streams, if all of them are arrays and so can be read in any order."""
        arrays = [stream for stream in self.streams if isinstance(stream, ArrayStream)]
        return arrays if len(arrays) == len(self.streams) else None

    def epoch_orders(self) -> list[np.ndarray]:
        """Row numbers of the present epoch for each array stream: int32 ``(steps, batch)``."""
        return self._orders_of(self._epoch)

    def _orders_of(self, epoch: int) -> list[np.ndarray]:
        key, known = (epoch, len(self)), self._orders
        if known is None or known[0] != key:
            known = (key, [s.order(epoch * len(self), len(self)) for s in self._arrays() or ()])
            self._orders = known
        return known[1]

    def for_backend(self) -> Any:
        """This data in the form that the present backend reads fastest.

        On TensorFlow arrays become a ``tf.data`` pipeline of row numbers and a gather, a tenth of the cost
        of a Python generator; its order is drawn once per epoch by the same rule.
        """
        if keras.backend.backend() != "tensorflow" or not self._arrays():
            return self
        from flipgrad.data._tf_pipeline import gather_pipeline

        return gather_pipeline(self)
