"""A done run that has lost something: every command names the same remedy, and the remedy works."""

import dataclasses
import json
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flipgrad._run_state import lacking, resume_command, trainings
from flipgrad.adaptation import Places, adapt
from flipgrad.cli import info as info_command
from flipgrad.cli.adapt import adapt as adapt_command
from flipgrad.cli.evaluate import evaluate
from flipgrad.cli.export import export
from flipgrad.cli.predict import predict
from flipgrad.errors import InputError
from flipgrad.experiments import blobs
from flipgrad.recipe import Recipe
from flipgrad.recording import Recording, read
from flipgrad.runs import Run
from flipgrad.trained import Trained
from flipgrad.training import Reporter

pytestmark = pytest.mark.usefixtures("no_figures")


class Said(Reporter):
    """Keeps the lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def line(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the arrays a.npz and the finished run ``run``."""
    folder = tmp_path_factory.mktemp("whole")
    y = np.arange(60) % 2
    x = np.random.default_rng(0).normal(size=(60, 3)) + 3 * y[:, None]
    np.savez(folder / "a.npz", x=x.astype("float32"), y=y)
    places = Places(folder / "a.npz", folder / "a.npz", target_test=folder / "a.npz")
    adapt(places, Recipe(epochs=3, batch_size=16), folder / "run")
    return folder


def _rewrite(path: Path, change: Callable[[list[dict[str, Any]]], Any]) -> None:
    path.write_text(json.dumps(change(json.loads(path.read_text()))))


def _flip_byte(model: Path) -> None:
    """Spoils one byte in the middle of the weights."""
    content = bytearray(model.read_bytes())
    with zipfile.ZipFile(model) as archive:
        weights = archive.getinfo("model.weights.h5")
    content[weights.header_offset + weights.file_size // 2] ^= 1
    model.write_bytes(content)


def _other_archive(model: Path) -> None:
    with zipfile.ZipFile(model, "w") as archive:
        archive.writestr("config.json", "{}")


DAMAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no results": (lambda run: (run / "results.json").unlink(), "results.json: expected the result of dann, seed 0"),
    "empty results": (lambda run: (run / "results.json").write_text("[]"), "expected the result of dann, seed 0"),
    "results cut short": (lambda run: (run / "results.json").write_text('[{"mo'), "results.json: not readable as JSON"),
    "odd results": (lambda run: (run / "results.json").write_text('{"a": 1}'), "results.json: expected a list of rows"),
    "a row of nothing": (lambda run: (run / "results.json").write_text("[5]"), "results.json: expected a row"),
    "results of another seed": (
        lambda run: _rewrite(run / "results.json", lambda rows: [{**rows[0], "seed": 7}]),
        "expected the result of dann, seed 0",
    ),
    "results and history": (
        lambda run: [(run / name).write_bytes(b"\xff") for name in ("results.json", "history.csv")],
        "results.json: not readable",
    ),
    "a folder": (
        lambda run: [(run / "results.json").unlink(), (run / "results.json").mkdir()],
        "results.json: expected a file, found none, or a folder",
    ),
    "no model": (lambda run: shutil.rmtree(run / "models"), "dann-0.keras: expected the model of dann, seed 0"),
    "a model cut short": (
        lambda run: (run / "models" / "dann-0.keras").write_bytes(b"PK\3\4"),
        "expected the model of dann, seed 0, found a damaged file",
    ),
    "a byte of the model": (
        lambda run: _flip_byte(run / "models" / "dann-0.keras"),
        "expected the model of dann, seed 0, found a damaged file",
    ),
    "another archive": (
        lambda run: _other_archive(run / "models" / "dann-0.keras"),
        "expected the model of dann, seed 0, found a damaged file",
    ),
    "a folder as model": (
        lambda run: [(run / "models" / "dann-0.keras").unlink(), (run / "models" / "dann-0.keras").mkdir()],
        "expected the model of dann, seed 0, found a folder",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGES)
def test_all_name_one_remedy_and_it_works(
    whole: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "my run"
    shutil.copytree(whole / "run", run)
    before = Trained.open(run)
    x = np.load(whole / "a.npz")["x"]
    expected, row = before.predictor()(x), before.run.rows[0]
    spoil, why = DAMAGES[name]
    spoil(run)

    data, remedy = str(whole / "a.npz"), f"train again what is missing with: flipgrad adapt --resume '{run}'"
    for command in (
        lambda: predict(str(run), data, out=str(tmp_path / "p.csv")),
        lambda: evaluate(str(run), data),
        lambda: export(str(run), kind="keras", out=str(tmp_path / "p.keras")),
    ):
        with pytest.raises(InputError) as caught:
            command()
        assert why in str(caught.value)
        assert str(caught.value).endswith(remedy)
    assert not (tmp_path / "p.csv").exists()
    capsys.readouterr()
    info_command.info(str(run), as_json=True)
    about = json.loads(capsys.readouterr().out)
    assert about["run"]["state"] == "damaged"
    assert about["run"]["remedy"].endswith(remedy)
    assert about["input"]["kind"] == "arrays"

    adapt_command(resume=str(run), quiet=True, report=False)
    after = Trained.open(run)
    np.testing.assert_array_equal(after.predictor()(x), expected)
    (again,) = [each for each in after.run.rows if each["seed"] == 0]
    assert {**again, "seconds": None} == {**row, "seconds": None}
    assert len(after.run.histories["dann", 0]["loss"]) == 3
    assert after.run.done


def test_what_is_damaged_is_kept_and_said(whole: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole / "run", run)
    for name in ("results.json", "history.csv"):
        (run / name).write_text("{")
    places = Places(whole / "a.npz", whole / "a.npz", target_test=whole / "a.npz")
    said = Said()
    adapt(places, Recipe(epochs=3, batch_size=16), run, resume=True, reporter=said)
    assert [(run / f"{name}.damaged").read_text() for name in ("results.json", "history.csv")] == ["{", "{"]
    kept = [line for line in said.lines if "kept as " in line]
    assert [line.rpartition("; ")[2] for line in kept] == [
        "kept as results.json.damaged",
        "kept as history.csv.damaged",
    ]
    assert any("expected the result of dann, seed 0, found none; it is trained again" in line for line in said.lines)


def test_a_whole_run_is_resumed_without_its_data(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole / "run", run)
    _rewrite(run / "config.json", lambda config: {**config, "settings": {**config["settings"], "source": "gone.npz"}})
    files = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    capsys.readouterr()
    adapt_command(resume=str(run), as_json=True, report=False)
    said = capsys.readouterr()
    assert json.loads(said.out) == Run.open(run).rows
    assert "the run is done; nothing is left to train" in said.err.replace("\n", " ")
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == files


@pytest.mark.parametrize(
    ("content", "why"), [(None, "found none"), ("{", "not a history"), ("mode,seed,epoch\n", "less")]
)
def test_a_lost_history_of_a_whole_run_is_named(
    whole: Path, tmp_path: Path, content: str | None, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole / "run", run)
    (run / "history.csv").unlink()
    if content is not None:
        (run / "history.csv").write_text(content)
    adapt_command(resume=str(run), quiet=True, report=False)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"flipgrad: {run / 'history.csv'}: ")
    assert why in line
    assert line.endswith("; the results and models are whole, so nothing is trained again for it")
    assert not (run / "history.csv.damaged").exists()


def test_an_unfinished_run_names_the_same_command(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "my run"
    shutil.copytree(whole / "run", run)
    (run / "done").unlink()
    command = f"flipgrad adapt --resume '{run}'"
    with pytest.raises(InputError, match="the run is not done; finish it with: ") as caught:
        Trained.open(run)
    assert str(caught.value).endswith(command)
    info_command.info(str(run), as_json=True)
    about = json.loads(capsys.readouterr().out)["run"]
    assert (about["state"], about["remedy"]) == ("not done", f"finish it with: {command}")


def test_an_experiment_trains_again_only_what_is_missing(tmp_path: Path) -> None:
    settings = dataclasses.replace(blobs.PRESETS["seed"], modes=("source", "dann"), steps=40)
    run, said = tmp_path / "run", Said()
    first = blobs.run(settings, run)
    _rewrite(run / "results.json", lambda rows: rows[:1])
    shutil.rmtree(run / "models")  # may be deleted to save space: nothing is trained again for that
    missing = lacking(Run.open(run))
    assert missing is not None
    assert missing.endswith(f"train again what is missing with: flipgrad run blobs --out {run} --resume")
    second = blobs.run(settings, run, resume=True, reporter=said)
    assert second[0] == first[0]
    assert {**second[1], "seconds": None} == {**first[1], "seconds": None}
    assert [path.name for path in (run / "models").iterdir()] == ["dann-0.keras"]
    assert sum("expected the result of dann, seed 0" in line for line in said.lines) == 1
    assert Run.open(run).done


def test_the_trainings_of_a_stranger() -> None:
    def of(settings: Any, experiment: Any = "digits") -> list[tuple[str, int]]:
        return list(trainings({"experiment": experiment, "settings": settings}))

    assert of({"modes": ["a", "b", "a"], "seeds": [0, 3]}) == [("a", 0), ("b", 0), ("a", 3), ("b", 3)]
    assert of({"modes": ["../up", 5, None, []], "seeds": [-1, True, 0.0, "0", {}, 2**32, 1]}) == []
    assert [of(settings) for settings in (None, 5, {}, {"modes": "ab", "seeds": [0]}, {"seeds": [0]})] == [[]] * 5
    assert of({}, "adapt") == [("dann", 0)]
    assert of({"mode": ["x"], "seed": 0}, "adapt") == []
    assert resume_command(Path("a b"), {"experiment": "adapt"}) == "flipgrad adapt --resume 'a b'"
    assert resume_command(Path("a"), {"experiment": "mnist"}) == "flipgrad run mnist --out a --resume"
    for odd in (None, 5, "x; rm -rf /", "\x1b"):
        assert resume_command(Path("a"), {"experiment": odd}) is None


def test_settings_that_name_no_training_are_refused(whole: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole / "run", run)
    _rewrite(run / "config.json", lambda config: {**config, "settings": {**config["settings"], "seed": 0.5}})
    with pytest.raises(InputError, match=r"config\.json: expected the settings of a run of adapt"):
        Trained.open(run)
    with pytest.raises(InputError, match=r"config\.json: the settings are not those of this version"):
        adapt_command(resume=str(run))


class _Cut(Said):
    """Interrupts the training after three epochs."""

    @contextmanager
    def training(self, title: str, steps: int) -> Iterator[Callable[[int, Mapping[str, Any]], None]]:
        def show(done: int, logs: Mapping[str, Any]) -> None:
            if done * 6 > steps * 3:
                raise KeyboardInterrupt

        yield show


def _write_table(path: Path, labels: Sequence[Any], words: Sequence[str]) -> None:
    """A table of 60 rows whose classes and categories carry the given names."""
    random = np.random.default_rng(1)
    lines = [f"{random.normal() + 3 * (i % 2):.3f},{words[i % 3 % 2]},{labels[i % 2]}" for i in range(60)]
    path.write_text("\n".join(["size,colour,label", *lines]) + "\n")


def _interrupted(places: Places, run: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        adapt(places, Recipe(epochs=6, batch_size=16), run, reporter=_Cut())
    assert (run / "checkpoints" / "dann-0.npz").is_file()


@pytest.mark.parametrize(
    ("labels", "words", "why"),
    [
        (("ill", "well"), ("a", "b"), r"the classes were \['no', 'yes'\], now \['ill', 'well'\]"),
        (("no", "yes"), ("red", "rouge"), "the columns, categories or values of the data have changed"),
    ],
)
def test_other_names_of_the_same_numbers_are_other_data(
    tmp_path: Path, labels: tuple[str, str], words: tuple[str, str], why: str
) -> None:
    data, run = tmp_path / "a.csv", tmp_path / "run"
    _write_table(data, ("no", "yes"), ("a", "b"))
    places = Places(data, data)
    _interrupted(places, run)
    _write_table(data, labels, words)
    with pytest.raises(InputError, match=rf"cannot resume, {why}; use the old ones"):
        adapt(places, Recipe(epochs=6, batch_size=16), run, resume=True)
    assert not (run / "models").exists() or not list((run / "models").iterdir())


def test_whole_numbers_are_not_booleans(whole: Path, tmp_path: Path) -> None:
    run, data = tmp_path / "run", tmp_path / "a.npz"
    arrays = dict(np.load(whole / "a.npz"))
    np.savez(data, **arrays)
    places = Places(data, data)
    _interrupted(places, run)
    np.savez(data, x=arrays["x"], y=arrays["y"].astype(bool))
    with pytest.raises(InputError, match=r"the classes were \[0, 1\], now \[False, True\]"):
        adapt(places, Recipe(epochs=6, batch_size=16), run, resume=True)


@pytest.mark.parametrize("spoilt", [5, {}, {"kind": "arrays"}, None])
def test_a_damaged_description_of_the_data_is_found_before_the_training(
    whole: Path, tmp_path: Path, spoilt: Any
) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole / "run", run)
    (run / "results.json").unlink()
    _rewrite(run / "config.json", lambda config: {**config, "input": spoilt})
    with pytest.raises(InputError, match=r'config\.json: "input", the description of the data, is missing or damaged'):
        adapt_command(resume=str(run), quiet=True, report=False)
    assert (run / "done").is_file()


def test_settings_that_a_later_version_added_are_its_defaults(whole: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole / "run", run)
    (run / "done").unlink()

    def older(config: Any) -> Any:
        settings = {name: value for name, value in config["settings"].items() if name not in ("passes", "skip_bad")}
        return {**config, "settings": settings}

    _rewrite(run / "config.json", older)
    adapt_command(resume=str(run), quiet=True, report=False)
    assert Run.open(run).done
    _rewrite(run / "config.json", lambda config: {**config, "settings": {**config["settings"], "passes": "joint"}})
    (run / "done").unlink()
    places = Places(whole / "a.npz", whole / "a.npz", target_test=whole / "a.npz")
    with pytest.raises(InputError, match="passes was 'joint', now 'separate'"):
        adapt(places, Recipe(epochs=3, batch_size=16), run, resume=True)


@pytest.fixture(scope="module")
def cut(whole: Path) -> tuple[Path, Places, dict[str, Any]]:
    """(an interrupted run, its data, the row of one that was never stopped)."""
    places = Places(whole / "a.npz", whole / "a.npz", target_labels=whole / "a.npz")
    _interrupted(places, whole / "cut")
    (row,) = adapt(places, Recipe(epochs=6, batch_size=16), whole / "never stopped")
    return whole / "cut", places, row


@pytest.mark.parametrize("damage", ["checkpoint", "folder", "weights of the best epoch", "frame"])
def test_a_damaged_checkpoint_or_frame_stops_no_training(
    cut: tuple[Path, Places, dict[str, Any]], tmp_path: Path, damage: str
) -> None:
    stopped, places, expected = cut
    run, said = tmp_path / "run", Said()
    shutil.copytree(stopped, run)
    checkpoint = run / "checkpoints" / "dann-0.npz"
    if damage == "checkpoint":
        content = bytearray(checkpoint.read_bytes())
        content[len(content) // 2] ^= 1
        checkpoint.write_bytes(content)
    elif damage == "folder":
        checkpoint.unlink()
        checkpoint.mkdir()
    else:
        name = "frame-1" if damage == "frame" else "best"
        assert (run / "checkpoints" / f"dann-0.{name}.npz").is_file()
        (run / "checkpoints" / f"dann-0.{name}.npz").write_bytes(b"PK")
    (row,) = adapt(places, Recipe(epochs=6, batch_size=16), run, resume=True, reporter=said)
    assert {**row, "seconds": None} == {**expected, "seconds": None}
    epochs = read(run / "observations" / "dann-0.npz", Recording).epochs.tolist()
    kept = [line for line in said.lines if line.endswith("kept as dann-0.npz.damaged, and it begins anew")]
    if damage == "frame":
        assert epochs == [0, 2, 3, 4, 5, 6]
        assert kept == []
    else:
        assert epochs == [0, 1, 2, 3, 4, 5, 6]
        assert len(kept) == 1
        assert (run / "checkpoints" / "dann-0.npz.damaged").exists()


def test_what_was_kept_before_is_not_overwritten(tmp_path: Path) -> None:
    for number in ("", "-2", "-3"):
        with Run.create(tmp_path / "run", {"settings": {}}, resume=True):
            (tmp_path / "run" / "history.csv").write_text(f"damaged {number}")
        Run.create(tmp_path / "run", {"settings": {}}, resume=True).close()
        assert (tmp_path / "run" / f"history.csv.damaged{number}").read_text() == f"damaged {number}"


def test_a_run_that_cannot_be_written_is_to_be_copied(whole: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole / "run", run)
    (run / "results.json").unlink()
    (run / ".lock").unlink()
    (run / ".lock").mkdir()
    with pytest.raises(InputError, match=r"cannot write .*; make it writable or copy it to another place$"):
        adapt_command(resume=str(run), quiet=True, report=False)


def test_no_name_is_not_the_current_folder(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(whole / "run")
    for nothing in ("", " "):
        with pytest.raises(InputError, match=r"--resume: expected the folder of a run, received .*; name one"):
            adapt_command(resume=nothing)
