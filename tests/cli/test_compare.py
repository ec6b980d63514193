"""`flipgrad compare`, and several trainings in one run of one's own data."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from flipgrad.runs import Run

from .conftest import Program, refused


def made(folder: Path, *, data: str = "a", done: bool = True, modes: tuple[str, ...] = ("source", "dann")) -> Path:
    config = {"experiment": "digits", "settings": {"name": folder.name}, "data": {"source_train": data}}
    with Run.create(folder, config) as run:
        for seed in range(2):
            for number, mode in enumerate(modes):
                accuracy = 0.5 + 0.1 * number + 0.02 * seed
                run.add_row(
                    {"mode": mode, "seed": seed, "target_accuracy": accuracy, "target_recall": [1.0, 0.0, None]}
                )
        if done:
            run.finish()
    return folder


def test_every_way_to_show_it(tmp_path: Path, flipgrad: Program) -> None:
    made(tmp_path / "run")
    done = flipgrad("compare", "run")
    assert (done.returncode, done.stderr) == (0, "")
    for shown in (
        "to source-only",
        "+.100",
        ".510 ± .014",
        "Accuracy on the target by class:",
        "do not choose settings",
    ):
        assert shown in done.stdout
    found = json.loads(flipgrad("compare", "run", "--json").stdout)
    assert found["modes"][1]["difference"]["mean"] == pytest.approx(0.1)
    (source, dann) = csv.DictReader(io.StringIO(flipgrad("compare", "run", "--csv").stdout))
    assert float(dann["difference_mean"]) == pytest.approx(0.1)
    assert source["difference_mean"] == dann["target_accuracy_2"] == dann["gap_closed"] == ""
    markdown = flipgrad("compare", "run", "--markdown").stdout
    assert markdown.startswith("| mode | n | source |")
    for name, flag in (("t.json", "--json"), ("t.csv", "--csv"), ("t.md", "--markdown")):
        assert flipgrad("compare", "run", "-o", name).stdout == f"{name}: 2 modes\n"
        assert (tmp_path / name).read_text() == flipgrad("compare", "run", flag).stdout


def test_runs_that_do_not_go_together(tmp_path: Path, flipgrad: Program) -> None:
    made(tmp_path / "run")
    made(tmp_path / "other", data="b")
    made(tmp_path / "open", done=False)
    made(tmp_path / "dann", modes=("dann",))
    done = flipgrad("compare", "run", "dann")
    assert "dann: dann is held against source of run, of other settings (seeds 0, 1)" in done.stdout
    (tmp_path / "empty").mkdir()
    before = sorted(tmp_path.iterdir())
    for words, expected in (
        (["run", "other"], "other: of other data than run (source_train differ); leave one out"),
        (["run", "open"], "open: the run is not done; finish it with --resume, or leave it out"),
        (["run", "empty"], "empty: not a run"),
        (["run", "nowhere"], "nowhere: there is no such folder"),
        (["run", "--json", "--csv"], "expected one of --json, --csv, --markdown and --out"),
        (["run", "-o", "t.txt"], "ends in .json, .csv or .md"),
    ):
        assert expected in refused(flipgrad("compare", *words))
    assert sorted(tmp_path.iterdir()) == before


def test_several_trainings_of_ones_own_data(tmp_path: Path, flipgrad: Program, inside: Program) -> None:
    random = np.random.default_rng(0)
    y = np.arange(120) % 2
    x = (random.normal(scale=0.4, size=(120, 2)) + np.stack([2 * y - 1, 0 * y], 1)).astype("float32")
    names = np.array(["left", "right"])
    np.savez(tmp_path / "a.npz", x=x, y=names[y])
    np.savez(tmp_path / "b.npz", x=x + np.float32([0.5, 0]))
    np.savez(tmp_path / "t.npz", x=x + np.float32([0.5, 0.01]), y=names[y])
    words = ["adapt", "--source", "a.npz", "--target", "b.npz", "--target-test", "t.npz", "--epochs", 2]
    assert "--seed: expected no --seeds beside it" in refused(inside(*words, "--seed", 1, "--seeds", 2))
    assert "did you mean 'dann'?" in refused(inside(*words, "--modes", "source,dan"))
    done = flipgrad(*words, "--modes", "source,dann", "--seeds", "4,2", "--no-report", "--out", "run")
    assert done.returncode == 0, done.stderr
    for shown in ("to source-only", "left", "right", "Picked: ", "of 4 trainings", "Next: flipgrad predict run"):
        assert shown in done.stdout
    assert "4/4 adapt dann, seed 2" in done.stderr
    picked = json.loads((tmp_path / "run" / "selection.json").read_text())["picked"]
    about = json.loads(inside("info", "run", "--json").stdout)
    assert about["run"]["picked"] == picked
    assert len(about["scores"]) == 4
    written = {}
    for training in ("", "source-4", "dann-4", "source-2", "dann-2"):
        chosen = ["--training", training] if training else []
        assert inside("predict", "run", "t.npz", "-o", f"_{training}.csv", *chosen).returncode == 0
        written[training] = pl.read_csv(tmp_path / f"_{training}.csv").drop("id").to_numpy().tolist()
    assert written[""] == written[picked]
    assert len({str(rows) for rows in written.values()}) == 4
    scores = json.loads(inside("evaluate", "run", "t.npz", "--json", "--training", "source-2").stdout)
    (row,) = [row for row in about["scores"] if (row["mode"], row["seed"]) == ("source", 2)]
    assert scores["accuracy"] == row["target_accuracy"]
    assert [scores["classes"][name]["recall"] for name in ("left", "right")] == row["target_recall"]
    assert "expected one of source-4, dann-4, source-2, dann-2" in refused(
        inside("predict", "run", "t.npz", "-o", "p.csv", "--training", "dann-3")
    )
    done = inside("adapt", "--resume", "run", "--no-report")
    assert "Picked: " in done.stdout
