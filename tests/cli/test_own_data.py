"""adapt, predict, evaluate, export and info for real, on a small table and small images."""

import csv
import json
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from flipgrad.cli.adapt import _to_resume
from flipgrad.errors import InputError
from flipgrad.recording import read_arrays

from .conftest import Program, command, environment, refused


def clinic(shift: float, rows: int = 120) -> pl.DataFrame:
    """Two classes told apart by height; the scale of it is shifted, and some values are missing."""
    random = np.random.default_rng(int(10 * shift))
    sick = random.random(rows) < 0.5
    height = np.where(sick, 2.0, -2.0) + random.normal(size=rows) + shift
    return pl.DataFrame(
        {
            "height": [None if random.random() < 0.1 else float(value) for value in height],
            "ward": random.choice(["north", "south"], rows).tolist(),
            "smoker": (random.random(rows) < 0.3).tolist(),
            "diagnosis": np.where(sick, "ill", "well").tolist(),
        }
    )


@pytest.fixture(scope="module")
def clinics(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tables a.csv and b.csv, and the finished run ``run``."""
    folder = tmp_path_factory.mktemp("clinics")
    clinic(0.0).write_csv(folder / "a.csv")
    clinic(1.0).write_csv(folder / "b.csv")
    clinic(1.0).drop("diagnosis").write_parquet(folder / "unlabelled.parquet")
    words = ["--source", "a.csv", "--target", "b.csv", "--target-test", "b.csv", "--label", "diagnosis"]
    done = subprocess.run(
        command("adapt", *words, "--epochs", 30, "--batch-size", 16, "--out", "run"),
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
    assert "target: ignored the column 'diagnosis'" in done.stderr
    assert "1/1 adapt dann, seed 0" in done.stderr
    assert "do not choose settings by it" in done.stdout
    return folder


def test_a_run_of_ones_own(clinics: Path) -> None:
    (row,) = json.loads((clinics / "run" / "results.json").read_text())
    assert row["mode"] == "dann"
    assert row["source_accuracy"] > 0.8
    assert row["target_accuracy"] > 0.75
    assert 0 <= row["domain_accuracy"] <= 1
    described = json.loads((clinics / "run" / "config.json").read_text())["input"]
    assert described["classes"] == {"type": "str", "values": ["ill", "well"]}


def test_predictions_carry_names_and_probabilities(
    clinics: Path, tmp_path: Path, flipgrad: Program, inside: Program
) -> None:
    words = ["predict", clinics / "run", clinics / "unlabelled.parquet", "-o"]
    done = flipgrad(*words, tmp_path / "sure.csv", "--reject-below", 0.9)
    assert (done.returncode, done.stderr) == (0, "")
    with (tmp_path / "sure.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == [str(n) for n in range(120)]
    assert list(rows[0]) == ["id", "predicted", "probability_ill", "probability_well"]
    for row in rows:
        chances = {"ill": float(row["probability_ill"]), "well": float(row["probability_well"])}
        assert sum(chances.values()) == pytest.approx(1, abs=1e-5)
        best = max(chances, key=chances.__getitem__)
        assert row["predicted"] == (best if chances[best] >= 0.9 else "")
    assert {row["predicted"] for row in rows} == {"ill", "well", ""}

    done = inside(*words, tmp_path / "again.csv", "--reject-below", 0.9, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    counts = {name: sum(row["predicted"] == name for row in rows) for name in ("ill", "well", "")}
    empty = counts.pop("")
    assert json.loads(done.stdout) == {
        "file": str(tmp_path / "again.csv"), "rows": 120, "classes": counts, "empty": empty
    }  # fmt: skip

    assert inside(*words, tmp_path / "all.parquet").returncode == 0
    frame = pl.read_parquet(tmp_path / "all.parquet")
    assert frame["predicted"].null_count() == 0
    right = (frame["predicted"] == clinic(1.0)["diagnosis"]).mean()
    assert right == json.loads((clinics / "run" / "results.json").read_text())[0]["target_accuracy"]
    assert "it exists" in refused(inside(*words, tmp_path / "all.parquet"))


def test_evaluate(clinics: Path, tmp_path: Path, flipgrad: Program, inside: Program) -> None:
    done = flipgrad("evaluate", clinics / "run", clinics / "b.csv", "--figure", "confusion.png", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found["accuracy"] == json.loads((clinics / "run" / "results.json").read_text())[0]["target_accuracy"]
    confusion = np.array(found["confusion"])
    assert confusion.sum() == found["rows"] == 120
    assert found["accuracy"] == pytest.approx(np.trace(confusion) / 120)
    recalls = np.diag(confusion) / confusion.sum(axis=1)
    assert found["balanced_accuracy"] == pytest.approx(recalls.mean())
    assert found["classes"]["ill"]["recall"] == pytest.approx(recalls[0])
    assert Image.open(tmp_path / "confusion.png").size[0] > 300
    line = refused(inside("evaluate", clinics / "run", clinics / "unlabelled.parquet"))
    assert "diagnosis" in line


def test_info_reads_no_model(clinics: Path, tmp_path: Path, flipgrad: Program) -> None:
    done = flipgrad("info", clinics / "run")
    assert done.returncode == 0, done.stderr
    for shown in ("ill, well", "done", "dann-0.keras", "target_accuracy"):
        assert shown in done.stdout
    about = json.loads(flipgrad("info", clinics / "run", "--json").stdout)
    done = flipgrad("info", clinics / "run" / "models" / "dann-0.keras")
    assert (done.returncode, done.stderr) == (0, "")
    assert "flipgrad>TableFeatures" in done.stdout
    assert done.stdout.endswith("flipgrad.load accepts it\n")
    assert about["input"]["kind"] == "table"

    # A folder from a stranger: no model is opened, and no control character reaches the terminal.
    (tmp_path / "odd" / "models").mkdir(parents=True)
    (tmp_path / "odd" / "models" / "dann-0.keras").write_bytes(b"not a model")
    config = {"flipgrad_run": 1, "experiment": "\u001b[31m[bold]x", "settings": {"[red]a": "\u001b]0;b\u0007"}}
    (tmp_path / "odd" / "config.json").write_text(json.dumps(config))
    done = flipgrad("info", "odd")
    assert done.returncode == 0, done.stderr
    assert "\u001b" not in done.stdout
    assert "\u0007" not in done.stdout
    assert "[red]a" in done.stdout


def test_export_with_the_preprocessing(clinics: Path, tmp_path: Path, flipgrad: Program, inside: Program) -> None:
    for kind, name in (("savedmodel", "saved"), ("keras", "p.keras"), ("onnx", "p.onnx")):
        options = {"onnx": ["--json"], "keras": ["--quiet"]}.get(kind, [])
        program = flipgrad if kind == "savedmodel" else inside
        done = program("export", clinics / "run", "--format", kind, "-o", name, *options)
        assert done.returncode == 0, done.stderr
        if kind == "onnx":
            found = json.loads(done.stdout)
            assert (found["file"], found["format"]) == (name, kind)
            assert 0 <= found["difference"] <= found["allowed"] == 1e-4
        else:
            assert ("differ by at most" in done.stdout) is (kind == "savedmodel")
            assert done.stdout == "" or kind == "savedmodel"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.keras", "p.onnx", "saved"]
    assert "it exists" in refused(inside("export", clinics / "run", "--format", "onnx", "-o", "p.onnx"))

    # The same row as predict sees it: a missing number is NaN, an unseen ward too.
    import onnxruntime

    session = onnxruntime.InferenceSession(tmp_path / "p.onnx")
    (name,) = [entry.name for entry in session.get_inputs()]
    rows = np.array([[5.0, 0.0, 0.0], [np.nan, np.nan, 1.0]], "float32")
    (chances,) = session.run(None, {name: rows})
    assert np.isfinite(chances).all()
    pl.DataFrame({"height": [5.0, None], "ward": ["north", "east"], "smoker": [False, True]}).write_csv(
        tmp_path / "two.csv"
    )
    assert inside("predict", clinics / "run", "two.csv", "-o", "two_out.csv").returncode == 0
    table = pl.read_csv(tmp_path / "two_out.csv")
    expected = table.select("probability_ill", "probability_well").to_numpy()
    np.testing.assert_allclose(chances, expected, atol=1e-5)


def test_a_few_labels_of_the_target(tmp_path: Path, inside: Program) -> None:
    """In the target the classes have changed places, so that only its labels can tell."""
    random = np.random.default_rng(0)
    y = np.arange(300) % 2
    x = (random.normal(scale=0.4, size=(300, 2)) + np.stack([2 * y - 1, 0 * y], 1)).astype("float32")
    names = np.array(["left", "right"])
    np.savez(tmp_path / "source.npz", x=x, y=names[y])
    np.savez(tmp_path / "target.npz", x=x + np.float32([0, 4]))
    np.savez(tmp_path / "test.npz", x=x + np.float32([0, 4]), y=names[1 - y])
    np.savez(tmp_path / "few.npz", x=x[:75] + np.float32([0, 4]), y=names[1 - y[:75]])
    np.savez(tmp_path / "odd.npz", x=x[:40], y=["up"] * 40)
    words = ["adapt", "--source", "source.npz", "--target", "target.npz", "--target-test", "test.npz", "--epochs", 20]
    words += ["--json", "--quiet"]
    assert "target labels (odd.npz): y" in refused(inside(*words, "--target-labels", "odd.npz", "--out", "odd"))
    assert "keep some labelled rows apart" in refused(inside(*words, "--target-labels", "test.npz", "--out", "odd"))
    assert not (tmp_path / "odd").exists()
    told = [word for word in words if word != "--quiet"]
    done = inside(*told, "--target-labels", "few.npz", "--epochs", 1, "--out", "told", "--no-report")
    assert "75 of 300 rows are among the target labels" in done.stderr
    for mode in ("source", "dann"):
        done = inside(*words, "--target-labels", "few.npz", "--mode", mode, "--out", mode, "--no-report")
        assert done.returncode == 0, done.stderr
        (row,) = json.loads(done.stdout)
        assert row["target_accuracy"] > 0.9
        assert 1 <= row["chosen_epoch"] <= 20
        assert not (tmp_path / mode / "checkpoints").exists()
    config = json.loads((tmp_path / "dann" / "config.json").read_text())
    assert config["settings"]["target_labels"] == str(tmp_path / "few.npz")
    assert len(config["data"]["labelled"]) == 64
    assert "few.npz" in inside("info", "dann", "--json").stdout


def test_images_in_folders(tmp_path: Path, inside: Program) -> None:
    random = np.random.default_rng(0)
    for domain, lift in (("here", 0), ("there", 60)):
        for name, level in (("dark one", 40), ("light/er", 130)):
            folder = tmp_path / domain / name
            folder.mkdir(parents=True)
            for number in range(24):
                pixels = random.normal(level + lift, 15, (12, 12, 3)).clip(0, 255).astype("uint8")
                Image.fromarray(pixels).save(folder / f"{number}.png")
    (tmp_path / "there" / "light" / "er" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    words = ["adapt", "--source", "here", "--target", "there", "--epochs", 2, "--batch-size", 8, "--out", "run"]
    line = refused(inside(*words, "--json", "--quiet"))
    assert "light/er/broken.png" in line
    assert "--skip-bad" in line
    assert not (tmp_path / "run").exists()
    done = inside(*words, "--skip-bad", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[0]["target_accuracy"] is None
    assert inside("predict", "run", "there", "-o", "p.csv", "--skip-bad", "--quiet").returncode == 0
    table = pl.read_csv(tmp_path / "p.csv")
    assert table.columns == ["id", "predicted", "probability_dark one", "probability_light"]
    assert "dark one/0.png" in table["id"].to_list()


@pytest.mark.parametrize("rows", [1, 3])
def test_a_target_smaller_than_a_batch(tmp_path: Path, inside: Program, rows: int) -> None:
    random = np.random.default_rng(0)
    x, y = random.normal(size=(41, 4)).astype("float32"), np.array(["a"] * 20 + ["b"] * 20 + ["c"])
    np.savez(tmp_path / "source.npz", x=x, y=y)
    np.savez(tmp_path / "target.npz", x=x[:rows] + 1)
    words = ["adapt", "--source", "source.npz", "--target", "target.npz", "--epochs", 1, "--out", "run"]
    done = inside(*words, "--json", "--no-report")
    assert done.returncode == 0, done.stderr
    assert "source: one sample only of 1 classes, too few to learn from: 'c'" in done.stderr  # no refusal
    assert json.loads(done.stdout)[0]["diverged"] is None
    done = inside("predict", "run", "target.npz", "-o", "p.csv", "--json", "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert (found["file"], found["rows"], found["empty"]) == ("p.csv", rows, 0)
    assert sum(found["classes"].values()) == rows
    table = pl.read_csv(tmp_path / "p.csv")
    np.testing.assert_allclose(table.select(pl.exclude("id", "predicted")).to_numpy().sum(-1), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["adapt"], "--source: expected an existing file or folder, received nothing"),
        (["adapt", "--source", "a.npz", "--target", "nowhere"], "--target: expected an existing file or folder"),
        (["adapt", "--source", "a.npz", "--target", "a.npz", "--mode", "dan"], "did you mean 'dann'?"),
        (["adapt", "--source", "a.npz", "--target", "a.npz", "--learning-rate", "nan"], "--learning-rate: expected"),
        (["adapt", "--source", "a.npz", "--target", "a.npz", "--encoder", "ResNet5", "--quiet"], "ResNet50"),
        (["adapt", "--source", "a.npz", "--target", "c.csv", "--quiet"], "arrays and table"),
        (["adapt", "--source", "a.npz", "--target", "a.npz", "--target-labels", "b.npz"], "--target-labels: expected"),
        (
            ["adapt", "--source", "a.npz", "--target", "a.npz", "--target-labels", "c.csv", "--quiet"],
            "expected arrays, as in",
        ),
        (["adapt", "--resume", "nowhere"], "there is no such folder"),
        (["adapt", "--resume", "nowhere", "--epochs", "3"], "expected no other setting beside it"),
        (["predict", "nowhere", "a.npz", "-o", "p.csv"], "there is no such folder"),
        (["predict", "nowhere", "a.npz", "-o", "p.txt"], "ends in .csv or .parquet"),
        (["evaluate", ".", "a.npz"], "not a run"),
        (["export", ".", "--format", "tflite"], "--format: expected keras, savedmodel or onnx"),
        (["info", "."], "not a run"),
        (["info", "a.npz"], "expected a run folder or a file named *.keras"),
        (["info", "nowhere.keras"], "there is no such file"),
        (["info", "text.keras"], "not a zip archive"),
    ],
)
def test_refusals(tmp_path: Path, inside: Program, words: list[str], expected: str) -> None:
    np.savez(tmp_path / "a.npz", x=np.eye(6, dtype="float32"), y=np.arange(6) % 2)
    (tmp_path / "c.csv").write_text("a,label\n1,x\n2,y\n")
    (tmp_path / "text.keras").write_text("no model")
    before = sorted(path.name for path in tmp_path.iterdir())
    assert expected in refused(inside(*words))
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_killed_at_any_moment_and_resumed_bit_for_bit(
    clinics: Path, tmp_path: Path, started: Callable[..., subprocess.Popen[str]], flipgrad: Program, inside: Program
) -> None:
    import flipgrad as fg

    words = ["adapt", "--source", clinics / "a.csv", "--target", clinics / "b.csv", "--label", "diagnosis"]
    words += ["--target-test", clinics / "b.csv", "--epochs", 30, "--batch-size", 16, "--out", "run"]
    process = started(*words)
    began = time.monotonic()
    checkpoint = tmp_path / "run" / "checkpoints" / "dann-0.npz"
    while not checkpoint.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() - began < 300
        time.sleep(0.002)
    time.sleep(random_moment := np.random.default_rng().uniform(0, 0.3))
    process.kill()
    process.communicate()
    assert not (tmp_path / "run" / "done").exists(), f"finished before it was killed, {random_moment} s later"
    assert "not done; finish it with: flipgrad adapt --resume" in refused(
        inside("predict", "run", clinics / "b.csv", "-o", "p.csv")
    )
    assert "finish it with: flipgrad adapt --resume run\n" in flipgrad("info", "run").stdout
    done = flipgrad("adapt", "--resume", "run", "--no-report")
    assert done.returncode == 0, done.stderr
    assert not checkpoint.parent.exists()
    whole, resumed = (fg.load(folder / "run" / "models" / "dann-0.keras") for folder in (clinics, tmp_path))
    for a, b in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    histories = [(folder / "run" / "history.csv").read_text() for folder in (clinics, tmp_path)]
    assert histories[0] == histories[1]
    frames, resumed_frames = (
        read_arrays(folder / "run" / "observations" / "dann-0.npz") for folder in (clinics, tmp_path)
    )
    for name, value in frames.items():
        np.testing.assert_array_equal(resumed_frames[name], value, err_msg=name)


@pytest.mark.parametrize(
    "change",
    [
        {"settings": None}, {"settings": 5}, {"settings": {}}, {"source": 5}, {"source": None}, {"target": ["b"]},
        {"target_test": 5}, {"target_labels": 5}, {"label": 5}, {"size": "8"}, {"size": 0}, {"size": True},
        {"skip_bad": 1}, {"backend": ["x"]}, {"backend": "numpy"}, {"backend": 5},
    ],
)  # fmt: skip
def test_odd_settings_are_not_resumed(tmp_path: Path, change: dict[str, object]) -> None:
    good = {"flipgrad_run": 1, "experiment": "adapt", "backend": None, "settings": {"source": "a", "target": "b"}}
    (tmp_path / "config.json").write_text(json.dumps(good))
    assert _to_resume(str(tmp_path), None, None, None, {}) == (tmp_path, good["settings"], None)
    whole = {**good, **change} if good.keys() & change else {**good, "settings": {**good["settings"], **change}}
    (tmp_path / "config.json").write_text(json.dumps(whole))
    with pytest.raises(InputError, match=r"config\.json: the settings are not those of this version"):
        _to_resume(str(tmp_path), None, None, None, {})


def test_a_run_without_results_is_mended_by_the_command_that_is_named(
    clinics: Path, tmp_path: Path, inside: Program
) -> None:
    shutil.copytree(clinics / "run", tmp_path / "my run")
    (tmp_path / "my run" / "results.json").write_text("[")
    words = ["predict", "my run", clinics / "unlabelled.parquet", "-o"]
    command = "flipgrad adapt --resume 'my run'"
    lines = [
        refused(inside(*words, "p.csv")),
        refused(inside("evaluate", "my run", clinics / "b.csv")),
        refused(inside("export", "my run", "--format", "keras", "-o", "p.keras")),
    ]
    for line in lines:
        assert line.startswith("my run/results.json: not readable as JSON")
        assert line.endswith(f"; train again what is missing with: {command}")
    told = inside("info", "my run")
    assert told.returncode == 0, told.stderr
    assert "damaged" in told.stdout
    assert f"; train again what is missing with: {command}\n" in told.stdout
    done = inside(*shlex.split(command)[1:], "--no-report")
    assert done.returncode == 0, done.stderr
    assert "kept as results.json.damaged" in done.stderr
    assert inside(*words, "p.csv", "--quiet").returncode == 0
    assert inside("predict", clinics / "run", *words[2:], "q.csv", "--quiet").returncode == 0
    assert (tmp_path / "p.csv").read_bytes() == (tmp_path / "q.csv").read_bytes()
