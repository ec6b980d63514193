"""flipgrad report, and the pages that adapt writes by itself, for real."""

import json
from pathlib import Path

import numpy as np
import pytest

from .conftest import Program, refused


@pytest.fixture
def data(tmp_path: Path) -> list[object]:
    """The beginning of a command that adapts to small arrays in the present folder."""
    random = np.random.default_rng(0)
    y = np.arange(120) % 2
    np.savez(tmp_path / "a.npz", x=(random.normal(size=(120, 3)) + 3 * y[:, None]).astype("float32"), y=y)
    np.savez(tmp_path / "b.npz", x=(random.normal(size=(120, 3)) + 1).astype("float32"))
    return ["adapt", "--source", "a.npz", "--target", "b.npz", "--epochs", 4, "--batch-size", 16]


def test_adapt_writes_the_page_and_report_writes_it_again(
    data: list[object], tmp_path: Path, flipgrad: Program
) -> None:
    done = flipgrad(*data, "--out", "run", "--tensorboard")
    assert done.returncode == 0, done.stderr
    assert "Report: run/report.html" in done.stdout
    assert "TensorBoard: tensorboard --logdir run/tensorboard" in done.stdout
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


def test_no_report(data: list[object], tmp_path: Path, flipgrad: Program) -> None:
    done = flipgrad(*data, "--out", "run", "--no-report", "--json")
    assert done.returncode == 0, done.stderr
    json.loads(done.stdout)
    assert not (tmp_path / "run" / "report.html").exists()
    assert (tmp_path / "run" / "observations" / "dann-0.npz").is_file()


def test_refusals(tmp_path: Path, flipgrad: Program) -> None:
    (tmp_path / "config.json").write_text('{"flipgrad_run": 1}')
    (tmp_path / "other").mkdir()
    assert "there is no such folder" in refused(flipgrad("report", "nowhere"))
    assert "other: not a run: config.json missing, holds nothing" in refused(flipgrad("report", ".", "other"))
    assert not (tmp_path / "report.html").exists()  # all folders are looked at before the first page is made
    assert "--lang: expected en or zh, received 'fr'" in refused(flipgrad("report", ".", "--lang", "fr"))
    assert "RUN" in refused(flipgrad("report"))
    assert flipgrad("report", ".").returncode == 0
    assert "There are no results yet." in (tmp_path / "report.html").read_text()
