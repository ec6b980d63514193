"""Step and horizon: exact, never stale, saved, on every backend."""

import keras
import numpy as np
import pytest

import flipgrad as fg


class Probe(keras.layers.Layer):
    """An objective that logs the progress it is given; it adds nothing to the loss."""

    def __init__(self):
        super().__init__(dtype="float32", autocast=False)
        self.mean = keras.metrics.Mean(name="progress")

    def build(self, feature_shape):
        self.built = True

    def call(self, source, target, progress, labels=None):
        self.mean.update_state(progress)
        return 0.0 * progress


@pytest.fixture
def probed(tiny):
    """A function: a compiled model that logs ``progress``."""

    def make(optimizer="sgd", **compiled):
        model = fg.DomainAdaptationModel(tiny.encoder(), tiny.classifier(), [Probe()])
        model.compile(optimizer, **compiled)
        return model

    return make


def _expected(epochs, steps=7, first=0):
    """Mean progress of each epoch, when progress before step k of N is k / N."""
    every = np.arange(first * steps, epochs * steps) / (epochs * steps)
    return every.reshape(-1, steps).mean(axis=1)


def _counters(model):
    return int(model.step.value), int(model.horizon.value)


@pytest.mark.parametrize("at_once", [1, 3, 7, 16])
def test_counts_every_step_once(probed, tiny, backend, at_once):
    if backend == "torch" and at_once > 1:
        pytest.skip("Keras does not have steps_per_execution on torch")
    model = probed(steps_per_execution=at_once)
    history = model.fit(tiny.pairs(), epochs=2, verbose=0).history
    assert _counters(model) == (14, 14)
    np.testing.assert_allclose(history["progress"], _expected(2), rtol=1e-6)


def test_the_horizon_is_never_stale(probed, tiny):
    """A second fit restarts, one with another length follows that length, a continued one goes on."""
    model = probed()
    history = model.fit(tiny.pairs(), epochs=2, verbose=0).history
    np.testing.assert_allclose(history["progress"], _expected(2), rtol=1e-6)
    for epochs, first in ((2, 0), (4, 0), (1, 0), (3, 1), (3, 2)):
        history = model.fit(tiny.pairs(), epochs=epochs, initial_epoch=first, verbose=0).history
        np.testing.assert_allclose(history["progress"], _expected(epochs, first=first), rtol=1e-6)
        assert _counters(model) == (7 * epochs, 7 * epochs)


def test_steps_per_epoch_sets_the_length_of_one_run(probed, tiny):
    model, pairs = probed(), tiny.pairs()
    history = model.fit(pairs, epochs=3, steps_per_epoch=2, verbose=0).history
    np.testing.assert_allclose(history["progress"], _expected(3, steps=2), rtol=1e-6)
    assert _counters(model) == (6, 6)
    assert len(pairs) == 7
    model.fit(pairs, verbose=0)
    assert _counters(model) == (7, 7)


def test_stops_early_and_tells_how_far_it_came(probed, tiny):
    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = True

    model = probed()
    model.fit(tiny.pairs(), epochs=5, callbacks=[Stop()], verbose=0)
    assert _counters(model) == (7, 35)


def test_a_callback_sees_the_step(probed, tiny):
    seen = []

    class Look(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(_counters(self.model))

    probed().fit(tiny.pairs(), epochs=3, callbacks=Look(), verbose=0)
    assert seen == [(7, 21), (14, 21), (21, 21)]


def test_predicting_and_evaluating_do_not_count(probed, tiny):
    model = probed()
    model.fit(tiny.pairs(), validation_data=(tiny.xs, tiny.ys), verbose=0)
    model.evaluate(tiny.pairs(), verbose=0)
    model.predict(tiny.xs, verbose=0)
    assert _counters(model) == (7, 7)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_counts_beyond_256_in_mixed_precision(tiny, policy):
    keras.config.set_dtype_policy(policy)
    model = fg.DANN(tiny.encoder(), tiny.classifier(), tiny.discriminator())
    model.compile("sgd")
    pairs = tiny.pairs(1)
    model.fit(pairs, steps_per_epoch=300, verbose=0)
    assert _counters(model) == (300, 300)
    np.testing.assert_allclose(float(model._progress()), 1.0)
    model.step.assign(299)
    np.testing.assert_allclose(float(model._progress()), 299 / 300, rtol=1e-6)


def test_an_unknown_length_is_refused(tiny):
    def batches():
        while True:
            yield {"source": tiny.xs[:4], "target": tiny.xt[:4]}, tiny.ys[:4]

    model = tiny.model(compiled=tiny.quick)
    with pytest.raises(ValueError, match="steps_per_epoch"):
        model.fit(batches(), verbose=0)
    model.fit(batches(), steps_per_epoch=3, epochs=2, verbose=0)
    assert _counters(model) == (6, 6)


@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_a_decay_of_another_length_is_refused(tiny, precision):
    keras.config.set_dtype_policy(precision)  # float16 wraps the optimizer for loss scaling

    def fit(total_steps, **arguments):
        sgd = keras.optimizers.SGD(fg.schedules.InverseDecay(total_steps))
        model = tiny.model(optimizer=sgd, compiled=tiny.quick)
        model.fit(tiny.pairs(14), verbose=0, **arguments)
        return model

    for wrong in (3, 5):
        with pytest.raises(ValueError, match=r"InverseDecay\(total_steps=4\)"):
            fit(wrong, epochs=2)
    model = fit(4, epochs=2)
    with pytest.raises(ValueError, match="compile again"):  # a second run would begin at its end
        model.fit(tiny.pairs(14), epochs=2, verbose=0)


def test_the_learning_rate_follows_its_formula(tiny):
    rates = []

    class Look(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            rates.append(float(self.model.optimizer.learning_rate))

    sgd = keras.optimizers.SGD(fg.schedules.InverseDecay(4))
    tiny.model(optimizer=sgd).fit(tiny.pairs(14), epochs=2, callbacks=[Look()], verbose=0)
    np.testing.assert_allclose(rates, 0.01 / (1 + 10 * np.arange(4) / 4) ** 0.75, rtol=1e-5)


def test_the_first_step_that_is_not_finite_is_remembered(tiny):
    model = tiny.model(optimizer=keras.optimizers.SGD(1e38), units=(8, 1))
    model.fit(tiny.pairs(), epochs=2, verbose=0)
    assert 0 < int(model.first_bad_step.value) < 7
    model = tiny.model()
    model.fit(tiny.pairs(14), verbose=0)
    assert int(model.first_bad_step.value) == -1
