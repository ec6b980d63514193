"""What all tests share: the backend, clean global state, the real files and a tiny problem."""

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

# Before the first import of Keras, in this process and in those that tests start.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes have no place in the names of tests: gzip puts the time into them, and all processes must agree."""
    return argname if isinstance(val, bytes) else None


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with the real MNIST, BSDS500 and MNIST-M files.

    It is named by FLIPGRAD_TEST_DATA, or is ../shared/data beside the repository.  Without it the
    test is skipped; where CI is set it fails, so that no run is green for want of the data.
    """
    named = os.environ.get("FLIPGRAD_TEST_DATA")
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "data"
    if (folder / "mnist").is_dir() and (folder / "bsds500").is_dir():
        return folder
    reason = (
        f"NO REAL DATA: {folder} has no mnist/ and bsds500/ folders; set FLIPGRAD_TEST_DATA to the folder that has them"
    )
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture
def no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No $FLIPGRAD_DATA and an empty cache; returns the cache folder."""
    monkeypatch.delenv("FLIPGRAD_DATA", raising=False)
    monkeypatch.setattr("flipgrad.data.sources.cache_folder", lambda: tmp_path / "cache" / "flipgrad")
    return tmp_path / "cache" / "flipgrad"


@pytest.fixture
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """``inside("predict", "run", ...)`` runs the program in an empty folder, in this process, which has imported Keras.

    For what a command does.  What a process does (its start, its exit, signals, a full disk) is seen in one of its own.
    """
    from flipgrad.cli.main import main

    def call(*words: object) -> "subprocess.CompletedProcess[str]":
        arguments = ["flipgrad", *map(str, words)]
        monkeypatch.setattr(sys, "argv", arguments)
        monkeypatch.delenv("FLIPGRAD_DATA", raising=False)
        out, errors = io.StringIO(), io.StringIO()
        with (
            contextlib.chdir(tmp_path),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(errors),
            pytest.raises(SystemExit) as ended,
        ):
            main()
        return subprocess.CompletedProcess(arguments, int(ended.value.code or 0), out.getvalue(), errors.getvalue())

    return call


@pytest.fixture(scope="module")
def no_figures() -> Iterator[None]:
    """The experiments draw no figures, where only what is trained matters."""
    from flipgrad.experiments import blobs, digits

    with pytest.MonkeyPatch.context() as patch:
        for module, names in ((digits, ("draw_images_and_curves", "draw_adaptation")), (blobs, ("draw",))):
            for name in names:
                patch.setattr(module, name, lambda *given, **named: None)
        yield


@pytest.fixture(autouse=True)
def _clean_keras() -> Iterator[None]:
    """Every test begins with seed 0 and leaves the dtype policy as it found it."""
    if "keras" not in sys.modules:  # tests that never train do not wait for a backend
        yield
        return
    import keras

    keras.utils.set_random_seed(0)
    policy = keras.config.dtype_policy()
    yield
    keras.config.set_dtype_policy(policy)


@pytest.fixture(scope="session")
def backend() -> str:
    """The name of the present backend."""
    import keras

    return keras.backend.backend()


@pytest.fixture(scope="session")
def tiny() -> SimpleNamespace:
    """A problem of three classes and three inputs: 28 source rows, 20 target rows, and its networks.

    ``encoder()``, ``classifier()`` and ``discriminator()`` make new networks; ``pairs()`` makes batches
    of 4 + 4, 7 steps an epoch; ``batch`` is one training batch of 6 + 4 rows; ``model()`` is a compiled
    DANN without batch normalization; ``quick`` goes to ``compile`` where a test needs no graph.
    """
    import keras
    from keras import layers

    import flipgrad as fg

    # A few steps without a graph take less time than tracing or compiling one.
    quick = {"run_eagerly": True}
    random = np.random.default_rng(0)
    xs = random.normal(size=(28, 3)).astype("float32")
    ys = random.integers(0, 3, 28).astype("int32")
    xt = (random.normal(size=(20, 3)) + 1).astype("float32")

    def encoder(*extra, units=4):
        return keras.Sequential([keras.Input((3,)), layers.Dense(units, activation="tanh"), *extra], name="encoder")

    def classifier(*extra):
        return keras.Sequential([layers.Dense(3), *extra], name="classifier")

    def discriminator(units=(1,)):
        return fg.networks.discriminator(units)

    def pairs(batch_size=4, target=xt, seed=0):
        return fg.data.pair_domains((xs, ys), target, batch_size, seed=seed)

    def model(strength=1.0, optimizer="sgd", units=(1,), seed=0, compiled=None, **kwargs):
        keras.utils.set_random_seed(seed)
        made = fg.DANN(encoder(), classifier(), discriminator(units), strength=strength, **kwargs)
        made.compile(optimizer, **(compiled or {}))
        return made

    return SimpleNamespace(
        xs=xs,
        ys=ys,
        xt=xt,
        batch=({"source": xs[:6], "target": xt[:4]}, ys[:6]),
        encoder=encoder,
        classifier=classifier,
        discriminator=discriminator,
        pairs=pairs,
        model=model,
        steps=7,
        quick=quick,
    )


@pytest.fixture(scope="session")
def weights_of():
    """A function: every variable of a model as a NumPy array, by path."""
    import keras

    def read(model, trainable_only=False):
        variables = model.trainable_variables if trainable_only else model.variables
        return [keras.ops.convert_to_numpy(v.value).copy() for v in variables]

    return read
