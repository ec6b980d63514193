"""`flipgrad run` and `flipgrad data` for real, on tiny settings."""

import json
import re
import resource
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from .conftest import Program, refused

Started = Callable[..., subprocess.Popen[str]]


def config(folder: Path) -> dict[str, object]:
    return json.loads((folder / "config.json").read_text())


def rows(folder: Path) -> list[dict[str, object]]:
    return json.loads((folder / "results.json").read_text())


def test_blobs_from_settings_to_figures(tmp_path: Path, flipgrad: Program) -> None:
    done = flipgrad("run", "blobs", "--steps", 40, "--seeds", 2, "--modes", "source,dann")
    assert done.returncode == 0, done.stderr
    (out,) = (tmp_path / "runs").iterdir()
    assert re.fullmatch(r"blobs-\d{8}-\d{6}", out.name)
    settings, table = done.stdout.split("domain", 1)[0], done.stdout
    for shown in ("experiment", "blobs", "seeds", "0, 1", "source, dann", "steps", "40", f"runs/{out.name}"):
        assert shown in settings
    assert re.search(r"^ ?source +2 +\S+ ± \S+ +\S+ ± \S+ +\S+-\S+", table, re.M)
    assert re.search(r"^ ?dann +2 +\S+ ± \S+ +\S+ ± \S+ +\S+-\S+ +\S+ ± \S+", table, re.M)
    assert "Collapsed: " in table
    assert "which a real user does not have" in table
    assert f"Figures: runs/{out.name}/figures" in table
    assert "4/4 blobs dann, seed 1: step 40 of 40, loss " in done.stderr
    assert "WARNING" not in done.stderr
    assert "oneDNN" not in done.stderr
    assert [(row["mode"], row["seed"]) for row in rows(out)] == [
        ("source", 0), ("dann", 0), ("source", 1), ("dann", 1),
    ]  # fmt: skip
    assert (out / "done").exists()
    assert list((out / "figures").glob("*.png"))


def wait_for(file: Path, process: subprocess.Popen[str]) -> None:
    began = time.monotonic()
    while not file.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() - began < 300
        time.sleep(0.05)


def test_killed_then_interrupted_then_resumed(
    tmp_path: Path, started: Started, flipgrad: Program, inside: Program
) -> None:
    out = tmp_path / "run"
    words = ["--steps", 1000, "--seeds", 2, "--modes", "source,dann"]
    process = started("run", "blobs", *words, "--out", out)
    wait_for(out / "config.json", process)
    process.kill()
    process.communicate()
    assert not (out / "done").exists()

    # The settings are those of the folder; nothing but the folder need be named.
    process = started("run", "blobs", "--out", out, "--resume")
    wait_for(out / "results.json", process)
    process.send_signal(signal.SIGINT)
    said = process.communicate()[1]
    assert process.returncode == 130, said
    assert said.splitlines()[-1] == f"flipgrad: interrupted; go on with: flipgrad run blobs --out {out} --resume"
    assert "Traceback" not in said
    assert not (out / "done").exists()
    kept = rows(out)
    assert 1 <= len(kept) < 4

    assert "an unfinished run; choose another --out, or --resume it" in refused(inside("run", "blobs", "--out", out))
    other = inside("run", "blobs", "--out", out, "--resume", "--steps", 40, "--quiet")
    assert "cannot resume, steps was 1000, now 40" in refused(other)
    assert rows(out) == kept

    done = flipgrad("run", "blobs", "--out", out, "--resume", "--no-report")
    assert done.returncode == 0, done.stderr
    assert (out / "done").exists()
    assert rows(out)[: len(kept)] == kept
    assert len(rows(out)) == 4
    assert f"{len(kept) + 1}/4 blobs" in done.stderr
    assert f"{len(kept)}/4 blobs" not in done.stderr


def test_a_disk_that_fills_up(tmp_path: Path, flipgrad: Program) -> None:
    small = 12_000  # bytes: enough for the configuration, too little for the model
    done = flipgrad(
        *("run", "blobs", "--steps", 2, "--modes", "source", "--quiet", "--out", tmp_path / "run"),
        env={"PYTHONDONTWRITEBYTECODE": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (small, small)),
    )
    assert "File too large" in refused(done)
    assert config(tmp_path / "run")["experiment"] == "blobs"
    assert not (tmp_path / "run" / "done").exists()


def test_mnist_beside_the_published_figures(tmp_path: Path, real_data: Path, inside: Program) -> None:
    out = tmp_path / "run"
    words = ["--steps", 4, "--batch-size", 8, "--modes", "source", "--data-dir", real_data, "--out", out]
    done = inside("run", "mnist", *words, "--no-report")
    assert done.returncode == 0, done.stderr
    stored = config(out)["settings"]
    assert isinstance(stored, dict)
    assert (stored["batch_size"], stored["single_batch_size"]) == (8, 16)
    assert re.search(r"source +\.\d{3} +\.480-\.534 +\.5225 +\.5749", done.stdout)


def test_mnist_m_is_made_once(tmp_path: Path, real_data: Path, flipgrad: Program) -> None:
    words = ["data", "mnist-m", "--kind", "official", "--size", 28, "--data-dir", real_data, "--out", "m.npz"]
    done = flipgrad(*words)
    assert (done.returncode, done.stderr) == (0, "")
    assert [path.name for path in tmp_path.iterdir()] == ["m.npz"]
    assert "train  (59001, 28, 28, 3)  uint8  sha256 7ea10580b2ba73a4" in done.stdout
    with np.load(tmp_path / "m.npz") as file:
        assert file["x_test"].shape == (9001, 28, 28, 3)
    assert "it exists" in refused(flipgrad(*words))


def test_data_files_are_listed(real_data: Path, flipgrad: Program) -> None:
    done = flipgrad("data", "list", "--data-dir", real_data)
    assert done.returncode == 0
    assert f"here:  {real_data}/mnist/train-images-idx3-ubyte.gz" in done.stdout
    assert "terms: UC Berkeley" in done.stdout


def test_missing_data_files_are_refused_before_training(tmp_path: Path, flipgrad: Program) -> None:
    (tmp_path / "empty").mkdir()
    env = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "HTTPS_PROXY": "http://127.0.0.1:9"}
    done = flipgrad("run", "mnist", "--quiet", "--data-dir", "empty", "--out", "run", env=env)
    line = refused(done)
    assert "missing data files: train-images-idx3-ubyte.gz" in line
    assert not (tmp_path / "run").exists()
