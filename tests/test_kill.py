"""A training killed again and again ends with the weights of one that never was."""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import flipgrad as fg

EPOCHS = 30
TRAINING = """
import sys
import keras
import numpy as np
from pathlib import Path
import flipgrad as fg
from flipgrad.checkpoint import Checkpoint, restore

path, epochs = Path(sys.argv[1]), int(sys.argv[2])
keras.utils.set_random_seed(0)
random = np.random.default_rng(0)
xs, ys, xt = random.random((64, 8, 8, 1), "float32"), random.integers(0, 3, 64), random.random((48, 8, 8, 1), "float32")
layers = keras.layers
encoder = keras.Sequential([
    keras.Input((8, 8, 1)), layers.Conv2D(4, 3), layers.BatchNormalization(), layers.Flatten(), layers.Dropout(0.3)
])
model = fg.DANN(encoder, keras.Sequential([layers.Dense(3)]))
model.compile(keras.optimizers.Adam(1e-2))

class Tell(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        print("begun", epoch, flush=True)

    def on_epoch_end(self, epoch, logs=None):
        print("done", epoch + 1, flush=True)

epoch = restore(path, model)[0] if path.exists() else 0
pairs = fg.data.pair_domains((xs, ys), xt, 16)
model.fit(pairs, epochs=epochs, initial_epoch=epoch, callbacks=[Checkpoint(path), Tell()], verbose=0)
"""


def _start(script, path):
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow"}
    command = [sys.executable, str(script), str(path), str(EPOCHS)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def _train(script: Path, path: Path) -> list[str]:
    out, errors = _start(script, path).communicate(timeout=300)
    assert out, errors
    return out.splitlines()


def _kill_after(script: Path, path: Path, epochs: int, seconds: float) -> tuple[int, int]:
    """Kills a training so many epochs after its start; the epochs at which it began, and that it told were done."""
    with _start(script, path) as process:
        begun = int(process.stdout.readline().split()[1])
        lines = [process.stdout.readline() for _ in range(epochs)]
        time.sleep(seconds)
        process.kill()
        lines += process.stdout.read().splitlines()
    assert process.returncode == -9
    return begun, int(lines[-1].split()[1]) if lines else begun


def test_killed_at_five_random_moments(tmp_path):
    script = tmp_path / "training.py"
    script.write_text(TRAINING)
    _train(script, tmp_path / "whole.npz")

    moments, path, done = random.Random(0), tmp_path / "killed.npz", 0
    for _ in range(5):
        begun, told = _kill_after(script, path, moments.randrange(5), moments.uniform(0, 0.1))
        assert begun in (done, done + 1)  # killed between the writing and the telling
        done = told
    lines = _train(script, path)
    assert lines[-1] == f"done {EPOCHS}"
    assert 0 < int(lines[0].split()[1]) < EPOCHS

    with np.load(tmp_path / "whole.npz") as whole, np.load(path) as killed:
        assert whole.files == killed.files
        assert len(whole.files) > 30
        for name in whole.files:
            np.testing.assert_array_equal(killed[name], whole[name], err_msg=name)


def _adapt(folder: Path, *words: object, kill_at: int | None = None, seconds: float = 0.0) -> None:
    """``flipgrad adapt``, to its end, or killed so many seconds after it told of this step or a later one."""
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow"}
    command = [sys.executable, "-m", "flipgrad", "adapt", *map(str, words)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=folder, stdout=pipe, stderr=pipe, text=True, env=environment) as process:
        told = ""
        if kill_at is not None:
            for line in process.stderr:
                told += line
                if ": step " in line and int(line.split(": step ")[1].split()[0]) >= kill_at:
                    break
            time.sleep(seconds)
            process.kill()
        _, errors = process.communicate(timeout=300)
    assert process.returncode == (0 if kill_at is None else -9), told + errors


def test_killed_where_labelled_rows_of_the_target_choose_the_epoch(tmp_path, inside):
    random_rows, epochs, steps = np.random.default_rng(0), 12, 9
    y = random_rows.integers(0, 2, 160)
    x = (random_rows.normal(size=(160, 4)) + 2 * y[:, None]).astype("float32")
    np.savez(tmp_path / "source.npz", x=x, y=y)
    np.savez(tmp_path / "target.npz", x=x + 1)
    np.savez(tmp_path / "known.npz", x=x[:90] + 1, y=y[:90])
    words = ["--source", "source.npz", "--target", "target.npz", "--target-labels", "known.npz", "--no-report"]
    # So strong a reversal that an early epoch is the best.
    words += ["--epochs", epochs, "--batch-size", 16, "--learning-rate", 0.01, "--strength", 1000, "--seed", 1]

    assert inside("adapt", *words, "--out", "whole").returncode == 0
    (whole,) = json.loads((tmp_path / "whole" / "results.json").read_text())
    assert whole["steps"] == epochs * steps

    moments, best = random.Random(0), tmp_path / "killed" / "checkpoints" / "dann-1.best.npz"
    _adapt(tmp_path, *words, "--out", "killed", kill_at=2 * steps, seconds=moments.uniform(0, 0.05))
    assert best.exists()
    # When the best epoch is over, so that its weights are nowhere but in the file.
    late = min(whole["chosen_epoch"] + 2, epochs - 2)
    _adapt(tmp_path, "--resume", "killed", "--no-report", kill_at=late * steps, seconds=moments.uniform(0, 0.05))
    assert best.exists()
    _adapt(tmp_path, "--resume", "killed", "--no-report")

    (killed,) = json.loads((tmp_path / "killed" / "results.json").read_text())
    assert {**killed, "seconds": None} == {**whole, "seconds": None}
    assert not best.exists()
    histories = [(tmp_path / run / "history.csv").read_text() for run in ("whole", "killed")]
    assert histories[0] == histories[1]
    models = [fg.load(tmp_path / run / "models" / "dann-1.keras") for run in ("whole", "killed")]
    assert len(models[0].weights) > 10
    for a, b in zip(*(model.weights for model in models), strict=True):
        np.testing.assert_array_equal(b.numpy(), a.numpy(), err_msg=a.path)
