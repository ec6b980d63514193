"""flipgrad report, and the pages that adapt writes by itself, for real."""

import json
import resource
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from .conftest import Program, command, environment, refused


def small_disk() -> None:
    """Files of at most 2 MB: enough for everything but the page, which holds Plotly."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))


def write_arrays(folder: Path) -> list[object]:
    """Writes small arrays; the beginning of a command that adapts to them, started in that folder."""
    random = np.random.default_rng(0)
    y = np.arange(120) % 2
    np.savez(folder / "a.npz", x=(random.normal(size=(120, 3)) + 3 * y[:, None]).astype("float32"), y=y)
    np.savez(folder / "b.npz", x=(random.normal(size=(120, 3)) + 1).astype("float32"))
    return ["adapt", "--source", "a.npz", "--target", "b.npz", "--epochs", 4, "--batch-size", 16]


@pytest.fixture
def data(tmp_path: Path) -> list[object]:
    """The beginning of a command that adapts to small arrays in the present folder."""
    return write_arrays(tmp_path)


@pytest.fixture(scope="module")
def adapted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, with its page and the logs for TensorBoard."""
    folder = tmp_path_factory.mktemp("adapted")
    words = command(*write_arrays(folder), "--out", "run", "--tensorboard")
    done = subprocess.run(words, cwd=folder, env=environment(), capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    assert "Report: run/report.html" in done.stdout
    assert "TensorBoard: tensorboard --logdir run/tensorboard" in done.stdout
    return folder / "run"


def test_adapt_writes_the_page_and_report_writes_it_again(adapted: Path, tmp_path: Path, flipgrad: Program) -> None:
    shutil.copytree(adapted, tmp_path / "run")
    assert list((tmp_path / "run" / "tensorboard" / "dann-0").glob("events.out.tfevents.*"))
    page = tmp_path / "run" / "report.html"
    text = page.read_text()
    for part in ("How accurate it is on the target is not known", "flipgrad adapt --source", "x0 = ", 'id="through"'):
        assert part in text
    assert "not finished" not in text.split("<script")[0]
    assert not (tmp_path / "run" / "checkpoints").exists()
    page.unlink()
    done = flipgrad("report", "run", "--lang", "zh")
    assert (done.returncode, done.stdout, done.stderr) == (0, "run/report.html\n", "")
    assert 'lang="zh-CN"' in page.read_text()


def test_no_report(data: list[object], tmp_path: Path, inside: Program) -> None:
    done = inside(*data, "--out", "run", "--no-report", "--json")
    assert done.returncode == 0, done.stderr
    json.loads(done.stdout)
    assert not (tmp_path / "run" / "report.html").exists()
    assert (tmp_path / "run" / "observations" / "dann-0.npz").is_file()


def test_the_result_comes_first_and_stays_though_the_page_cannot_be_written(
    data: list[object], tmp_path: Path, flipgrad: Program, inside: Program
) -> None:
    done = flipgrad(*data, "--out", "run", "--json", "--quiet", preexec_fn=small_disk)
    why = "run/report.html: File too large; free some space or copy the run to another place"
    line = f"flipgrad: {why}; the run is done and its result written; then say: flipgrad report run\n"
    assert (done.returncode, done.stderr) == (3, line)
    assert json.loads(done.stdout) == json.loads((tmp_path / "run" / "results.json").read_text())
    assert not (tmp_path / "run" / "report.html").exists()
    assert refused(flipgrad("report", "run", preexec_fn=small_disk)) == why
    assert inside("predict", "run", "b.npz", "-o", "p.csv", "--quiet").returncode == 0

    # Again, now a folder is in the way; both streams as on a terminal, where the table must come first.
    (tmp_path / "run" / "report.html").mkdir()
    (tmp_path / "run" / "tensorboard").write_text("in the way")
    both: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "cwd": tmp_path}
    words = command("adapt", "--resume", "run", "--tensorboard")
    told = subprocess.run(words, env=environment(), timeout=500, **both)
    assert told.returncode == 3
    table, _, rest = told.stdout.partition("Next: flipgrad predict run INPUT")
    assert "Accuracies: source and domain" in table
    first, second = [line for line in rest.splitlines() if line.startswith("flipgrad: ")]
    assert first.startswith("flipgrad: run/report.html: expected a file or none, found a folder of that name; move it")
    assert first.endswith("; then say: flipgrad report run")
    assert second.startswith("flipgrad: run/tensorboard")
    assert second.endswith("; then say: flipgrad adapt --resume run --tensorboard")
    line = refused(inside("report", "run"))
    assert line == ("run/report.html: expected a file or none, found a folder of that name; move it away or delete it")
    (tmp_path / "run" / "report.html").rmdir()
    assert inside("report", "run").returncode == 0  # what the line says works


def test_an_experiment_whose_page_cannot_be_written(tmp_path: Path, flipgrad: Program) -> None:
    words = ["run", "blobs", "--steps", 20, "--modes", "source", "--out", "run"]
    done = flipgrad(*words, preexec_fn=small_disk)
    assert done.returncode == 3, done.stderr
    assert "Figures: run/figures" in done.stdout
    assert done.stderr.splitlines()[-1].startswith("flipgrad: run/report.html: File too large; ")
    assert (tmp_path / "run" / "done").exists()


def test_a_training_that_diverged(data: list[object], inside: Program) -> None:
    done = inside(*data, "--learning-rate", 1e30, "--out", "run")
    for again in (done, inside("adapt", "--resume", "run")):
        assert again.returncode == 2
        assert "1 of 1 trainings diverged" in again.stderr.splitlines()[-1]
        assert "Report: run/report.html" in again.stdout
        assert "flipgrad predict" not in again.stdout  # there is nothing to predict with
        assert "flipgrad evaluate" not in again.stdout
    line = refused(inside("predict", "run", "b.npz", "-o", "p.csv"))
    assert "diverged at step" in line
    assert "train again with a smaller --learning-rate or --strength, into another --out" in line
    assert '"state": "done"' in inside("info", "run", "--json").stdout


def test_what_the_page_is_without_is_said(adapted: Path, tmp_path: Path, inside: Program) -> None:
    shutil.copytree(adapted, tmp_path / "run")
    (tmp_path / "run" / "report.html").unlink()
    (tmp_path / "run" / "results.json").write_text('[{"mode": 5}]')
    (tmp_path / "run" / "history.csv").write_text("mode,seed,epoch,loss\ndann,0,1,x\n")
    (tmp_path / "run" / "observations" / "dann-0.npz").write_bytes(b"PK")
    done = inside("report", "run")
    assert (done.returncode, done.stdout) == (0, "run/report.html\n")
    results, history, frames = done.stderr.splitlines()
    assert results.startswith("flipgrad: run/results.json: expected a row ")
    assert results.endswith(
        "; train again what is missing with: flipgrad adapt --resume run; the page is without the table of results"
    )
    assert history.startswith("flipgrad: run/history.csv: not a history ")
    assert "; the page is without the curves" in history
    assert frames.startswith("flipgrad: run/observations/dann-0.npz: not a zip archive")
    assert "; the page is without the embeddings of this training" in frames
    assert "Results of this run are missing or damaged." in (tmp_path / "run" / "report.html").read_text()


def test_one_run_that_fails_does_not_stop_the_others(adapted: Path, tmp_path: Path, flipgrad: Program) -> None:
    pages = []
    for name in ("one", "two", "three"):
        shutil.copytree(adapted, tmp_path / name)
        (tmp_path / name / "report.html").unlink()
        pages.append(f"{name}/report.html")
    (tmp_path / pages[0]).mkdir()
    (tmp_path / pages[1]).mkdir()
    done = flipgrad("report", "one", "two", "three")
    assert (done.returncode, done.stdout) == (2, f"{pages[2]}\n")
    for line, page in zip(done.stderr.splitlines(), pages, strict=False):
        assert line.startswith(f"flipgrad: {page}: expected a file or none, found a folder of that name; move it away")
    assert len(done.stderr.splitlines()) == 2

    (tmp_path / pages[0]).rmdir()
    (tmp_path / pages[1]).rmdir()
    done = flipgrad("report", "one", "two", "three", "--open", env={"BROWSER": "/no/such/browser", "PATH": ""})
    assert (done.returncode, done.stdout.splitlines()) == (2, pages)
    for line, page in zip(done.stderr.splitlines(), pages, strict=True):
        assert line == (
            f"flipgrad: --open: found no browser on this machine; {page} is written, open it yourself or on another "
            "machine"
        )


def test_refusals(tmp_path: Path, inside: Program) -> None:
    (tmp_path / "config.json").write_text('{"flipgrad_run": 1}')
    (tmp_path / "other").mkdir()
    assert "there is no such folder" in refused(inside("report", "nowhere"))
    assert "other: not a run: config.json missing, holds nothing" in refused(inside("report", ".", "other"))
    assert not (tmp_path / "report.html").exists()  # all folders are looked at before the first page is made
    assert "--lang: expected en or zh, received 'fr'" in refused(inside("report", ".", "--lang", "fr"))
    assert "RUN" in refused(inside("report"))
    assert inside("report", ".").returncode == 0
    assert "There are no results yet." in (tmp_path / "report.html").read_text()
