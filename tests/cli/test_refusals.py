"""Every wrong argument: one line, exit code 2, nothing written, and Keras is not even imported."""

import json
import subprocess
from pathlib import Path

import pytest

from .conftest import Program, command, environment, refused

FLOAT_NAMES = "float32, mixed_bfloat16, bfloat16, mixed_float16 or float16"
COUNT = "a whole number of 1 or more"
MANY = "how many seeds, 1 or more"
LIST = "seeds of 0 or more with commas between them"

CASES = [
    ("rnu blobs", ["No such command 'rnu'"]),
    ("run", ["Missing argument", "EXPERIMENT", "run --help"]),
    ("run blobs digits", ["unexpected extra argument"]),
    ("run blobs --steps", ["'--steps' requires an argument"]),
    ("run blobs --stepz 4", ["No such option: --stepz", "--steps"]),
    ("run mnits", ["EXPERIMENT: expected blobs, digits or mnist, received 'mnits'", "did you mean 'mnist'?"]),
    ("run 42", ["received '42'; choose one of these"]),
    ("run blobs --modes source,dnan", ["--modes: expected domain, source, dann or dann-deep", "did you mean 'dann'?"]),
    ("run mnist --modes domain", ["--modes: expected source, dann or target, received 'domain'"]),
    ("run blobs --modes source,source", ["--modes: expected each value once", "second source"]),
    ("run blobs --modes=", ["--modes: expected", "received ''"]),
    ("run mnist --preset papper", ["--preset: expected seed or paper, received 'papper'; did you mean 'paper'?"]),
    ("run blobs --backend tensorflw", ["--backend: expected tensorflow, jax or torch", "did you mean 'tensorflow'?"]),
    ("run blobs --precision bfloat61", [f"--precision: expected {FLOAT_NAMES}", "did you mean 'bfloat16'?"]),
    ("run blobs --steps 0", [f"--steps: expected {COUNT}, received '0'"]),
    ("run blobs --steps -5", [f"--steps: expected {COUNT}, received '-5'"]),
    ("run blobs --steps 1e3", [f"--steps: expected {COUNT}, received '1e3'"]),
    ("run blobs --steps 9999999999", ["--steps", "below 2147483648"]),
    ("run blobs --batch-size 0", [f"--batch-size: expected {COUNT}, received '0'"]),
    ("run blobs --batch-size many", [f"--batch-size: expected {COUNT}, received 'many'"]),
    ("run blobs --seeds 0", [f"--seeds: expected {MANY}, received '0'; give for example 5"]),
    ("run blobs --seeds -3", [f"--seeds: expected {MANY}, received '-3'"]),
    ("run blobs --seeds x", [f"--seeds: expected {MANY}, received 'x'"]),
    ("run blobs --seeds 1_0", ["--seeds", "received '1_0'"]),
    ("run blobs --seeds 1,-2", [f"--seeds: expected {LIST}, received '-2'"]),
    ("run blobs --seeds 1,,2", [f"--seeds: expected {LIST}, received ''"]),
    ("run blobs --seeds 4294967296,", ["--seeds", "below 4294967296"]),
    ("run blobs --seeds 3,7,3", ["--seeds: expected each value once, received '3,7,3'; leave out the second 3"]),
    ("run mnist --data-dir nowhere", ["--data-dir: expected an existing folder, received 'nowhere'"]),
    ("run blobs --resume", ["--resume: expected --out with the folder of the run", "--out FOLDER"]),
    ("run blobs --out foreign", ["foreign: not a run", "holds notes.txt"]),
    ("run blobs --out foreign --resume", ["foreign: not a run", "holds notes.txt"]),
    ("run blobs --out foreign/notes.txt", ["--out: expected a folder", "notes.txt is a file"]),
    ("run blobs --out foreign/notes.txt/deeper", ["--out: expected a folder", "notes.txt is a file"]),
    ("run blobs --out=", ["--out: expected the name of a folder, received ''"]),
    ("run blobs --out " + "long" * 100, ["--out: expected a folder that can be made", "too long"]),
    ("run blobs --out finished", ["finished: holds a finished run; choose another --out"]),
    ("run mnist --out finished --resume", ["--resume: expected a run of mnist", "flipgrad run blobs"]),
    ("data mnist-m", ["Missing option '--out'"]),
    ("data mnist-m --out m.zip", ["--out: expected a file name that ends in .npz, received 'm.zip'"]),
    ("data mnist-m --out taken.npz", ["--out: expected a new file", "it exists"]),
    ("data mnist-m --out nowhere/m.npz", ["--out: expected a file in a folder that can be written"]),
    ("data mnist-m --out m.npz --kind oficial", ["--kind: expected official or generated", "did you mean 'official'?"]),
    ("data mnist-m --out m.npz --size 30", ["--size: expected 28 or 32, received '30'"]),
    ("data mnist-m --out m.npz --seed -1", ["--seed: expected a whole number of 0 or more, received '-1'"]),
    ("data mnist-m --out m.npz --kind official --seed 1", ["--seed", "the published images have no seed"]),
    ("data mnist-m --out m.npz --data-dir nowhere", ["--data-dir: expected an existing folder"]),
]


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "notes.txt").write_text("mine")
    (tmp_path / "taken.npz").write_bytes(b"mine")
    (tmp_path / "finished").mkdir()
    config = {"flipgrad_run": 1, "experiment": "blobs", "settings": {}}
    (tmp_path / "finished" / "config.json").write_text(json.dumps(config))
    (tmp_path / "finished" / "done").touch()
    return tmp_path


@pytest.mark.parametrize(("words", "said"), CASES, ids=[case[0][:60] for case in CASES])
def test_a_wrong_argument_is_refused_in_one_line(folder: Path, flipgrad: Program, words: str, said: list[str]) -> None:
    before = names(folder)
    done = flipgrad(*words.split(" "), env={"KERAS_BACKEND": "jax"})
    line = refused(done)
    for part in said:
        assert part in line
    assert names(folder) == before


ABSENT = """
import sys
from importlib.machinery import PathFinder

class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name in {names} else super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Without
"""


@pytest.mark.parametrize(
    ("absent", "words", "env", "said"),
    [
        (["jax"], ["--backend", "jax"], {}, '--backend: jax is not installed; run: pip install "flipgrad[jax]"'),
        (["torch"], [], {"KERAS_BACKEND": "torch"}, "$KERAS_BACKEND: torch is not installed; run: pip install"),
        ([], [], {"KERAS_BACKEND": "numpy"}, "$KERAS_BACKEND: expected tensorflow, jax or torch, received 'numpy'"),
        (["tensorflow", "jax", "torch"], [], {}, "no backend: expected tensorflow, jax or torch, found none"),
        (["tensorflow", "jax", "torch"], ["--backend", "torch"], {}, 'pip install "flipgrad[torch]"'),
    ],
)
def test_a_backend_that_is_not_installed(
    tmp_path: Path, flipgrad: Program, absent: list[str], words: list[str], env: dict[str, str], said: str
) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(ABSENT.replace("{names}", repr(absent)))
    line = refused(flipgrad("run", "blobs", *words, env={"PYTHONPATH": str(site), **env}))
    assert said in line
    assert names(tmp_path) == ["site", "site/sitecustomize.py"] or not (tmp_path / "runs").exists()


def test_a_full_disk_behind_standard_output(tmp_path: Path, flipgrad: Program) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            command("--version"), stdout=full, stderr=subprocess.PIPE, text=True, env=environment(), cwd=tmp_path
        )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "No space left on device" in line
