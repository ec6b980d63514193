"""Pairs of domains: every row, every pass, every kind of data."""

import tempfile

import keras
import numpy as np
import pytest

import flipgrad as fg
from flipgrad.data import pair_domains
from flipgrad.errors import InputError


def _numbered(rows, start=0):
    """Rows that carry their own number, and labels."""
    x = np.arange(start, start + rows, dtype="float32")[:, None]
    return x, np.arange(rows, dtype="int32") % 5


def _epoch(pairs, epoch=0):
    """All batches of an epoch as (source numbers, target numbers, labels), each (steps, rows)."""
    pairs.set_epoch(epoch)
    batches = [pairs[i] for i in range(len(pairs))]
    source = np.array([x["source"][:, 0] for x, *_ in batches])
    target = np.array([x["target"][:, 0] for x, *_ in batches])
    return source, target, np.array([rest[0] for _, *rest in batches])


# Coverage ---------------------------------------------------------------------------------------------


def test_one_epoch_of_50000_and_1000():
    source, target = _numbered(50_000), _numbered(1000)[0]
    pairs = pair_domains(source, target, batch_size=64)
    assert len(pairs) == 782  # 50,000 / 64, rounded up
    xs, xt, ys = _epoch(pairs)
    assert xs.shape == xt.shape == ys.shape == (782, 64)  # no short batch
    np.testing.assert_array_equal(source[1][xs.astype(int)], ys)  # labels stay with their rows
    in_order = xs.ravel()
    assert len(np.unique(in_order[:50_000])) == 50_000  # every row once, and then the next pass
    assert np.bincount(in_order.astype(int)).max() == 2
    passes = xt.ravel()[:50_000].reshape(50, 1000)
    assert (np.sort(passes, axis=1) == np.arange(1000)).all()  # every row equally often
    assert len(np.unique(passes, axis=0)) == 50  # every pass in an order of its own
    counts = np.bincount(xt.ravel().astype(int))
    assert counts.max() - counts.min() <= 1


def test_the_longer_domain_sets_the_length():
    pairs = pair_domains(_numbered(10), _numbered(95)[0], batch_size=(4, 10))
    assert len(pairs) == 10
    xs, xt, _ = _epoch(pairs)
    assert xs.shape == (10, 4)
    assert xt.shape == (10, 10)
    assert len(np.unique(xt.ravel()[:95])) == 95
    assert (np.bincount(xs.ravel().astype(int)) == 4).all()


def test_no_row_is_lost_between_epochs():
    pairs = pair_domains(_numbered(10), _numbered(7)[0], batch_size=4)  # 3 steps = 12 rows
    rows = np.concatenate([np.stack(_epoch(pairs, e)[:2]).reshape(2, -1) for e in range(35)], axis=1)
    assert (np.bincount(rows[0].astype(int)) == 42).all()
    assert (np.bincount(rows[1].astype(int)) == 60).all()
    for begin in range(0, 420, 10):
        assert len(np.unique(rows[0, begin : begin + 10])) == 10


def test_a_batch_longer_than_the_domain():
    pairs = pair_domains(_numbered(20), _numbered(3)[0], batch_size=8)
    _, xt, _ = _epoch(pairs)
    assert xt.shape == (3, 8)
    assert np.bincount(xt.ravel().astype(int)).tolist() == [8, 8, 8]


# Determinism ------------------------------------------------------------------------------------------


def _pairs(seed=0, target=True):
    source, x = _numbered(40), _numbered(30)[0]
    return pair_domains(source, x if target else None, batch_size=8, seed=seed)


def test_the_seed_decides():
    first, again = _pairs(3), _pairs(3)
    _ = [again[i] for i in (4, 0, 2)]  # whatever was read before, in whatever order
    np.random.default_rng(0).normal()
    keras.utils.set_random_seed(99)
    for a, b in zip(_epoch(first, 2), _epoch(again, 2), strict=True):
        np.testing.assert_array_equal(a, b)
    others = _epoch(_pairs(4), 2)
    assert all((a != b).any() for a, b in zip(_epoch(first, 2)[:2], others, strict=False))


def test_epochs_differ():
    pairs = _pairs()
    epochs = [_epoch(pairs, e) for e in range(4)]
    for part in (0, 1):
        orders = {epoch[part].tobytes() for epoch in epochs}
        assert len(orders) == 4


def test_the_domains_have_orders_of_their_own():
    pairs = pair_domains(_numbered(40), _numbered(40)[0], batch_size=8)
    xs, xt, _ = _epoch(pairs)
    assert (xs != xt).mean() > 0.8


def test_without_a_target_the_source_rows_are_the_same():
    """So that source-only training and DANN see the same labelled batches."""
    alone, paired = _pairs(target=False), _pairs()
    for epoch in (0, 3):
        xs, _, ys = _epoch(paired, epoch)
        alone.set_epoch(epoch)
        for index in range(len(alone)):
            x, y = alone[index]
            np.testing.assert_array_equal(x[:, 0], xs[index])
            np.testing.assert_array_equal(y, ys[index])


def _seen_by_fit(pairs, tiny, epochs, **arguments):
    """Row numbers that reach the training step, from the sum that an objective logs of every batch."""

    class Sums(keras.layers.Layer):
        def __init__(self):
            super().__init__(dtype="float32", autocast=False)
            self.source_sum = keras.metrics.Sum(name="source_sum")
            self.target_sum = keras.metrics.Sum(name="target_sum")

        def build(self, feature_shape):
            self.built = True

        def call(self, source, target, progress, labels=None):
            self.source_sum.update_state(source["features"])
            self.target_sum.update_state(target["features"])
            return 0.0 * progress

    encoder = keras.Sequential([keras.Input((1,)), keras.layers.Identity()])
    classifier = keras.Sequential([keras.layers.Dense(5)])
    model = fg.DomainAdaptationModel(encoder, classifier, [Sums()])
    model.compile("sgd")
    history = model.fit(pairs, epochs=epochs, verbose=0, **arguments).history
    return np.stack([history["source_sum"], history["target_sum"]], axis=1)


def test_fit_trains_on_the_batches_of_getitem(tiny):
    """On TensorFlow through tf.data, elsewhere through the PyDataset."""
    expected = []
    pairs = pair_domains(_numbered(37), _numbered(23, 1000)[0], batch_size=8, seed=5)
    for epoch in range(3):
        xs, xt, _ = _epoch(pairs, epoch)
        expected.append((xs.sum(), xt.sum()))
    assert len({e[0] for e in expected}) == 3
    np.testing.assert_allclose(_seen_by_fit(pairs, tiny, 3), expected, rtol=1e-6)
    continued = _seen_by_fit(pairs, tiny, 3, initial_epoch=1)
    np.testing.assert_allclose(continued, expected[1:], rtol=1e-6)


def test_the_tensorflow_pipeline_gives_the_same_batches(backend):
    if backend != "tensorflow":
        pytest.skip("tf.data is used on the TensorFlow backend only")
    pairs = pair_domains(_numbered(37), _numbered(23, 1000)[0], batch_size=(8, 5), seed=5)
    pipeline = pairs.for_backend()
    assert int(pipeline.cardinality()) == len(pairs)
    for epoch in (0, 1, 4):
        pairs.set_epoch(epoch)
        count = 0
        for index, (x, y) in enumerate(pipeline):
            expected_x, expected_y = pairs[index]
            for domain in ("source", "target"):
                np.testing.assert_array_equal(x[domain].numpy(), expected_x[domain])
            np.testing.assert_array_equal(y.numpy(), expected_y)
            count += 1
        assert count == len(pairs)


def test_types_are_kept():
    x = np.zeros((8, 2, 2, 3), "uint8")
    batch, y, weight = pair_domains((x, np.zeros(8, "int64"), np.ones(8)), x, batch_size=4)[0]
    assert batch["source"].dtype == batch["target"].dtype == np.uint8
    assert y.dtype == np.int64
    assert weight.shape == (4,)


# Other kinds of data ----------------------------------------------------------------------------------


class _Batches(keras.utils.PyDataset):
    def __init__(self, x, y=None, rows=5):
        super().__init__()
        self.x, self.y, self.rows, self.epochs = x, y, rows, 0

    def __len__(self):
        return len(self.x) // self.rows

    def __getitem__(self, index):
        rows = slice(index * self.rows, (index + 1) * self.rows)
        return (self.x[rows], self.y[rows]) if self.y is not None else self.x[rows]

    def on_epoch_end(self):
        self.epochs += 1


def _tf_data(x, y=None, rows=5):
    tensorflow = pytest.importorskip("tensorflow")
    return tensorflow.data.Dataset.from_tensor_slices((x, y) if y is not None else x).batch(rows)


def _torch_loader(x, y=None, rows=5):
    torch = pytest.importorskip("torch")
    tensors = [torch.from_numpy(part) for part in (x, y) if part is not None]
    data = torch.utils.data.TensorDataset(*tensors)
    return torch.utils.data.DataLoader(data, batch_size=rows)


KINDS = {"PyDataset": _Batches, "tf.data": _tf_data, "DataLoader": _torch_loader}


@pytest.mark.parametrize("kind", KINDS)
def test_datasets_as_source_and_target(kind):
    (xs, ys), xt = _numbered(40), _numbered(15, 1000)[0]
    pairs = pair_domains(KINDS[kind](xs, ys), KINDS[kind](xt, np.zeros(15)))
    assert len(pairs) == 8
    assert pairs.input_shape == (None, 1)
    source, target, labels = _epoch(pairs)
    assert sorted(source.ravel()) == list(range(40))
    np.testing.assert_array_equal(labels, ys[source.astype(int)])
    passes = target.ravel()[:30].reshape(2, 15)
    assert (np.sort(passes, axis=1) == np.arange(1000, 1015)).all()
    more, _, _ = _epoch(pairs, 1)
    assert sorted(more.ravel()) == list(range(40))


@pytest.mark.parametrize("kind", KINDS)
def test_a_dataset_beside_arrays(kind, tiny):
    (xs, ys), xt = _numbered(40), _numbered(15, 1000)[0]
    for pairs in (
        pair_domains((xs, ys), KINDS[kind](xt), batch_size=5),
        pair_domains(KINDS[kind](xs, ys), xt, batch_size=5),
    ):
        source, target, _ = _epoch(pairs)
        assert sorted(source.ravel()) == list(range(40))
        assert set(target.ravel()) == set(range(1000, 1015))


@pytest.mark.parametrize("kind", KINDS)
def test_fit_on_datasets(kind, tiny):
    """Every batch reaches the training once: Keras looks at the first one, and it is not lost."""
    (xs, ys), xt = _numbered(40), _numbered(40, 1000)[0]
    pairs = pair_domains(KINDS[kind](xs, ys), KINDS[kind](xt))
    expected = [[xs.sum(), xt.sum()]] * 3
    np.testing.assert_allclose(_seen_by_fit(pairs, tiny, 3), expected, rtol=1e-6)


def test_every_fit_on_a_dataset_goes_on_with_new_batches(tiny):
    (xs, ys), xt = _numbered(40), _numbered(40, 1000)[0]
    pairs = pair_domains(_tf_data(xs, ys), _tf_data(xt))
    sums = [_seen_by_fit(pairs, tiny, 1, steps_per_epoch=3)[0, 0] for _ in range(2)]
    assert sums == [xs[:15].sum(), xs[15:30].sum()]


def test_the_seed_orders_the_batches_of_a_pydataset():
    def order(seed):
        (xs, ys), xt = _numbered(40), _numbered(40, 1000)[0]
        data = _Batches(xs, ys)
        pairs = pair_domains(data, _Batches(xt), seed=seed)
        result = _epoch(pairs)[0], _epoch(pairs, 1)[0]
        assert data.epochs == 1  # told of the end of a pass, when the next one began
        return result

    first, again, other = order(1), order(1), order(2)
    np.testing.assert_array_equal(first, again)
    assert (first[0] != other[0]).any()
    assert (first[0] != first[1]).any()


def test_a_dataset_of_unknown_length(tiny):
    tensorflow = pytest.importorskip("tensorflow")
    (xs, ys), xt = _numbered(40), _numbered(40, 1000)[0]
    endless = tensorflow.data.Dataset.from_tensor_slices((xs, ys)).repeat().batch(5)
    pairs = pair_domains(endless, None)
    with pytest.raises(TypeError, match="steps_per_epoch"):
        len(pairs)
    with pytest.raises(ValueError, match="steps_per_epoch"):
        _seen_by_fit(pairs, tiny, 1)
    assert len(pair_domains(endless, xt, 5)) == 8
    assert len(pairs.with_steps(3)) == 3
    with pytest.raises(TypeError):
        len(pairs)


def test_a_generator_is_refused():
    with pytest.raises(InputError, match=r"`target`.*again and again"):
        pair_domains(_numbered(4), iter([]), batch_size=2)


# Rows that are read when they are asked for -------------------------------------------------------------


class _Rows:
    """An array-like that NumPy cannot convert, and that counts what is read."""

    def __init__(self, array):
        self._array, self.shape, self.dtype, self.ndim, self.read = array, array.shape, array.dtype, array.ndim, 0

    def __len__(self):
        return len(self._array)

    def __getitem__(self, rows):
        result = self._array[rows]
        self.read += len(result)
        return result


def _memory_map(array):
    with tempfile.TemporaryFile() as file:
        file.write(array.tobytes())
        file.flush()
        return np.memmap(file, array.dtype, "r", shape=array.shape)


ON_DISK = {"array-like": _Rows, "memory map": _memory_map}


@pytest.mark.parametrize("kind", ON_DISK)
def test_rows_on_disk_come_in_the_order_of_arrays(kind):
    (xs, ys), xt = _numbered(37), _numbered(23, 1000)[0]
    lazy = pair_domains((ON_DISK[kind](xs), ys), ON_DISK[kind](xt), 8, seed=5)
    whole = pair_domains((xs, ys), xt, 8, seed=5)
    for epoch in (0, 1, 4, 0):
        for a, b in zip(_epoch(lazy, epoch), _epoch(whole, epoch), strict=True):
            np.testing.assert_array_equal(a, b)
    lazy.set_epoch(2)
    whole.set_epoch(2)
    for index in (3, 0, 3, -1):  # what was read ahead is not taken for something else
        np.testing.assert_array_equal(lazy[index][0]["source"], whole[index][0]["source"])
    with pytest.raises(IndexError):
        lazy[len(lazy)]
    for a, b in zip(_epoch(lazy.with_steps(3), 1), _epoch(whole.with_steps(3), 1), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("kind", ON_DISK)
def test_fit_on_rows_on_disk(kind, tiny):
    (xs, ys), xt = _numbered(37), _numbered(23, 1000)[0]
    lazy = pair_domains((ON_DISK[kind](xs), ys), ON_DISK[kind](xt), 8, seed=5)
    whole = pair_domains((xs, ys), xt, 8, seed=5)
    np.testing.assert_array_equal(_seen_by_fit(lazy, tiny, 3), _seen_by_fit(whole, tiny, 3))


def test_only_the_rows_of_the_batches_are_read(tiny):
    (xs, ys), xt = _numbered(4000), _Rows(_numbered(4000)[0])
    source = _Rows(xs)
    _seen_by_fit(pair_domains((source, ys), xt, 4), tiny, 1, steps_per_epoch=3)
    assert 12 <= source.read < 100
    assert 12 <= xt.read < 100


def test_what_numpy_can_convert_is_converted():
    """A pandas column counts rows by its index: read row by row it would give other rows."""
    pandas = pytest.importorskip("pandas")
    labels = pandas.Series(np.arange(6), index=range(100, 106))
    assert sorted(pair_domains((X, labels), X, 6)[0][1]) == list(range(6))


def test_errors_while_reading_ahead_are_raised(backend):
    class Broken(_Rows):
        def __getitem__(self, rows):
            if len(rows) == 2:
                raise InputError("image 3 is gone")
            return super().__getitem__(rows)

    pairs = pair_domains((Broken(X), Y), X, 2)
    with pytest.raises(InputError, match="image 3 is gone"):
        pairs[0]


# Missing values -----------------------------------------------------------------------------------------


def test_missing_values_where_they_are_allowed():
    x = _holed(np.nan)
    pairs = pair_domains((x, Y), x, batch_size=6, allow_missing=True)
    batch = pairs[0][0]
    assert np.isnan(batch["source"]).sum() == np.isnan(batch["target"]).sum() == 1
    loader = pair_domains(_Batches(x, Y, rows=6), x, 6, allow_missing=True)
    assert np.isnan(loader[0][0]["source"]).sum() == 1


@pytest.mark.parametrize("kind", [np.asarray, _memory_map])
def test_infinity_is_refused_even_so(kind):
    for value in (np.inf, -np.inf):
        with pytest.raises(
            InputError, match=r"`target`, x: expected finite values or NaN, received infinity in 1 of 6"
        ):
            pair_domains((X, Y), kind(_holed(value)), 2, allow_missing=True)
    with pytest.raises(InputError, match=r"`target`, x: expected finite values, received NaN or infinity in 1 of 6"):
        pair_domains((X, Y), kind(_holed(np.nan)), 2)


@pytest.mark.parametrize("part", [1, 2])
def test_labels_and_weights_are_never_missing(part):
    parts = [X, Y.astype("float32"), np.ones(6)]
    parts[part] = np.full(6, np.nan)
    with pytest.raises(InputError, match="NaN or infinity in 6 of 6"):
        pair_domains(tuple(parts), X, 2, allow_missing=True)


def test_wrong_rows_are_found_in_every_part(monkeypatch):
    monkeypatch.setattr("flipgrad.data._streams._CHECKED_AT_A_TIME", 4)
    with pytest.raises(InputError, match="in 1 of 6 rows, first in row 4"):
        pair_domains((_holed(np.nan), Y), X, 2)


# Bad input --------------------------------------------------------------------------------------------

X, Y = np.zeros((6, 2), "float32"), np.zeros(6, "int32")


def _holed(value):
    x = X.copy()
    x[4, 1] = value
    return x


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ((X[:0], Y[:0]), X, r"`source`, x: expected at least one row, received shape \(0, 2\)"),
        ((X, Y), X[:0], r"`target`, x: expected at least one row"),
        ((X, Y[:5]), X, r"`source`: expected equally many rows.*'x': 6, 'y': 5"),
        ((X, Y, np.ones(3)), X, r"`source`: expected equally many rows.*'sample_weight': 3"),
        ((X,), X, r"`source`: expected \(x, y\)"),
        (X, X, r"`source`: expected \(x, y\)"),
        ((X, Y, Y, Y), X, r"`source`: expected \(x, y\)"),
        ((_holed(np.nan), Y), X, r"`source`, x: .*NaN or infinity in 1 of 6 rows, first in row 4"),
        ((X, Y), _holed(np.inf), r"`target`, x: .*NaN or infinity in 1 of 6 rows, first in row 4"),
        ((X, Y), _holed(-np.inf).astype("float16"), r"first in row 4"),
        ((X, Y), X[:, :1], r"expected samples of one shape, received \(2,\) and \(1,\)"),
        ((X, Y), {"a": X}, "expected samples of one shape"),
        (({"a": X, "b": X[:3]}, Y), X, r"equally many rows.*'x.a': 6, 'x.b': 3"),
        (({"a": _holed(np.nan), "b": X}, Y), X, r"`source`, x.a: .*row 4"),
        ((X.astype(str), Y), X, r"`source`, x: expected numbers"),
        ((X, np.array(list("abcdef"))), X, r"`source`, y: expected numbers.*np.unique"),
        ((X, np.array(list("012012"))), X, r"`source`, y: expected numbers"),
        ((X, Y.astype(object)), X, r"`source`, y: expected numbers"),
        ((X, Y), X.astype("complex64"), r"`target`, x: expected numbers"),
        ((X, Y + 0.5), X, r"y: expected class numbers, received fractions such as 0.5"),
        ((X, (Y + 0.5)[:, None]), X, r"y: expected class numbers, received fractions"),
        ((X, np.full(6, np.nan)), X, r"`source`, y: .*NaN"),
        ((X, Y), (X, Y), r"`target`: expected x as arrays.*received tuple"),
        ((X, Y), 5, r"`target`: expected x.*received 5"),
        ("images", X, r"`source`: expected \(x, y\).*received 'images'"),
        (None, X, r"`source`: expected \(x, y\)"),
    ],
)  # fmt: skip
def test_bad_arrays(source, target, message):
    with pytest.raises(InputError, match=message):
        pair_domains(source, target, batch_size=2)


@pytest.mark.parametrize("size", [None, 0, -3, 2.5, True, "4", [2, 2], (0, 2), (2, None)])
def test_bad_batch_sizes(size):
    with pytest.raises(InputError, match="`batch_size`: expected a positive whole number"):
        pair_domains((X, Y), X, size)


def test_bad_batches_of_a_dataset():
    with pytest.raises(InputError, match=r"`source`, x: .*NaN"):
        pair_domains(_Batches(_holed(np.nan)[3:], Y[3:], rows=3), X, 2)
    with pytest.raises(InputError, match=r"`source`: expected \(x, y\)"):
        pair_domains(_Batches(X, rows=3), X, 2)


def test_whole_numbers_in_float_are_labels():
    x, y = pair_domains((X, Y.astype("float64")), X, 2)[0]
    assert y.shape == (2,)
    assert x["source"].shape == (2, 2)


def test_bfloat16_is_a_number():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    small = X.astype(ml_dtypes.bfloat16)
    assert pair_domains((small, Y), small, 2)[0][0]["source"].dtype == ml_dtypes.bfloat16
    with pytest.raises(InputError, match="row 4"):
        pair_domains((_holed(np.nan).astype(ml_dtypes.bfloat16), Y), small, 2)


def test_lists_are_arrays():
    pairs = pair_domains(([[0.0], [1.0]], [0, 1]), [[2.0], [3.0]], batch_size=2)
    x, y = pairs[0]
    assert sorted(x["target"].ravel()) == [2.0, 3.0]
    assert sorted(y) == [0, 1]
    for a, b in zip(pair_domains((X, Y), X, 2), pair_domains([X, Y], X, 2), strict=True):
        np.testing.assert_array_equal(a[0]["source"], b[0]["source"])
        np.testing.assert_array_equal(a[1], b[1])
    with pytest.raises(InputError, match=r"or .x, y, sample_weight., received 1 parts"):
        pair_domains([X], X, 2)


def test_nan_in_a_later_batch_of_a_dataset():
    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 4

        def __getitem__(self, index):
            return np.full((2, 1), np.nan if index == 3 else 0.0), np.zeros(2, "int32")

    pairs = pair_domains(Batches(), np.zeros((8, 1)), batch_size=2)
    with pytest.raises(InputError, match="NaN or infinity"):
        _ = [pairs[index] for index in range(4)]
