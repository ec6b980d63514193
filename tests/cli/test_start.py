"""Help is quick, Keras is not imported before it is needed, and the backend is chosen before Keras is."""

import importlib
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from flipgrad.cli import _backend, _errors, _interrupt, _options
from flipgrad.cli._experiments import EXPERIMENTS
from flipgrad.cli.main import app
from flipgrad.errors import InputError
from flipgrad.health import Measures, records
from flipgrad.runs import Run

from .conftest import Program, command, environment


def test_help_and_version_are_quick(flipgrad: Program) -> None:
    for words, said in (
        (["--help"], "Exit codes:"),
        (["run", "--help"], "flipgrad run mnist --out runs/mnist --resume"),
        (["data", "mnist-m", "--help"], "--kind official --size 32"),
        (["--version"], "flipgrad 0."),
        ([], "Commands:"),
        (["data"], "mnist-m"),
    ):
        began = work_of_children()
        done = flipgrad(*words)
        assert (done.returncode, done.stderr) == (0, "")
        assert said in done.stdout
        assert work_of_children() - began < 1


def work_of_children() -> float:
    """Seconds that processors have worked for the programs started here; unlike the clock's, whatever the load."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.mark.parametrize(
    "words",
    [["run", "--help"], ["run", "mnits"], ["run", "blobs", "--steps", "0"], ["data", "list"], ["health", "run"]],
)
def test_keras_is_not_imported_without_need(tmp_path: Path, words: list[str]) -> None:
    with Run.create(tmp_path / "run", {"settings": {}}) as run:  # whose diagnosis is there already
        run.add_row({"mode": "dann", "seed": 0, "diverged": None})
        records.write(run.path, {("dann", 0): Measures(finite=False)})
    python, *rest = command(*words)
    done = subprocess.run(
        [python, "-X", "importtime", *rest], cwd=tmp_path, env=environment(), capture_output=True, text=True
    )
    imported = {line.split("|")[-1].strip().split(".")[0] for line in done.stderr.splitlines() if "|" in line}
    assert "flipgrad" in imported
    assert not imported & {"keras", "tensorflow", "jax", "torch"}


@pytest.mark.parametrize("name", sorted(EXPERIMENTS))
def test_the_names_are_those_of_the_experiments(name: str) -> None:
    module = importlib.import_module(f"flipgrad.experiments.{name}")
    assert EXPERIMENTS[name].modes == module.MODES
    assert EXPERIMENTS[name].presets == tuple(module.PRESETS)
    assert set(_options.PRECISIONS.values()) == {"float32", "mixed_bfloat16", "mixed_float16"}


def test_every_command_explains_itself() -> None:
    for words in ([], ["run"], ["data"], ["data", "mnist-m"], ["data", "list"]):
        text = CliRunner().invoke(app, [*words, "--help"]).output
        assert "Example" in text
        assert all(len(line) <= 100 for line in text.splitlines())


@pytest.mark.parametrize(
    ("text", "seeds"), [("1", (0,)), ("5", (0, 1, 2, 3, 4)), ("3,7", (3, 7)), ("3,", (3,)), ("0, 2", (0, 2))]
)
def test_seeds(text: str, seeds: tuple[int, ...]) -> None:
    assert _options.seeds(text) == seeds


def test_backend_order(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    installed = {"tensorflow", "jax", "torch"}
    monkeypatch.setattr(_backend, "_installed", lambda name: name in installed)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    assert _backend.choose("jax") == "jax"
    assert _backend.choose(None) == "torch"
    monkeypatch.delenv("KERAS_BACKEND")
    assert _backend.choose(None) == "tensorflow"
    (tmp_path / "keras.json").write_text(json.dumps({"backend": "jax"}))
    assert _backend.choose(None) == "jax"
    installed.remove("jax")  # Keras wrote that file long ago, perhaps
    assert _backend.choose(None) == "tensorflow"
    for broken in ("{", "[]", '{"backend": "openvino"}'):
        (tmp_path / "keras.json").write_text(broken)
        assert _backend.choose(None) == "tensorflow"
    installed.clear()
    with pytest.raises(InputError, match=r"pip install \"flipgrad\[tensorflow\]\""):
        _backend.choose(None)


CHATTER = "I0000 00:00:1795467172.655993   10075 port.cc:153] oneDNN custom operations are on.\n"


def test_chatter_is_dropped_and_all_else_kept(capfd: pytest.CaptureFixture[str]) -> None:
    with _backend._without_chatter():
        os.write(2, f"WARNING: All log messages before absl::InitializeLog() is called\n{CHATTER}".encode())
        os.write(2, b"E0000 00:00:1795467172.655993 10075 x.cc:1] broken\n")
        print("a Python warning", file=sys.stderr)
    kept = capfd.readouterr().err.splitlines()  # in any order: pytest has two streams for standard error
    assert sorted(kept) == ["E0000 00:00:1795467172.655993 10075 x.cc:1] broken", "a Python warning"]


def test_all_is_shown_when_the_start_fails(capfd: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        with _backend._without_chatter():
            os.write(2, CHATTER.encode())
            raise ImportError

    with pytest.raises(ImportError):
        fail()
    assert capfd.readouterr().err == CHATTER


def test_an_interrupt_in_a_destructor_is_not_lost(capsys: pytest.CaptureFixture[str]) -> None:
    class Model:
        def __del__(self) -> None:
            raise KeyboardInterrupt

    def work() -> None:
        with _interrupt.remembered():
            _interrupt.check()
            Model()
            _interrupt.check()

    usual = sys.unraisablehook
    with pytest.raises(KeyboardInterrupt):
        work()
    assert capsys.readouterr().err == ""
    assert sys.unraisablehook is usual
    _interrupt.check()  # it was raised; what comes later in this process is not interrupted


def test_what_becomes_one_line() -> None:
    assert _errors.one_line(InputError("loss is NaN\nat step 3")) == "loss is NaN at step 3"
    full = OSError(28, "No space left on device", "out/x")
    assert _errors.one_line(full) == "out/x: No space left on device; free some space or choose another place"
    assert "--x" in str(_errors.one_line(typer.BadParameter("no", param_hint="--x")))
    assert _errors.one_line(ValueError("a fault of ours keeps its traceback")) is None
