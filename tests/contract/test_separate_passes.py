"""passes="separate": each domain is normalised by itself; predict uses the target's statistics."""

import keras
import numpy as np
import pytest
from keras import layers

import flipgrad as fg

SHIFT = np.float32([4.0, -3.0])


def _problem(rows=160):
    """Two classes along the first diagonal; the target is the source, shifted."""
    random = np.random.default_rng(0)
    y = np.arange(2 * rows, dtype="int32") % 2
    x = (random.normal(scale=0.3, size=(2 * rows, 2)) + 2 * y[:, None] - 1).astype("float32")
    return (x[:rows], y[:rows]), (x[rows:] + SHIFT, y[rows:])


def _model(passes, **normalisation):
    encoder = keras.Sequential([keras.Input((2,)), layers.BatchNormalization(**normalisation), layers.Dense(8, "relu")])
    classifier = keras.Sequential([layers.Dense(2)])
    model = fg.DANN(encoder, classifier, strength=0.3, passes=passes)
    model.compile(keras.optimizers.Adam(0.02), metrics=["accuracy"])
    return model


def _statistics(model):
    """Moving means: the encoder's own, and the one kept for the source (None with joint passes)."""
    own = model.encoder.layers[0].moving_mean
    twins = model.source_statistics
    read = keras.ops.convert_to_numpy
    return read(own).copy(), read(twins[0]).copy() if twins else None


def _accuracy(model, x, y):
    return float((model.predict(x, verbose=0).argmax(-1) == y).mean())


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_separate(policy, tmp_path):
    keras.config.set_dtype_policy(policy)
    source, target = _problem()
    model = _model("separate", momentum=0.9)
    model.fit(fg.data.pair_domains(source, target[0], 32), epochs=12, verbose=0)

    own, kept = _statistics(model)
    np.testing.assert_allclose(own, target[0].mean(0), atol=0.15)
    np.testing.assert_allclose(kept, source[0].mean(0), atol=0.15)
    assert _accuracy(model, *target) > 0.97

    # Statistics are of the domain that they are named for: the source looks shifted to predict.
    paired = model({"source": source[0], "target": target[0]}, training=False)
    seen = keras.ops.convert_to_numpy(paired["logits"]).argmax(-1)
    assert (seen == source[1]).mean() > 0.97

    model.save(tmp_path / "model.keras")
    loaded = fg.load(tmp_path / "model.keras")
    for new, old in zip(_statistics(loaded), (own, kept), strict=True):
        np.testing.assert_array_equal(new, old)
    np.testing.assert_array_equal(loaded.predict(target[0], verbose=0), model.predict(target[0], verbose=0))
    np.testing.assert_array_equal(
        loaded.predictor.predict(target[0], verbose=0),
        model.predictor.predict(target[0], verbose=0),
    )


def test_joint():
    source, target = _problem()
    model = _model("joint", momentum=0.9)
    model.fit(fg.data.pair_domains(source, target[0], 32), epochs=12, verbose=0)
    own, kept = _statistics(model)
    assert kept is None
    np.testing.assert_allclose(own, np.mean([source[0].mean(0), target[0].mean(0)], 0), atol=0.3)
    assert _accuracy(model, *source) > 0.97


def test_every_step_updates_both_statistics_once():
    source, target = _problem()
    model = _model("separate", momentum=0.9)
    model.fit(fg.data.pair_domains(source, target[0], 160), epochs=1, verbose=0)  # all rows, one step
    own, kept = _statistics(model)
    np.testing.assert_allclose(own, 0.1 * target[0].mean(0), rtol=1e-3)
    np.testing.assert_allclose(kept, 0.1 * source[0].mean(0), atol=1e-4)


def test_without_batch_normalization_both_passes_are_the_same(tiny, weights_of):
    results = []
    for passes in ("joint", "separate"):
        model = tiny.model(passes=passes, compiled=tiny.quick)
        model.fit(tiny.pairs(), verbose=0)
        results.append(weights_of(model, trainable_only=True))
    for joint, separate in zip(*results, strict=True):
        np.testing.assert_allclose(joint, separate, atol=1e-6)


def test_dropout_works_in_separate_passes(tiny):
    encoder = tiny.encoder(layers.Dropout(0.5))
    model = fg.DANN(encoder, tiny.classifier(), passes="separate")
    model.compile("sgd")
    history = model.fit(tiny.pairs(), epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all()


@pytest.mark.parametrize("by_hand", [False, True])
def test_statistics_loaded_after_construction_are_those_of_both_domains(by_hand):
    model = _model("separate", momentum=0.9)
    normalisation = model.encoder.layers[0]
    normalisation.moving_mean.assign([7.0, 5.0])
    normalisation.trainable = False  # inference mode: the statistics stay
    source, target = _problem()
    model.compile("sgd")
    pairs = fg.data.pair_domains(source, target[0], 32)
    if by_hand:
        model.horizon.assign(len(pairs))
        for x, y in pairs:
            model.train_on_batch(x, y)
    else:
        model.fit(pairs, epochs=1, verbose=0)
    for statistics in _statistics(model):
        np.testing.assert_array_equal(statistics, [7.0, 5.0])


def test_a_second_fit_goes_on_with_its_statistics():
    source, target = _problem()
    model = _model("separate", momentum=0.9)
    for rows in (32, 160):
        model.fit(fg.data.pair_domains(source, target[0], rows), epochs=1, verbose=0)
    np.testing.assert_allclose(_statistics(model)[1], source[0].mean(0), atol=0.4)


def test_layers_frozen_and_unfrozen_after_construction(weights_of):
    source, target = _problem()
    model = _model("separate", momentum=0.9)
    dense = model.encoder.layers[1]
    for trainable in (False, True):
        dense.trainable = trainable
        model.compile("sgd")
        before = keras.ops.convert_to_numpy(dense.kernel).copy()
        model.fit(fg.data.pair_domains(source, target[0], 32), epochs=1, verbose=0)
        changed = not np.array_equal(keras.ops.convert_to_numpy(dense.kernel), before)
        assert changed == trainable


def test_losses_of_the_layers_count_for_both_passes(tiny):
    """Activity penalties are those of the joint pass, in training and in evaluating; weight penalties count once."""
    losses = []
    for passes in ("joint", "separate"):
        keras.utils.set_random_seed(0)
        penalised = layers.Dense(4, activity_regularizer=keras.regularizers.L2(0.1), kernel_regularizer="l2")
        encoder = keras.Sequential([keras.Input((3,)), penalised])
        classifier = tiny.classifier(layers.ActivityRegularization(l2=0.1))
        model = fg.DANN(encoder, classifier, strength=0.5, passes=passes)
        model.compile("sgd")
        evaluated = model.evaluate(tiny.pairs(), verbose=0, return_dict=True)
        history = model.fit(tiny.pairs(), epochs=1, verbose=0).history
        names = ("loss", "classification_loss")
        losses.append([evaluated[name] for name in names] + [history[name][0] for name in names])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)
    assert losses[0][0] > losses[0][1]


def test_encoding_by_hand_leaves_no_losses_behind(tiny):
    penalised = keras.Sequential([keras.Input((3,)), layers.Dense(4, activity_regularizer="l2")])
    model = fg.DANN(penalised, tiny.classifier(), passes="separate")
    for _ in range(2):
        model.encode(tiny.xs, "source")
    assert not model.losses


def test_spectral_normalization_is_that_of_the_joint_pass(tiny, weights_of):
    """The layer overwrites its kernel and its vector in every pass in training; both domains meet the same ones."""
    results = []
    for passes in ("joint", "separate"):
        keras.utils.set_random_seed(0)
        encoder = keras.Sequential([keras.Input((3,)), layers.SpectralNormalization(layers.Dense(4, "tanh"))])
        model = fg.DANN(encoder, tiny.classifier(), strength=0.5, passes=passes)
        model.compile(keras.optimizers.SGD(0.0))
        before = weights_of(model.encoder)
        history = model.fit(tiny.pairs(), epochs=2, verbose=0).history
        results.append((history["classification_loss"], history["domain_loss"], weights_of(model.encoder)))
    assert any((a != b).any() for a, b in zip(before, results[0][2], strict=True))
    for joint, separate in zip(*(r[:2] for r in results), strict=True):
        np.testing.assert_allclose(joint, separate, rtol=1e-5)
    for joint, separate in zip(results[0][2], results[1][2], strict=True):
        np.testing.assert_allclose(joint, separate, rtol=1e-5)


def test_dropout_draws_anew_in_every_pass(tiny):
    encoder = keras.Sequential([keras.Input((3,)), layers.Dropout(0.5)])
    model = fg.DANN(encoder, tiny.classifier(), passes="separate")
    rows = np.ones((50, 3), "float32")
    drawn = []
    for _ in range(2):
        outputs = model({"source": rows, "target": rows}, training=True)
        drawn += [keras.ops.convert_to_numpy(outputs[domain]["features"]) for domain in ("source", "target")]
    for i, one in enumerate(drawn):
        assert all((one != other).any() for other in drawn[:i])
