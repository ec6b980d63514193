"""A training that goes on from a checkpoint ends as one that never stopped, bit for bit, on every backend."""

import errno
import json
import os

import keras
import numpy as np
import pytest
from keras import layers

import flipgrad as fg
from flipgrad.checkpoint import Checkpoint, restore
from flipgrad.errors import InputError
from flipgrad.training import Reporter, Training

OPTIMIZERS = {
    "adam": lambda: keras.optimizers.Adam(1e-2),
    "momentum": lambda: keras.optimizers.SGD(fg.schedules.InverseDecay(28), momentum=0.9),
    "ema": lambda: keras.optimizers.Adam(1e-2, use_ema=True, ema_momentum=0.9),
}
EPOCHS = 4


@pytest.fixture
def make(tiny):
    """A function: a new compiled model with batch normalization and dropout, of the same weights each time."""

    def made(optimizer="adam", passes="joint", units=4, dropout_seed=5, compiled=tiny.quick):
        keras.utils.set_random_seed(3)
        dropout = [layers.Dropout(0.4, seed=dropout_seed) for _ in range(2)]
        encoder = tiny.encoder(layers.BatchNormalization(), dropout[0], units=units)
        model = fg.DANN(encoder, keras.Sequential([dropout[1], layers.Dense(3)]), tiny.discriminator(), passes=passes)
        model.compile(OPTIMIZERS[optimizer](), metrics=["accuracy"], **compiled)
        return model

    return made


class PowerCut(keras.callbacks.Callback):
    """Stops the training in the middle of an epoch."""

    def __init__(self, epoch):
        super().__init__()
        self.last = epoch

    def on_epoch_begin(self, epoch, logs=None):
        self.now = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.now == self.last and batch >= 3:
            raise KeyboardInterrupt


def fit(model, tiny, *callbacks, **arguments):
    arguments = {"epochs": EPOCHS, "validation_data": (tiny.xs, tiny.ys), **arguments}
    return model.fit(tiny.pairs(), callbacks=list(callbacks), verbose=0, **arguments).history


def interrupt(model, tiny, path, epoch=2, **arguments):
    with pytest.raises(KeyboardInterrupt):
        fit(model, tiny, Checkpoint(path, **arguments), PowerCut(epoch))


def variables_of(model):
    """Everything but metrics, and the labels that the last call of ``fit`` has seen, by number."""
    variables = [*(v for v in model.variables if v.name != "label_range"), *model.optimizer.variables]
    return [keras.ops.convert_to_numpy(variable.value).copy() for variable in variables]


def assert_same(model, other):
    for a, b in zip(variables_of(model), variables_of(other), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("optimizer", "passes", "seed"),
    [("adam", "joint", 5), ("adam", "separate", None), ("momentum", "separate", 5), ("ema", "joint", None)],
)
def test_goes_on_bit_for_bit(make, tiny, tmp_path, optimizer, passes, seed):
    def again():
        return make(optimizer, passes, dropout_seed=seed, compiled={})

    whole = again()
    expected = fit(whole, tiny)
    path = tmp_path / "checkpoint.npz"
    interrupt(again(), tiny, path)
    keras.utils.set_random_seed(99)  # another process has other random states
    model = again()
    keras.utils.set_random_seed(98)
    epoch, history = restore(path, model)
    assert epoch == 2
    assert history == {name: values[:2] for name, values in expected.items()}
    checkpoint = Checkpoint(path)
    fit(model, tiny, checkpoint, initial_epoch=epoch)
    assert_same(model, whole)
    assert checkpoint.history == expected
    assert restore(path, again()) == (EPOCHS, expected)


def test_stopped_after_the_last_epoch(make, tiny, tmp_path):
    """The averaged weights of the optimizer are put in place by the end of ``fit``."""
    whole = make("ema")
    fit(whole, tiny, Checkpoint(tmp_path / "checkpoint.npz"))
    model = make("ema")
    epoch, _ = restore(tmp_path / "checkpoint.npz", model)
    fit(model, tiny, initial_epoch=epoch)
    assert_same(model, whole)


def test_the_state_in_the_file_matters(make, tiny, tmp_path):
    """The comparison above can fail: new random states or optimizer slots give another end."""
    whole = make()
    fit(whole, tiny)
    path = tmp_path / "checkpoint.npz"
    interrupt(make(), tiny, path)
    for part in ("seed", "velocity", "moving_mean", "step"):
        model = make()
        fresh = [v for v in [*model.variables, *model.optimizer.variables] if part in v.path]
        before = [keras.ops.convert_to_numpy(v.value).copy() for v in fresh]
        epoch, _ = restore(path, model)
        if not fresh:  # the optimizer had no slots before
            fresh = [v for v in model.optimizer.variables if part in v.path]
            before = [np.zeros(v.shape, "float32") for v in fresh]
        assert fresh
        for variable, value in zip(fresh, before, strict=True):
            variable.assign(value)
        fit(model, tiny, initial_epoch=epoch)
        same = all((a == b).all() for a, b in zip(variables_of(model), variables_of(whole), strict=True))
        assert same is (part == "step"), part  # the step is derived from the epoch


def test_mixed_precision_and_loss_scaling(make, tiny, tmp_path):
    keras.config.set_dtype_policy("mixed_float16")
    whole = make(compiled={})
    assert type(whole.optimizer).__name__ == "LossScaleOptimizer"
    fit(whole, tiny)
    interrupt(make(compiled={}), tiny, tmp_path / "checkpoint.npz")
    model = make(compiled={})
    epoch, _ = restore(tmp_path / "checkpoint.npz", model)
    fit(model, tiny, initial_epoch=epoch)
    assert_same(model, whole)


def test_bfloat16_weights(tiny, tmp_path):
    keras.config.set_dtype_policy("bfloat16")
    model = tiny.model(seed=1)
    fit(model, tiny, Checkpoint(tmp_path / "checkpoint.npz"), epochs=1)
    other = tiny.model(seed=2)
    restore(tmp_path / "checkpoint.npz", other)
    assert "bfloat16" in {variable.dtype for variable in other.variables}
    assert_same(other, model)


def test_every_so_often_and_at_the_end(tiny, tmp_path):
    path, seen = tmp_path / "checkpoint.npz", []

    class Look(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(int(np.load(path)["epoch"]) if path.exists() else None)

    fit(tiny.model(compiled=tiny.quick), tiny, Checkpoint(path, every=2), Look(), epochs=5)
    assert seen == [None, 2, 2, 4, 5]
    for wrong in (0, -1, 1.5, True, "2"):
        with pytest.raises(InputError, match="positive whole number"):
            Checkpoint(path, every=wrong)


def test_a_diverged_training_stays_what_it_is(tiny, tmp_path):
    model = tiny.model(optimizer=keras.optimizers.SGD(1e38), units=(8, 1))
    fit(model, tiny, Checkpoint(tmp_path / "checkpoint.npz"), epochs=2)
    first = int(model.first_bad_step.value)
    assert first >= 0
    other = tiny.model(optimizer=keras.optimizers.SGD(1e38), units=(8, 1))
    epoch, history = restore(tmp_path / "checkpoint.npz", other)
    assert np.isnan(history["loss"][-1])
    fit(other, tiny, initial_epoch=epoch, epochs=3)
    assert int(other.first_bad_step.value) == first


# What is refused -------------------------------------------------------------------------------------------------


@pytest.fixture
def written(make, tiny, tmp_path):
    """The path of a checkpoint of one epoch."""
    fit(make(), tiny, Checkpoint(tmp_path / "checkpoint.npz"), epochs=1)
    return tmp_path / "checkpoint.npz"


def refused(path, model, match):
    before = variables_of(model)
    with pytest.raises(InputError, match=match) as caught:
        restore(path, model)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    for a, b in zip(variables_of(model)[: len(before)], before, strict=True):
        np.testing.assert_array_equal(a, b)


def rewritten(path, **changes):
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    np.savez(path, **{name: value for name, value in {**arrays, **changes}.items() if value is not None})


def test_other_files_are_refused(make, written):
    model = make()
    folder = written.parent
    refused(folder / "nothing.npz", model, "no such file")
    refused(folder, model, "found a folder")
    (folder / "empty.npz").write_bytes(b"")
    refused(folder / "empty.npz", model, "0 bytes")
    (folder / "text.npz").write_text("hello")
    refused(folder / "text.npz", model, "not a zip archive")
    np.savez(folder / "other.npz", x=np.zeros(3))
    refused(folder / "other.npz", model, "not a checkpoint")
    content = written.read_bytes()
    (folder / "cut.npz").write_bytes(content[: len(content) // 2])
    refused(folder / "cut.npz", model, "cut short")
    np.savez_compressed(folder / "bomb.npz", **{"model.0": np.zeros(2**28, "uint8")})
    refused(folder / "bomb.npz", model, "unpack to 256 MiB")


def test_no_pickle_is_loaded(make, written):
    class Evil:
        def __reduce__(self):
            return (os.mkdir, (str(written.parent / "ran"),))

    rewritten(written, history=np.array([Evil()], dtype=object))
    refused(written, make(), "damaged")
    assert not (written.parent / "ran").exists()


def test_a_flipped_byte_is_refused(make, written):
    content = bytearray(written.read_bytes())
    place = content.index(b"model.0.npy") + 200  # within the first weight
    content[place] ^= 1
    written.write_bytes(content)
    refused(written, make(), "damaged")


def test_another_model_is_refused(make, tiny, written):
    refused(
        written, make(units=5), r"model\.\d+ \(encoder.*kernel\): expected float32 \(3, 5\), found float32 \(3, 4\)"
    )
    refused(written, make("momentum"), "optimizer")
    refused(written, tiny.model(), "expected|more than")
    unbuilt = fg.DANN(tiny.encoder(), tiny.classifier())
    with pytest.raises(InputError, match="call compile"):
        restore(written, unbuilt)


def test_fewer_weights_are_refused(make, written):
    rewritten(written, **{"model.99": np.zeros(3)})
    refused(written, make(), "1 arrays more")


def test_another_backend_or_version_is_refused(make, written):
    rewritten(written, backend="numpy")
    refused(written, make(), "written on 'numpy'")
    rewritten(written, format=2)
    refused(written, make(), "another version")
    rewritten(written, format=1, history="{")
    refused(written, make(), "damaged")


def test_an_odd_epoch_or_history_is_refused(make, written):
    model = make()
    refused_histories = [[], {"loss": 1.0}, {"loss": ["1"]}, {"loss": [[{}]]}, {"loss": [1.0, 2.0]}, {"loss": [2**63]}]
    for history in refused_histories:
        rewritten(written, history=json.dumps(history))
        refused(written, model, "history of numbers")
    rewritten(written, history="[" * 100_000)
    refused(written, model, "damaged")
    rewritten(written, history=json.dumps({"loss": [None], "f1": [[0.5, 1.0]], "val_loss": []}))  # as Keras may say it
    assert restore(written, model)[0] == 1
    for epoch in (-1, 1.0, [1], "1", True):
        rewritten(written, epoch=epoch)
        refused(written, model, "an epoch of 0 or greater")


def test_a_training_refuses_the_checkpoint_of_another(tiny, tmp_path):
    def training(steps):
        target, optimizer = tiny.xt, keras.optimizers.Adam()
        return Training(
            fg.DANN(tiny.encoder(), tiny.classifier(), tiny.discriminator()), (tiny.xs, tiny.ys), target, optimizer,
            batch_size=4, steps=steps, log_every=7, steps_per_execution=1, seed=0, checkpoint=tmp_path / "c.npz",
        )  # fmt: skip

    whole = training(14).run("", Reporter())
    assert training(14).run("", Reporter()).history == whole.history
    with pytest.raises(InputError, match="at most 1 epochs and a loss of each, found 2 epochs"):
        training(7).run("", Reporter())
    for history in ({}, {"loss": [1.0]}, {"loss": [1.0, 1.0], "accuracy": [1.0]}, {"loss": [[1.0], [1.0]]}):
        rewritten(tmp_path / "c.npz", history=json.dumps(history))
        with pytest.raises(InputError, match="of another training"):
            training(14).run("", Reporter())


def test_a_full_disk_leaves_the_last_one_whole(make, tiny, written, monkeypatch):
    content = written.read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("flipgrad._files.os.fsync", full)
    with pytest.raises(InputError, match=r"epoch 1 \(No space left on device\); free some space") as caught:
        fit(make(), tiny, Checkpoint(written), epochs=1)
    assert "\n" not in str(caught.value)
    assert written.read_bytes() == content
    assert os.listdir(written.parent) == [written.name]


def test_the_history_survives_as_json(written):
    with np.load(written) as file:
        history = json.loads(str(file["history"]))
    assert {len(values) for values in history.values()} == {1}
