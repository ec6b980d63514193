"""Saved and continued training gives the weights of uninterrupted training, on every backend."""

import keras
import numpy as np
import pytest

import flipgrad as fg


@pytest.fixture
def make(tiny):
    """A function: a new model, momentum and a decaying rate included."""

    def made(steps=21):
        rate = fg.schedules.InverseDecay(steps, initial_learning_rate=0.1)
        return tiny.model(fg.schedules.Ramp(), keras.optimizers.SGD(rate, momentum=0.9))

    return made


@pytest.fixture
def uninterrupted(make, tiny, weights_of):
    model = make()
    model.fit(tiny.pairs(), epochs=3, verbose=0)
    return weights_of(model, trainable_only=True)


def _assert_equal(found, expected):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-7)


def test_load_and_continue(make, tiny, uninterrupted, weights_of, tmp_path):
    model = make()

    class Interrupt(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.save(tmp_path / "model.keras")
            self.model.stop_training = True

    model.fit(tiny.pairs(), epochs=3, callbacks=[Interrupt()], verbose=0)
    loaded = fg.load(tmp_path / "model.keras")
    assert int(loaded.step.value) == int(loaded.optimizer.iterations) == 7
    assert int(loaded.horizon.value) == 21
    assert [o.strength.get_config() for o in loaded.objectives] == [{"gamma": 10.0, "maximum": 1.0}]
    loaded.fit(tiny.pairs(), epochs=3, initial_epoch=1, verbose=0)
    _assert_equal(weights_of(loaded, trainable_only=True), uninterrupted)


def test_without_the_optimizer_state_the_result_differs(make, tiny, uninterrupted, weights_of):
    """The comparison above can fail."""
    model = make()
    for first, last in ((0, 1), (1, 3)):
        rate = fg.schedules.InverseDecay(7 * last, initial_learning_rate=0.1)
        model.compile(keras.optimizers.SGD(rate, momentum=0.9))
        model.fit(tiny.pairs(), epochs=last, initial_epoch=first, verbose=0)
    found = weights_of(model, trainable_only=True)
    assert max(np.abs(a - b).max() for a, b in zip(found, uninterrupted, strict=True)) > 1e-4


def test_backup_and_restore(make, tiny, uninterrupted, weights_of, tmp_path):
    class PowerCut(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if self.epoch == 2 and batch >= 3:
                raise KeyboardInterrupt

        def on_epoch_begin(self, epoch, logs=None):
            self.epoch = epoch

    def backup():
        return keras.callbacks.BackupAndRestore(tmp_path / "backup")

    with pytest.raises(KeyboardInterrupt):
        make().fit(tiny.pairs(), epochs=3, callbacks=[backup(), PowerCut()], verbose=0)
    model = make()
    history = model.fit(tiny.pairs(), epochs=3, callbacks=[backup()], verbose=0)
    assert history.epoch == [2]
    assert (int(model.step.value), int(model.horizon.value)) == (21, 21)
    _assert_equal(weights_of(model, trainable_only=True), uninterrupted)
    # What a resume leaves in the model must not shorten the next run.
    model.compile("sgd")
    assert len(model.fit(tiny.pairs(), epochs=3, verbose=0).epoch) == 3


def test_a_backup_from_the_middle_of_an_epoch(tiny, tmp_path):
    """Keras begins that epoch again, and so do the schedules."""

    class PowerCut(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if int(self.model.step.value) >= 12:  # in the second epoch
                raise KeyboardInterrupt

    def fit(*callbacks):
        backup = keras.callbacks.BackupAndRestore(tmp_path / "backup", save_freq=5)
        model = tiny.model(compiled=tiny.quick)
        model.fit(tiny.pairs(), epochs=3, callbacks=[backup, *callbacks], verbose=0)
        return model

    with pytest.raises(KeyboardInterrupt):
        fit(PowerCut())
    model = fit()
    assert int(model.optimizer.iterations) > 14  # weights after some steps of the second epoch
    assert (int(model.step.value), int(model.horizon.value)) == (21, 21)


def test_a_backup_of_another_length_follows_the_new_one(tiny, tmp_path):
    def fit(epochs):
        backup = keras.callbacks.BackupAndRestore(tmp_path / "backup", delete_checkpoint=False)
        model = tiny.model(compiled=tiny.quick)
        model.fit(tiny.pairs(), epochs=epochs, callbacks=[backup], verbose=0)
        return int(model.step.value), int(model.horizon.value)

    assert fit(1) == (7, 7)
    assert fit(2) == (14, 14)


def test_model_checkpoint(tiny, weights_of, tmp_path):
    whole = keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.keras")
    weights = keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.weights.h5", save_weights_only=True)
    model = tiny.model()
    model.fit(tiny.pairs(), epochs=2, callbacks=[whole, weights], verbose=0)
    loaded = fg.load(tmp_path / "2.keras")
    _assert_equal(weights_of(loaded, True), weights_of(model, True))
    first, other = fg.load(tmp_path / "1.keras"), tiny.model(seed=9)
    assert int(first.step.value) == 7
    other.load_weights(tmp_path / "1.weights.h5")
    assert int(other.step.value) == 7
    _assert_equal(weights_of(other, True), weights_of(first, True))
    assert np.abs(weights_of(first, True)[0] - weights_of(model, True)[0]).max() > 0


def test_tensorboard(tiny, tmp_path):
    pytest.importorskip("tensorboard")
    board = keras.callbacks.TensorBoard(tmp_path / "board")
    tiny.model().fit(tiny.pairs(), validation_data=(tiny.xs, tiny.ys), callbacks=[board], verbose=0)
    assert list((tmp_path / "board").rglob("events.out.tfevents.*"))


def test_early_stopping_on_labelled_source(tiny):
    """Labels of the source only: the target's are not there to be looked at."""
    stop = keras.callbacks.EarlyStopping("val_loss", patience=1, restore_best_weights=True)
    model = tiny.model(optimizer=keras.optimizers.SGD(5.0))
    fit = model.fit(tiny.pairs(), epochs=30, validation_data=(tiny.xs, tiny.ys), callbacks=[stop], verbose=0)
    assert len(fit.epoch) < 30
    assert float(model.evaluate(tiny.xs, tiny.ys, verbose=0, return_dict=True)["loss"]) == pytest.approx(
        min(fit.history["val_loss"]), rel=1e-5
    )
