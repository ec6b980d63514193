"""The program on the backend that this suite runs on; `make test BACKEND=...` runs it on each."""

import json
import os
from pathlib import Path

import numpy as np
import onnxruntime

from .conftest import Program, refused


def test_digits_as_json_on_a_chosen_backend(tmp_path: Path, flipgrad: Program) -> None:
    backend = os.environ["KERAS_BACKEND"]
    out = tmp_path / "odd [name] é"
    words = ["--backend", backend, "--precision", "bfloat16", "--steps", 4, "--batch-size", 16, "--seeds", "7,"]
    done = flipgrad("run", "digits", *words, "--modes", "source,dann", "--out", out, "--json", "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == json.loads((out / "results.json").read_text())
    config = json.loads((out / "config.json").read_text())
    assert config["backend"] == backend
    expected = {"precision": "mixed_bfloat16", "steps": 4, "batch_size": 16, "seeds": [7]}
    assert {name: config["settings"][name] for name in expected} == expected


def test_a_run_of_this_backend_is_exported_under_tensorflow(
    tmp_path: Path, flipgrad: Program, inside: Program, backend: str
) -> None:
    random = np.random.default_rng(0)
    y = np.arange(64) % 2
    x = (random.normal(size=(64, 8, 8)) * 30 + 100 + 50 * y[:, None, None]).clip(0, 255).astype("uint8")
    np.savez(tmp_path / "a.npz", x=x, y=np.array(["dark", "light"])[y])
    words = ["--source", "a.npz", "--target", "a.npz", "--target-labels", "a.npz", "--epochs", 2, "--batch-size", 16]
    own = inside if backend == "tensorflow" else flipgrad  # one Keras for all: in this process it may be the lowest
    done = own("adapt", *words, "--backend", os.environ["KERAS_BACKEND"], "--out", "run", "--quiet", "--no-report")
    assert done.returncode == 0, done.stderr
    for kind, name in (("savedmodel", "saved"), ("keras", "p.keras"), ("onnx", "p.onnx")):
        done = own("export", "run", "--format", kind, "-o", name)
        assert done.returncode == 0, done.stderr
    done = own("predict", "run", "a.npz", "-o", "p.csv")
    assert done.returncode == 0, done.stderr
    chances = np.loadtxt(tmp_path / "p.csv", delimiter=",", skiprows=1, usecols=(2, 3))
    session = onnxruntime.InferenceSession(tmp_path / "p.onnx")
    (exported,) = session.run(None, {session.get_inputs()[0].name: x.astype("float32")})
    np.testing.assert_allclose(chances, exported, atol=1e-4)

    # A model of other rows is not exported as if it were this run's.
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    for change, words in (
        ({"shape": [9, 8]}, "expected a model of rows"),
        ({"shape": [0]}, "config.json: input format"),
    ):
        changed = {**config, "input": {**config["input"], **change}}
        (tmp_path / "run" / "config.json").write_text(json.dumps(changed))
        assert words in refused(own("export", "run", "--format", "keras", "-o", "q.keras"))
        assert not (tmp_path / "q.keras").exists()
