"""A saved model goes on as the one that was saved, and predicts the same on the other backends."""

import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile

import h5py
import keras
import numpy as np
import pytest
from keras import layers

import flipgrad as fg
from flipgrad.errors import InputError

# An optimizer that has made no step has no slots to load.
pytestmark = pytest.mark.filterwarnings("ignore:Skipping variable loading")
PACKAGES = {"tensorflow": "tensorflow", "jax": "jax", "torch": "torch"}


@pytest.fixture
def make(tiny):
    """A function: a new compiled model with batch normalization and seeded dropout."""

    def made(passes="joint", compiled=tiny.quick, seed=3, **options):
        keras.utils.set_random_seed(seed)
        encoder = tiny.encoder(layers.BatchNormalization(), layers.Dropout(0.4, seed=seed))
        classifier = keras.Sequential([layers.Dropout(0.3, seed=seed + 1), layers.Dense(3)])
        model = fg.DANN(encoder, classifier, tiny.discriminator(), passes=passes)
        optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(1e-2, 28), **options)
        model.compile(optimizer, metrics=["accuracy"], **compiled)
        return model

    return made


def _fit(model, tiny, first, last):
    model.fit(tiny.pairs(), initial_epoch=first, epochs=last, verbose=0)


def _stop_after(model, tiny, epochs, path):
    class Save(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch + 1 == epochs:
                self.model.save(path)
                self.model.stop_training = True

    model.fit(tiny.pairs(), epochs=4, callbacks=[Save()], verbose=0)


@pytest.mark.parametrize(("passes", "options"), [("joint", {}), ("separate", {"use_ema": True})])
def test_goes_on_bit_for_bit(make, tiny, weights_of, tmp_path, passes, options):
    whole = make(passes, {}, **options)
    _fit(whole, tiny, 0, 4)
    _stop_after(make(passes, {}, **options), tiny, 2, tmp_path / "model.keras")
    keras.utils.set_random_seed(99)
    model = fg.load(tmp_path / "model.keras")
    _fit(model, tiny, 2, 4)
    for a, b in zip(weights_of(model), weights_of(whole), strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(model.optimizer.variables, whole.optimizer.variables, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(a.value), keras.ops.convert_to_numpy(b.value))


def _random_states(path):
    """The random states in a saved model, by name."""
    with zipfile.ZipFile(path) as archive, h5py.File(archive.open("model.weights.h5")) as file:
        return {name: file["vars"][name][...] for name in file["vars"] if name.startswith("random_")}


def _without_random_states(path, to, keep=()):
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(to, "w") as other:
        archive.extract("model.weights.h5", to.parent)
        with h5py.File(to.parent / "model.weights.h5", "a") as file:
            for name in [n for n in file["vars"] if n.startswith("random_") and n not in keep]:
                del file["vars"][name]
        for name in archive.namelist():
            content = archive.read(name)
            other.writestr(name, (to.parent / name).read_bytes() if name.endswith(".h5") else content)


def test_a_file_without_random_states_loads(make, tiny, tmp_path):
    model = make()
    _fit(model, tiny, 0, 1)
    model.save(tmp_path / "new.keras")
    assert len(_random_states(tmp_path / "new.keras")) == 2
    assert all(state[1] == 7 for state in _random_states(tmp_path / "new.keras").values())  # one draw a step
    _without_random_states(tmp_path / "new.keras", tmp_path / "old.keras")
    assert not _random_states(tmp_path / "old.keras")
    loaded = fg.load(tmp_path / "old.keras")
    np.testing.assert_array_equal(loaded.predict(tiny.xt, verbose=0), model.predict(tiny.xt, verbose=0))
    _without_random_states(tmp_path / "new.keras", tmp_path / "half.keras", keep=["random_0"])
    with pytest.raises(InputError, match="cannot make a model") as caught:
        fg.load(tmp_path / "half.keras")
    assert "2 seed generators, found 1" in str(caught.value.__cause__)


def test_weights_alone_carry_the_random_states(make, tiny, weights_of, tmp_path):
    model, other = make(), make(seed=8)
    _fit(model, tiny, 0, 1)
    model.save_weights(tmp_path / "all.weights.h5")
    other.load_weights(tmp_path / "all.weights.h5")
    for a, b in zip(weights_of(other), weights_of(model), strict=True):
        np.testing.assert_array_equal(a, b)


def test_compiled_as_it_was(make, tiny, tmp_path):
    model = make(compiled={"jit_compile": True})
    model.save(tmp_path / "model.keras")
    assert fg.load(tmp_path / "model.keras").jit_compile is True
    fg.DANN(tiny.encoder(), tiny.classifier()).save(tmp_path / "uncompiled.keras")
    assert not fg.load(tmp_path / "uncompiled.keras").compiled


@pytest.mark.parametrize("name", ["Adam", "SGD", "RMSprop", "Lion", "Muon"])
@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_optimizers_are_saved_by_their_public_names(tiny, name, precision, tmp_path):
    keras.config.set_dtype_policy(precision)  # float16 puts an optimizer into another
    model = tiny.model(optimizer=getattr(keras.optimizers, name)(0.01))
    model.save(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        assert b"keras.src.backend" not in archive.read("config.json")
    loaded = fg.load(tmp_path / "model.keras")
    assert type(loaded.optimizer) is type(model.optimizer)
    assert type(loaded.optimizer).__name__ == (name if precision == "float32" else "LossScaleOptimizer")


OTHER_SIDE = """
import sys
import numpy as np
import flipgrad as fg

folder = sys.argv[1]
data = np.load(folder + "/data.npz")
model = fg.load(folder + "/model.keras")
np.savez(folder + "/found.npz", logits=model.predict(data["x"], verbose=0),
         chances=model.predictor.predict(data["x"], verbose=0), step=int(model.step.value),
         iterations=int(model.optimizer.iterations))
pairs = fg.data.pair_domains((data["x"], data["y"]), data["x"] + 1, 8)
history = model.fit(pairs, initial_epoch=1, epochs=2, verbose=0).history
assert np.isfinite(history["loss"]).all(), history
assert int(model.step.value) == 2 * len(pairs)
"""


@pytest.fixture(scope="module")
def convolutional(tmp_path_factory):
    """The folder of a trained model with convolutions, normalization and dropout, and what it predicts."""
    folder = tmp_path_factory.mktemp("saved")
    random = np.random.default_rng(0)
    x, y = random.normal(size=(24, 8, 8, 2)).astype("float32"), random.integers(0, 3, 24)
    keras.utils.set_random_seed(0)
    encoder = keras.Sequential(
        [
            keras.Input((8, 8, 2)),
            layers.Conv2D(4, 3, padding="same"),
            layers.BatchNormalization(),
            layers.Activation("relu"),
            layers.MaxPooling2D(),
            layers.DepthwiseConv2D(3),
            layers.Dropout(0.2),
            layers.Flatten(),
            layers.Dense(6, activation="gelu"),
        ]
    )
    model = fg.DANN(encoder, keras.Sequential([layers.Dense(3)]), passes="separate")
    # What one backend alone can do: several steps at once (not PyTorch), XLA (PyTorch would compile C++).
    once = {"steps_per_execution": 3} if keras.backend.backend() == "tensorflow" else {}
    model.compile("adam", **once)
    model.fit(fg.data.pair_domains((x, y), x + 1, 8), verbose=0)
    model.save(folder / "model.keras")
    np.savez(folder / "data.npz", x=x, y=y)
    return folder, x, model


@pytest.mark.parametrize("other", PACKAGES)
def test_the_other_backends_predict_the_same(convolutional, other, tmp_path):
    if not importlib.util.find_spec(PACKAGES[other]):
        pytest.skip(f"{other} is not installed")
    folder, x, model = convolutional
    for name in ("model.keras", "data.npz"):
        shutil.copy(folder / name, tmp_path)
    environment = {**os.environ, "KERAS_BACKEND": other}
    command = [sys.executable, "-W", "error:Skipping variable loading", "-c", OTHER_SIDE, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found = np.load(tmp_path / "found.npz")
    np.testing.assert_allclose(found["chances"], model.predictor.predict(x, verbose=0), rtol=0, atol=1e-5)
    np.testing.assert_allclose(found["logits"], model.predict(x, verbose=0), rtol=0, atol=1e-4)
    assert (int(found["step"]), int(found["iterations"])) == (3, 3)
