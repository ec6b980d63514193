"""The run folder: whole files, one writer, nothing foreign touched, exact resume."""

import csv
import dataclasses
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from flipgrad import runs
from flipgrad._files import read_json
from flipgrad.errors import InputError
from flipgrad.runs import Run
from flipgrad.summary import summarise

CONFIG = {"settings": {"epochs": 3, "seeds": [0, 1]}, "backend": "jax", "data": {"mnist": "ab12"}}


def contents(folder):
    """Every file under a folder with its bytes and time of change."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def strict(path):
    """JSON without the NaN literals that Python would accept."""

    def refuse(literal):
        raise AssertionError(f"{literal} in {path}")

    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


def script(body, *arguments):
    """A second process that runs some code; its standard output is a pipe."""
    source = str(Path(runs.__file__).parents[1])
    environment = dict(os.environ, PYTHONPATH=source)
    command = [sys.executable, "-c", body, *map(str, arguments)]
    return subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_whole_run(tmp_path):
    folder = tmp_path / "a" / "run"
    with Run.create(folder, CONFIG) as run:
        run.add_history("dann", 0, {"loss": [1.5, 0.5]})
        run.model_path("dann", 0).write_bytes(b"model")
        run.add_row({"mode": "dann", "seed": 0, "target_accuracy": 0.75})
        figure_path = run.save_figure("embedding", Figure())
        assert not run.done
        run.finish()
    assert figure_path == folder / "figures" / "embedding.png"
    assert figure_path.read_bytes().startswith(b"\x89PNG")
    names = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
    assert names == [
        ".lock", "config.json", "done", "figures/embedding.png", "history.csv",
        "models/dann-0.keras", "results.json",
    ]  # fmt: skip
    read = Run.open(folder)
    assert read.done
    assert read.finished("dann", 0)
    assert not read.finished("dann", 1)
    assert not read.finished("source", 0)
    assert read.rows == [{"mode": "dann", "seed": 0, "target_accuracy": 0.75}]
    assert read.histories == {("dann", 0): {"loss": [1.5, 0.5]}}
    with pytest.raises(InputError, match="reading only"):
        read.add_row({"mode": "dann", "seed": 1})


def test_config_holds_settings_versions_and_platform(tmp_path):
    @dataclasses.dataclass
    class Settings:
        rate: float = 0.01
        out: Path = Path("there")

    with Run.create(tmp_path / "run", {"settings": Settings(), "data": {}}) as run:
        stored = strict(run.path / "config.json")
        assert stored == run.config
    assert stored["settings"] == {"rate": 0.01, "out": "there"}
    assert stored["versions"]["python"].startswith(f"{sys.version_info[0]}.")
    assert stored["versions"]["numpy"] == np.__version__
    assert stored["platform"]
    assert "backend" in stored


def test_config_without_settings_is_refused(tmp_path):
    with pytest.raises(InputError, match="settings"):
        Run.create(tmp_path / "run", {"epochs": 3})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("resume", [False, True])
def test_foreign_folder_is_refused_and_untouched(tmp_path, resume):
    (tmp_path / "thesis.tex").write_text("years of work")
    before = contents(tmp_path)
    with pytest.raises(InputError, match=r"config.json missing, holds thesis.tex"):
        Run.create(tmp_path, CONFIG, resume=resume)
    assert contents(tmp_path) == before
    assert os.listdir(tmp_path) == ["thesis.tex"]


@pytest.mark.parametrize("text", ['{"model_type": "bert"}', "[]", "{broken", ""])
def test_config_json_of_another_program_is_refused(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    before = contents(tmp_path)
    for call in (lambda: Run.create(tmp_path, CONFIG, resume=True), lambda: Run.open(tmp_path)):
        with pytest.raises(InputError, match=r"config\.json"):
            call()
    assert contents(tmp_path) == before


def test_another_run_is_refused_and_untouched(tmp_path):
    with Run.create(tmp_path / "run", CONFIG) as run:
        run.add_row({"mode": "dann", "seed": 0})
    before = contents(tmp_path)
    with pytest.raises(InputError, match=r"unfinished run.*--out.*--resume"):
        Run.create(tmp_path / "run", CONFIG)
    assert contents(tmp_path) == before
    with Run.create(tmp_path / "run", CONFIG, resume=True) as run:
        run.finish()
    with pytest.raises(InputError, match="a finished run"):
        Run.create(tmp_path / "run", CONFIG)


def test_file_in_place_of_a_folder(tmp_path):
    (tmp_path / "run").write_text("x")
    with pytest.raises(InputError, match="found a file"):
        Run.create(tmp_path / "run", CONFIG)
    with pytest.raises(InputError, match="cannot write"):
        Run.create(tmp_path / "run" / "below", CONFIG)


def test_open_says_what_is_missing(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        Run.open(tmp_path / "none")
    with pytest.raises(InputError, match=r"config\.json missing, holds nothing"):
        Run.open(tmp_path)


def test_resume_keeps_finished_rows(tmp_path):
    with Run.create(tmp_path / "run", CONFIG, resume=True) as run:  # nothing there: a new run
        run.add_row({"mode": "source", "seed": 0, "steps": 7})
        run.add_history("dann", 0, {"loss": [9.0, 9.0, 9.0]})
        started = run.config["started"]
    with Run.create(tmp_path / "run", CONFIG, resume=True) as run:
        assert run.finished("source", 0)
        assert not run.finished("dann", 0)
        assert run.config["started"] == started
        run.add_history("dann", 0, {"loss": [1.0]})
        run.add_row({"mode": "dann", "seed": 0, "steps": 8})
        assert run.histories == {("dann", 0): {"loss": [1.0]}}
        assert [row["steps"] for row in run.rows] == [7, 8]


def test_resume_of_a_done_run_is_read_only(tmp_path):
    with Run.create(tmp_path / "run", CONFIG) as run:
        run.finish()
    before = contents(tmp_path)
    run = Run.create(tmp_path / "run", CONFIG, resume=True)
    assert run.done
    with pytest.raises(InputError, match="reading only"):
        run.add_row({"mode": "dann", "seed": 0})
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"settings": {"epochs": 5, "seeds": [0, 1]}}, "epochs was 3, now 5"),
        ({"settings": {"epochs": 3}}, r"seeds was \[0, 1\], now None"),
        ({"settings": {**CONFIG["settings"], "rate": 0.1}}, "rate was None, now 0.1"),
        ({"backend": "torch"}, "backend was 'jax', now 'torch'"),
        ({"data": {"mnist": "ffff"}}, "the data of mnist have changed"),
    ],
)
def test_resume_names_what_changed(tmp_path, changed, message):
    Run.create(tmp_path / "run", CONFIG).close()
    before = contents(tmp_path)
    with pytest.raises(InputError, match=message) as caught:
        Run.create(tmp_path / "run", {**CONFIG, **changed}, resume=True)
    assert caught.match("--out")
    assert ("epochs" in str(caught.value)) == ("epochs" in message)  # names only what differs
    assert contents(tmp_path) == before


def test_settings_are_equal_after_json(tmp_path):
    first = {"settings": {"shape": (28, 28), "rate": np.float32(0.1), 3: None}}
    Run.create(tmp_path / "run", first).close()
    Run.create(tmp_path / "run", first, resume=True).close()


def test_run_that_died_before_its_config_starts_again(tmp_path):
    (tmp_path / ".lock").write_bytes(b"")
    (tmp_path / ".config.json.0123abcd.tmp").write_bytes(b'{"set')
    with Run.create(tmp_path, CONFIG) as run:
        assert run.config["settings"] == CONFIG["settings"]
    assert sorted(os.listdir(tmp_path)) == [".lock", "config.json"]


def test_second_process_is_refused(tmp_path):
    holder = script(
        "import sys; from flipgrad.runs import Run\n"
        "run = Run.create(sys.argv[1], {'settings': {}}); print('held', flush=True)\n"
        "import time; time.sleep(60)",
        tmp_path / "run",
    )
    try:
        assert holder.stdout.readline() == "held\n", holder.stderr.read()
        before = contents(tmp_path)
        with pytest.raises(InputError, match=f"pid {holder.pid} on "):
            Run.create(tmp_path / "run", {"settings": {}}, resume=True)
        assert contents(tmp_path) == before
    finally:
        holder.kill()
        holder.wait()
    Run.create(tmp_path / "run", {"settings": {}}, resume=True).close()  # freed by the kill


def test_second_run_of_one_process_is_refused(tmp_path):
    with (
        Run.create(tmp_path / "run", CONFIG),
        pytest.raises(InputError, match=f"pid {os.getpid()} on "),
    ):
        Run.create(tmp_path / "run", CONFIG, resume=True)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="POSIX only")
def test_kill_at_any_time_loses_no_finished_row(tmp_path):
    body = (
        "import sys; from flipgrad.runs import Run\n"
        "run = Run.create(sys.argv[1], {'settings': {}})\n"
        "for seed in range(10**6):\n"
        "    run.add_history('dann', seed % 50, {'loss': [0.5] * 100})\n"
        "    run.add_row({'mode': 'dann', 'seed': seed, 'pad': 'x' * 20000})\n"
        "    print(seed, flush=True)\n"
    )
    for attempt in range(4):
        folder = tmp_path / str(attempt)
        writer = script(body, folder)
        for _ in range(5):
            assert writer.stdout.readline(), writer.stderr.read()
        time.sleep(0.013 * attempt)
        writer.send_signal(signal.SIGKILL)
        rest = writer.communicate()[0].split()
        said = int(rest[-1]) if rest else 4
        run = Run.create(folder, {"settings": {}}, resume=True)
        rows = strict(folder / "results.json")
        assert [row["seed"] for row in rows[: said + 1]] == list(range(said + 1))
        assert all(len(row["pad"]) == 20000 for row in rows)
        lengths = {len(history["loss"]) for history in run.histories.values()}
        assert lengths == {100}
        assert not run.done
        run.close()


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="POSIX only")
@pytest.mark.parametrize("killed", [True, False])
def test_end_in_the_middle_of_a_write_leaves_the_old_file(tmp_path, killed):
    """The kernel stops the writer at byte 50,000 of a file: by a signal, or as a full disk does."""
    body = (
        "import resource, signal, sys; from flipgrad.runs import Run\n"
        "run = Run.create(sys.argv[1], {'settings': {}})\n"
        "signal.signal(signal.SIGXFSZ, getattr(signal, sys.argv[2]))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))\n"
        "for seed in range(3):\n"
        "    run.add_row({'mode': 'dann', 'seed': seed, 'pad': 'x' * 20000})\n"
    )
    writer = script(body, tmp_path / "run", "SIG_DFL" if killed else "SIG_IGN")
    error = writer.communicate()[1]
    assert writer.returncode == (-signal.SIGXFSZ if killed else 1)
    assert killed or "File too large" in error
    rows = strict(tmp_path / "run" / "results.json")
    assert [row["seed"] for row in rows] == [0, 1]
    assert len(list((tmp_path / "run").glob(".results.json.*.tmp"))) == killed
    with Run.create(tmp_path / "run", {"settings": {}}, resume=True) as run:
        run.add_row({"mode": "dann", "seed": 2})
    assert sorted(os.listdir(run.path)) == [".lock", "config.json", "results.json"]


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_full_disk_leaves_the_old_file(tmp_path, monkeypatch, failing):
    run = Run.create(tmp_path / "run", CONFIG)
    run.add_row({"mode": "dann", "seed": 0})
    before = contents(tmp_path)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(runs.os, failing, full)
    with pytest.raises(OSError, match="No space"):
        run.add_row({"mode": "dann", "seed": 1})
    assert contents(tmp_path) == before
    monkeypatch.undo()
    run.add_row({"mode": "dann", "seed": 1})
    assert [row["seed"] for row in run.rows] == [0, 1]
    run.close()


def test_json_is_strict_and_converts(tmp_path):
    with Run.create(tmp_path / "run", CONFIG) as run:
        run.add_row(
            {
                "mode": "dann", "seed": np.int64(3), "target_accuracy": np.float32("nan"),
                "loss": float("inf"), "counts": np.array([1, 2]), "merged": np.bool_(True),
                "accuracies": np.array([0.5, -np.inf]), "where": Path("数据"), "names": {"b", "a"},
            }
        )  # fmt: skip
        (row,) = strict(run.path / "results.json")
        assert run.finished("dann", 3)
        assert "数据" in (run.path / "results.json").read_text(encoding="utf-8")
    assert row == {
        "mode": "dann", "seed": 3, "target_accuracy": None, "loss": None, "counts": [1, 2],
        "merged": True, "accuracies": [0.5, None], "where": "数据", "names": ["a", "b"],
    }  # fmt: skip


def test_row_is_replaced_in_place_and_checked(tmp_path):
    with Run.create(tmp_path / "run", CONFIG) as run:
        for mode, steps in (("source", 1), ("dann", 2), ("source", 3)):
            run.add_row({"mode": mode, "seed": 0, "steps": steps})
        assert [(row["mode"], row["steps"]) for row in run.rows] == [("source", 3), ("dann", 2)]
        with pytest.raises(InputError, match=r'"mode".*"seed"'):
            run.add_row({"mode": "dann"})
        with pytest.raises(InputError, match="cannot write a object as JSON"):
            run.add_row({"mode": "dann", "seed": 1, "model": object()})
        assert len(run.rows) == 2


def test_history_rows_are_replaced(tmp_path):
    with Run.create(tmp_path / "run", CONFIG) as run:
        run.add_history("source", 0, {"loss": [3.0, 2.0, 1.0]})
        run.add_history("dann", 0, {"loss": [np.float32(0.5)], "val_loss": [None]})
        run.add_history("source", 0, {"loss": [0.1, float("nan")], "accuracy": [0.25]})
        with (run.path / "history.csv").open(newline="") as file:
            lines = list(csv.reader(file))
        assert lines == [
            ["mode", "seed", "epoch", "loss", "accuracy", "val_loss"],
            ["source", "0", "1", "0.1", "0.25", ""],
            ["source", "0", "2", "nan", "", ""],
            ["dann", "0", "1", "0.5", "", ""],
        ]
        read = run.histories["source", 0]
        assert read["accuracy"] == [0.25, None]
        assert read["loss"][0] == 0.1
        assert np.isnan(read["loss"][1])
        with pytest.raises(InputError, match="'epoch'"):
            run.add_history("source", 0, {"epoch": [1]})
        with pytest.raises(InputError, match="mode"):
            run.add_history("a/b", 0, {"loss": [1]})


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".hidden"])
def test_names_cannot_leave_the_folder(tmp_path, name):
    with Run.create(tmp_path / "run", CONFIG) as run:
        with pytest.raises(InputError, match="name"):
            run.save_figure(name, Figure())
        with pytest.raises(InputError, match="name"):
            run.model_path(name, 0)


def test_summarise_ignores_what_is_missing():
    accuracies = [0.5, 0.75, None, float("nan"), 0.9]
    rows = [{"mode": "dann", "seed": s, "target_accuracy": a} for s, a in enumerate(accuracies)]
    rows.append({"mode": "source", "seed": 0, "target_accuracy": 0.4, "source_accuracy": 1.0})
    dann, source = summarise(rows)
    assert (dann["mode"], dann["n"], source["mode"], source["n"]) == ("dann", 5, "source", 1)
    values = [0.5, 0.75, 0.9]
    assert dann["target_accuracy"] == {
        "n": 3, "mean": statistics.fmean(values), "std": pytest.approx(np.std(values, ddof=1)),
        "median": 0.75, "min": 0.5, "max": 0.9,
    }  # fmt: skip
    assert dann["source_accuracy"]["n"] == 0
    assert dann["source_accuracy"]["mean"] is None
    assert source["target_accuracy"]["std"] is None
    assert source["source_accuracy"]["mean"] == 1.0
    assert summarise([]) == []


# Folders from strangers ------------------------------------------------------------------------------------------


def test_links_are_never_followed(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("years of work")
    with Run.create(tmp_path / "run", CONFIG) as run:
        for name in ("results.json", ".results.json.tmp", ".results.json.0123abcd.tmp"):
            (run.path / name).symlink_to(victim)
        (run.path / "results.json").unlink()
        run.add_row({"mode": "dann", "seed": 0})
        assert sorted(os.listdir(run.path)) == [".lock", "config.json", "results.json"]
        for part in ("models", "figures"):
            (run.path / part).symlink_to(tmp_path)
        with pytest.raises(InputError, match=r"figures: is a link"):
            run.save_figure("victim", Figure())
        with pytest.raises(InputError, match=r"models: is a link"):
            run.model_path("dann", 0)
    (run.path / ".lock").unlink()
    (run.path / ".lock").symlink_to(victim)
    with pytest.raises(InputError, match=r"\.lock: is a link"):
        Run.create(run.path, CONFIG, resume=True)
    assert victim.read_text() == "years of work"


def test_a_new_file_has_the_usual_permissions(tmp_path):
    (tmp_path / "usual").touch()
    Run.create(tmp_path / "run", CONFIG).close()
    modes = {path.stat().st_mode for path in (tmp_path / "usual", tmp_path / "run" / "config.json")}
    assert len(modes) == 1


def test_reading_makes_no_folder(tmp_path):
    Run.create(tmp_path / "run", CONFIG).close()
    assert not Run.open(tmp_path / "run").model_path("dann", 0).exists()
    assert sorted(os.listdir(tmp_path / "run")) == [".lock", "config.json"]


@pytest.mark.parametrize(
    "change",
    [
        {"mode": None}, {"mode": 5}, {"mode": "../up"}, {"mode": "[red]x"}, {"seed": None}, {"seed": True},
        {"seed": "0"}, {"seed": -1}, {"seed": 2**32}, {"seed": 0.0}, {"target_accuracy": "0.5"},
        {"domain_accuracy": [0.5]}, {"seconds": "1"}, {"steps": True}, {"diverged": {}}, {"loss": 10**400},
    ],
)  # fmt: skip
def test_rows_of_a_stranger_are_refused(tmp_path, change):
    with Run.create(tmp_path / "run", CONFIG) as run:
        good = {"mode": "dann", "seed": 0, "target_accuracy": None, "steps": 7, "seconds": 0.5, "names": ["a"]}
        run.add_row(good)
        assert run.rows == [good]
        (run.path / "results.json").write_text(json.dumps([good, {**good, **change}]))
        with pytest.raises(InputError, match=r"results\.json: expected a row") as caught:
            _ = run.rows
        assert len(str(caught.value)) < len(str(run.path)) + 450
        with pytest.raises(InputError, match="expected a row"):
            run.add_row({**good, **change})


def test_files_that_are_no_json_are_refused(tmp_path):
    path = tmp_path / "x.json"
    for content in (b"[" * 100_000, b"[" * 900 + b"]" * 900, b"\xff", b"", b"{", b" " * (64 * 2**20 + 1)):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"x\.json: .*restore or delete it"):
            read_json(path)
    path.write_text("[NaN, Infinity, 1]")
    assert read_json(path) == [None, None, 1]
    path.unlink()
    path.symlink_to("/dev/zero")
    with pytest.raises(InputError, match="pipe or device"):
        read_json(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="POSIX only")
def test_pipes_are_refused(tmp_path):
    Run.create(tmp_path / "run", CONFIG).close()
    for name in ("results.json", "history.csv"):
        os.mkfifo(tmp_path / "run" / name)
    run = Run.open(tmp_path / "run")
    for name in ("rows", "histories"):
        with pytest.raises(InputError, match="pipe or device"):
            getattr(run, name)


def test_what_a_stranger_wrote_is_cut(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"flipgrad_run": "x" * 10**6}))
    with pytest.raises(InputError, match="not a run of this version") as caught:
        Run.open(tmp_path)
    assert len(str(caught.value)) < 600
