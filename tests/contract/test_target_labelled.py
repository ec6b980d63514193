"""A few labelled rows of the target: in every batch, in both losses, never seen by an objective."""

import keras
import numpy as np
import pytest
from keras import layers

import flipgrad as fg
from flipgrad.errors import InputError

TURNED = 40  # rows of the target with labels


def _problem(rows=240):
    """Two classes; in the target they have changed places, so that only its labels can tell."""
    random = np.random.default_rng(0)
    y = np.arange(rows, dtype="int32") % 2
    x = (random.normal(scale=0.4, size=(rows, 2)) + np.stack([2 * y - 1, 0 * y], 1)).astype("float32")
    return (x, y), (x[::-1] + np.float32([0, 4]), 1 - y[::-1])


def _model(passes="joint", objectives=True, classes=2):
    encoder = keras.Sequential([keras.Input((2,)), layers.Dense(16, "relu"), layers.BatchNormalization(momentum=0.9)])
    classifier = keras.Sequential([layers.Dense(classes)])
    model = fg.DANN(encoder, classifier, strength=0.1, passes=passes) if objectives else None
    model = model or fg.DomainAdaptationModel(encoder, classifier)
    model.compile(keras.optimizers.Adam(0.02), metrics=["accuracy"])
    return model


def _accuracy(model, x, y):
    return float((model.predict(x, verbose=0).argmax(-1) == y).mean())


@pytest.mark.parametrize(("passes", "objectives"), [("joint", True), ("separate", True), ("joint", False)])
def test_a_few_labels_teach_what_the_source_cannot(passes, objectives):
    source, (xt, yt) = _problem()
    known = (xt[:TURNED], yt[:TURNED])
    accuracies = []
    for labelled in (None, known):
        keras.utils.set_random_seed(0)
        model = _model(passes, objectives)
        target = xt[TURNED:] if objectives else None
        model.fit(fg.data.pair_domains(source, target, 32, target_labelled=labelled), epochs=15, verbose=0)
        accuracies.append(_accuracy(model, xt[TURNED:], yt[TURNED:]))
    assert accuracies[0] < 0.5
    assert accuracies[1] > 0.9


@pytest.mark.parametrize("known", [5, 200])
@pytest.mark.parametrize("weighted", [False, True])
def test_batches(known, weighted):
    (x, y), (xt, yt) = _problem()
    weights = (np.full(len(y), 0.5, "float32"),) if weighted else ()
    pairs = fg.data.pair_domains((x, y, *weights), xt, (32, 16), target_labelled=(xt[:known], yt[:known].tolist()))
    rows = min(known, 32)
    seen = set()
    for batch in (pairs[i] for i in range(len(pairs))):
        parts, labels, *more = batch
        assert {name: len(part) for name, part in parts.items()} == {
            "source": 32,
            "target": 16,
            "target_labelled": rows,
        }
        # The labels of each part are beside it, those of the source first.
        order = [int(np.flatnonzero((x == row).all(1))[0]) for row in parts["source"]]
        np.testing.assert_array_equal(labels[:32], y[order])
        order = [int(np.flatnonzero((xt == row).all(1))[0]) for row in parts["target_labelled"]]
        assert max(order) < known
        np.testing.assert_array_equal(labels[32:], yt[order])
        seen |= set(order)
        if weighted:
            np.testing.assert_array_equal(more[0], [0.5] * 32 + [1.0] * rows)
    assert len(seen) == known
    plain = fg.data.pair_domains((x, y, *weights), None, 32, target_labelled=(xt[:known], yt[:known]))[0]
    assert plain[0].shape == (32 + rows, 2)
    assert len(plain[1]) == 32 + rows


def test_batches_of_dicts_and_datasets():
    (x, y), (xt, yt) = _problem()
    named = fg.data.pair_domains(({"a": x}, y), None, 32, target_labelled=({"a": xt[:7]}, yt[:7]))[0]
    assert named[0]["a"].shape == (39, 2)

    class Rows(keras.utils.PyDataset):
        def __len__(self):
            return 4

        def __getitem__(self, index):
            return x[:24], y[:24]

    parts, labels = fg.data.pair_domains(Rows(), xt, 16, target_labelled=(xt[:200], yt[:200]))[0]
    assert len(parts["target_labelled"]) == 24
    assert len(labels) == 48


def test_losses_are_those_of_the_two_sets():
    """Classification over source and labelled rows; domains: source against all of the target."""
    (x, y), (xt, yt) = _problem()
    model = _model()
    xs, ys, xu, xl, yl = x[:8], y[:8], xt[:6], xt[6:9], yt[6:9]
    pair = {"source": xs, "target": xu, "target_labelled": xl}
    outputs = model(pair, training=False)
    logits = np.concatenate([keras.ops.convert_to_numpy(model(rows, training=False)) for rows in (xs, xl)])
    np.testing.assert_allclose(keras.ops.convert_to_numpy(outputs["logits"]), logits, atol=1e-6)
    assert outputs["target"]["features"].shape[0] == 9

    labels = np.concatenate([ys, yl])
    total = float(model.compute_loss(pair, labels, outputs, training=False))
    features = [model.encode(rows) for rows in (xs, np.concatenate([xu, xl]))]
    domain = float(model.objectives[0]({"features": features[0]}, {"features": features[1]}, progress=0.0))
    shifted = logits - logits.max(1, keepdims=True)
    entropy = np.log(np.exp(shifted).sum(1)) - shifted[np.arange(11), labels]
    assert total == pytest.approx(entropy.mean() + domain, abs=1e-5)


def test_objectives_see_no_label_of_the_target():
    (x, y), (xt, yt) = _problem()

    class Spy(keras.layers.Layer):
        metrics = ()
        needs_logits = True

        def call(self, source, target, progress, labels=None, training=None):
            self.seen = np.asarray(keras.ops.convert_to_numpy(labels))
            self.rows = source["logits"].shape[0], target["logits"].shape[0]
            return keras.ops.sum(target["logits"]) * 0.0

    spy = Spy(name="spy")
    model = fg.DomainAdaptationModel(
        keras.Sequential([keras.Input((2,)), layers.Dense(4)]), keras.Sequential([layers.Dense(2)]), [spy]
    )
    model.compile("sgd")
    pair = {"source": x[:8], "target": xt[:6], "target_labelled": xt[6:9]}
    outputs = model(pair, training=False)
    model.compute_loss(pair, np.concatenate([y[:8], yt[6:9]]), outputs, training=False)
    np.testing.assert_array_equal(spy.seen, y[:8])
    assert spy.rows == (8, 9)
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(outputs["logits"]),
        keras.ops.convert_to_numpy(model(np.concatenate([x[:8], xt[6:9]]), training=False)),
        atol=1e-6,
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (x, y + 0.5), "`target_labelled`, y: expected class numbers, received fractions"),
        (lambda x, y: (x, ["a"] * len(y)), "`target_labelled`, y: expected numbers, received <U1"),
        (lambda x, y: (x[:, :1], y), r"`source` and `target_labelled`: expected samples of one shape"),
        (lambda x, y: (x[:0], y[:0]), "`target_labelled`, x: expected at least one row"),
        (lambda x, y: (x, y[:3]), "`target_labelled`: expected equally many rows"),
        (lambda x, y: x, r"`target_labelled`: expected \(x, y\) as arrays, received"),
        (lambda x, y: (x, y, y), r"`target_labelled`: expected \(x, y\) as arrays"),
        (lambda x, y: (x.astype("float64"), y), "`target_labelled`, x: expected float32 as in the source"),
        (lambda x, y: (x, np.eye(2)[y]), "`target_labelled`, y: expected labels as those of the source"),
        (lambda x, y: (x * np.nan, y), "`target_labelled`, x: expected finite values"),
    ],
)
def test_refusals(change, message):
    source, (xt, yt) = _problem()
    with pytest.raises(InputError, match=message):
        fg.data.pair_domains(source, xt, 32, target_labelled=change(xt[:9], yt[:9]))


def test_labels_outside_the_classes_are_refused():
    source, (xt, yt) = _problem()
    pairs = fg.data.pair_domains(source, xt, 32, target_labelled=(xt[:9], yt[:9] + 5))
    with pytest.raises(InputError, match="Labels: expected classes 0 to 1"):
        _model().fit(pairs, verbose=0)
