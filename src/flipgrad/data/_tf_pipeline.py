"""``PairedDomains`` of arrays as a ``tf.data`` pipeline; imported on the TensorFlow backend only."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import tensorflow as tf

from flipgrad.data._streams import on_disk


def gather_pipeline(pairs: Any) -> Any:
    """The batches of the present epoch of ``pairs``, drawn anew whenever the dataset is iterated.

    Args:
        pairs: a ``PairedDomains`` of array streams.
    """
    steps = len(pairs)
    readers = [tf.nest.map_structure(partial(_reader, stream), stream.parts) for stream in pairs.streams]

    # No control flow inside, so nothing for AutoGraph to convert.
    @tf.autograph.experimental.do_not_convert
    def epoch(_: Any) -> Any:
        orders = tf.numpy_function(pairs.epoch_orders, [], [tf.int32] * len(readers), stateful=True)
        for order, stream in zip(orders, pairs.streams, strict=True):
            order.set_shape((steps, stream.rows))
        return tf.data.Dataset.from_tensor_slices(tuple(orders))

    @tf.autograph.experimental.do_not_convert
    def gather(*orders: Any) -> Any:
        parts = [
            tf.nest.map_structure(lambda read, order=order: read(order), stream)
            for stream, order in zip(readers, orders, strict=True)
        ]
        return pairs.join(parts, lambda rows: tf.concat(rows, axis=0))

    # What is decoded or on disk is read by two threads, in the same order.
    threads = {"num_parallel_calls": 2, "deterministic": True} if pairs.is_on_disk else {}
    batches = tf.data.Dataset.range(1).flat_map(epoch).map(gather, **threads)
    # A fixed buffer: autotuning measures in a thread of its own, whose end every epoch would wait for (0.1 s).
    options = tf.data.Options()
    options.autotune.enabled = False
    return batches.prefetch(4).apply(tf.data.experimental.assert_cardinality(steps)).with_options(options)


def _reader(stream: Any, array: Any) -> Callable[[Any], Any]:
    """A function from row numbers to rows; an array in memory becomes a tensor, any other stays where it is."""
    if not on_disk(array):
        rows = tf.constant(array)
        return lambda order: tf.gather(rows, order)

    def read(order: Any) -> Any:
        rows_of = partial(stream.rows_of, array)
        batch = tf.numpy_function(rows_of, [order], tf.as_dtype(array.dtype), stateful=False)
        return tf.ensure_shape(batch, (*order.shape, *array.shape[1:]))

    return read
