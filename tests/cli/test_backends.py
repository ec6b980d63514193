"""The program on the backend that this suite runs on; `make test BACKEND=...` runs it on each."""

import json
import os
from pathlib import Path

from .conftest import Program


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
