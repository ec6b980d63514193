"""Several trainings in one run of one's own data: one is picked for predict, resumable, and told why."""

import dataclasses
import json
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

from flipgrad import adaptation, recording
from flipgrad.adaptation import Places, adapt
from flipgrad.cli._tables import pick_lines
from flipgrad.errors import InputError
from flipgrad.picking import ALL_DIVERGED, Pick, pick_training, read_pick
from flipgrad.recipe import Recipe, _split
from flipgrad.report import chinese
from flipgrad.runs import Run
from flipgrad.saving import load
from flipgrad.trained import Trained
from flipgrad.training import Reporter

RECIPE = Recipe(epochs=2, batch_size=16)


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    random = np.random.default_rng(0)
    y = np.arange(120) % 2
    x = (random.normal(scale=0.4, size=(120, 2)) + np.stack([2 * y - 1, 0 * y], 1)).astype("float32")
    np.savez(folder / "source.npz", x=x, y=y)
    np.savez(folder / "target.npz", x=x + np.float32([0.5, 0]))
    np.savez(folder / "labelled.npz", x=x[:75] + np.float32([0.5, 0.01]), y=y[:75])
    np.savez(folder / "test.npz", x=x + np.float32([0.5, 0.02]), y=y)
    return Places(folder / "source.npz", folder / "target.npz")


@pytest.fixture(scope="module")
def four(places, tmp_path_factory):
    """A run of two modes and two seeds, with target accuracies."""
    out = tmp_path_factory.mktemp("four") / "run"
    told = dataclasses.replace(places, target_test=places.source.with_name("test.npz"))
    adapt(told, RECIPE, out, modes=("source", "dann"), seeds=(3, 1))
    return out


def test_one_run_folder_holds_them_all(four):
    run = Run.open(four)
    assert run.done
    assert [(row["mode"], row["seed"]) for row in run.rows] == [("source", 3), ("dann", 3), ("source", 1), ("dann", 1)]
    settings = run.config["settings"]
    assert (settings["modes"], settings["seeds"]) == (["source", "dann"], [3, 1])
    assert not {"mode", "seed"} & settings.keys()
    names = {"comparison.json", "comparison.csv", "comparison.md", "selection.json"}
    assert names <= {path.name for path in four.iterdir()}
    assert all(len(row["target_recall"]) == 2 for row in run.rows)


def test_the_pick_is_what_the_other_commands_open(four):
    pick = read_pick(Run.open(four))
    stored = json.loads((four / "selection.json").read_text())
    assert pick.picked == stored["picked"]
    assert "without target labels" in pick.reason
    assert set(stored["scores"]) == {"source-3", "dann-3", "source-1", "dann-1"}
    assert Trained.open(four).model_path == four / "models" / f"{pick.picked}.keras"
    assert Trained.open(four, "source-1").model_path == four / "models" / "source-1.keras"
    with pytest.raises(InputError, match="expected one of source-3, dann-3, source-1, dann-1, received 'dann-2'"):
        Trained.open(four, "dann-2")


def test_no_target_label_is_read_for_the_pick(four, places, tmp_path):
    """The same run with the labels of its test changed, and without any: the same pick, reason and scores."""
    with np.load(places.source.with_name("test.npz")) as test:
        np.savez(tmp_path / "other.npz", x=test["x"], y=1 - test["y"])
    for name, path in (("other", tmp_path / "other.npz"), ("none", None)):
        changed = dataclasses.replace(places, target_test=path)
        adapt(changed, RECIPE, tmp_path / name, modes=("source", "dann"), seeds=(3, 1))
        assert (tmp_path / name / "selection.json").read_bytes() == (four / "selection.json").read_bytes()


def test_all_trainings_of_a_run_hold_out_the_same_rows(four, places, tmp_path):
    """Else a training would be judged on what it has learnt; alone, a seed holds out its own."""
    held = recording.read(four / "observations" / "inputs.npz", recording.Inputs)
    _, source, _ = adaptation.inputs.read_domains(places.source, places.target)
    expected = adaptation.hold_out(source, 3)[1]
    np.testing.assert_array_equal(held.source_x, expected.x)
    assert set(adaptation.hold_out(source, 1)[1].ids) != set(expected.ids)


def test_each_training_is_that_of_a_run_of_its_own(four, places, tmp_path):
    told = dataclasses.replace(places, target_test=places.source.with_name("test.npz"))
    for mode in ("source", "dann"):
        adapt(told, dataclasses.replace(RECIPE, mode=mode, seed=3), tmp_path / mode)
        models = [load(folder / "models" / f"{mode}-3.keras") for folder in (four, tmp_path / mode)]
        for a, b in zip(*(model.get_weights() for model in models), strict=True):
            np.testing.assert_array_equal(a, b)
        assert not (tmp_path / mode / "selection.json").exists()
        assert Run.open(tmp_path / mode).config["settings"]["mode"] == mode


class Stop(Reporter):
    """Interrupts before the training of this number."""

    def __init__(self, number):
        self.left = number

    def training(self, title, steps):
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return super().training(title, steps)


def test_interrupted_and_resumed_by_mode_and_seed(four, places, tmp_path):
    told = dataclasses.replace(places, target_test=places.source.with_name("test.npz"))
    out, asked = tmp_path / "run", {"modes": ("source", "dann"), "seeds": (3, 1)}
    with pytest.raises(KeyboardInterrupt):
        adapt(told, RECIPE, out, reporter=Stop(3), **asked)
    assert len(Run.open(out).rows) == 3
    assert not (out / "selection.json").exists()
    with pytest.raises(InputError, match="the run is not done"):
        Trained.open(out)
    with pytest.raises(KeyboardInterrupt):
        adapt(told, RECIPE, out, reporter=Stop(0), resume=True, **asked)  # nothing is trained twice
    assert len(Run.open(out).rows) == 3
    adapt(told, RECIPE, out, resume=True, **asked)
    assert (out / "selection.json").read_bytes() == (four / "selection.json").read_bytes()
    whole, resumed = (load(folder / "models" / "dann-1.keras") for folder in (four, out))
    for a, b in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(InputError, match="cannot resume, seeds was"):
        adapt(told, RECIPE, out, resume=True, modes=("source", "dann"), seeds=(3, 2))


def test_labelled_rows_of_the_target_that_none_has_learnt_from_decide(places, tmp_path):
    told = dataclasses.replace(places, target_labels=places.source.with_name("labelled.npz"))
    rows = adapt(told, RECIPE, tmp_path / "run", modes=("source", "dann"), seeds=(0, 1))
    accuracies = {f"{row['mode']}-{row['seed']}": row["target_labelled_accuracy"] for row in rows}
    pick = read_pick(Run.open(tmp_path / "run"))
    assert accuracies[pick.picked] == max(accuracies.values())
    assert "on the third of --target-labels that is not trained on" in pick.reason
    # The same third for every seed: what is measured on it can be recomputed from each model.
    with np.load(told.target_labels) as file:
        _, (x, y) = _split((file["x"], file["y"]), 0)
    for name, accuracy in accuracies.items():
        model = load(tmp_path / "run" / "models" / f"{name}.keras")
        logits = keras.ops.convert_to_numpy(model(x, training=False))
        assert (logits.argmax(1) == y).mean() == pytest.approx(accuracy), name


def test_without_source_only_one_is_picked_and_the_doubt_said(places, tmp_path):
    adapt(places, RECIPE, tmp_path / "run", seeds=(0, 1))
    pick = read_pick(Run.open(tmp_path / "run"))
    assert pick.picked in ("dann-0", "dann-1")
    assert "No source-only model is among them" in pick.warning


# Trainings that cannot be picked ---------------------------------------------------------------------------------


def rows_of(folder, rows):
    settings = {"modes": [mode for mode, _, _ in rows], "seeds": sorted({seed for _, seed, _ in rows})}
    with Run.create(folder, {"experiment": "adapt", "settings": settings, "input": {}}) as run:
        for mode, seed, diverged in rows:
            run.add_row({"mode": mode, "seed": seed, "diverged": diverged})
            with zipfile.ZipFile(run.model_path(mode, seed), "w") as model:
                for name in ("config.json", "metadata.json", "model.weights.h5"):
                    model.writestr(name, "{}")
        pick = pick_training(run, (np.zeros((0, 2)), np.zeros(0)), np.zeros((0, 2)))
        run.finish()
    return pick


def test_what_diverged_is_left_out(tmp_path):
    pick = rows_of(tmp_path / "a", [("source", 0, 7), ("dann", 0, None)])
    assert (pick.picked, pick.reason) == ("dann-0", "the others diverged")
    assert pick.reason in chinese.PICKING
    assert pick.left_out == {"source-0": "diverged at step 7"}
    pick = rows_of(tmp_path / "b", [("source", 0, 7), ("dann", 0, 9)])
    assert (pick.picked, pick.reason) == (None, "all trainings diverged")
    assert pick.reason in chinese.PICKING
    with pytest.raises(InputError, match=r"none of its trainings was picked \(all trainings diverged\); choose one"):
        Trained.open(tmp_path / "b")
    with pytest.raises(InputError, match="its training dann-0 diverged at step 9"):
        Trained.open(tmp_path / "b", "dann-0")


def test_without_rows_that_were_held_out_none_is_picked(tmp_path):
    pick = rows_of(tmp_path / "a", [("source", 0, None), ("dann", 0, None)])
    assert (pick.picked, pick.reason) == (None, "too few rows to hold some out")
    assert pick.reason in chinese.PICKING
    with pytest.raises(
        InputError, match=r"none of its trainings was picked \(too few rows.*--training: source-0, dann-0"
    ):
        Trained.open(tmp_path / "a")
    assert rows_of(tmp_path / "b", [("source", 0, None)]) is None


def test_fewer_rows_than_classes_are_no_traceback(tmp_path):
    """Ten classes, eleven source rows, three target rows: there is next to nothing to pick by."""
    random = np.random.default_rng(0)
    np.savez(tmp_path / "source.npz", x=random.normal(size=(11, 2)).astype("float32"), y=np.arange(11) % 10)
    np.savez(tmp_path / "target.npz", x=random.normal(size=(3, 2)).astype("float32"))
    np.savez(tmp_path / "test.npz", x=random.normal(size=(2, 2)).astype("float32"), y=[0, 1])
    places = Places(tmp_path / "source.npz", tmp_path / "target.npz", target_test=tmp_path / "test.npz")
    rows = adapt(places, Recipe(epochs=1, batch_size=4), tmp_path / "run", modes=("source", "dann"), seeds=(0,))
    assert len(rows[0]["target_recall"]) == 10
    assert rows[0]["target_recall"].count(None) == 8
    pick = read_pick(Run.open(tmp_path / "run"))
    assert pick.picked is None
    assert pick.reason in chinese.PICKING
    found = json.loads((tmp_path / "run" / "comparison.json").read_text())
    assert found["modes"][1]["class_accuracy"]["9"]["mean"] is None


@pytest.mark.parametrize("content", ["5", '{"picked": 5}', '{"reason": ["a"]}', "[", '{"warning": {}}'])
def test_an_odd_selection_of_a_stranger_is_refused(tmp_path, content):
    rows_of(tmp_path / "a", [("source", 0, None), ("dann", 0, None)])
    (tmp_path / "a" / "selection.json").write_text(content)
    with pytest.raises(InputError, match=r"selection\.json: "):
        Trained.open(tmp_path / "a")


def test_a_pick_that_is_not_there_is_none(tmp_path):
    rows_of(tmp_path / "a", [("source", 0, None), ("dann", 0, None)])
    Path(tmp_path / "a" / "selection.json").write_text('{"picked": "../x-1"}')
    assert read_pick(Run.open(tmp_path / "a")) == Pick("../x-1", "")
    with pytest.raises(InputError, match="none of its trainings was picked"):
        Trained.open(tmp_path / "a")


def test_nobody_is_told_to_choose_where_there_is_no_model():
    assert [*pick_lines(Pick(None, ALL_DIVERGED), 2)] == [
        "Picked: none of 2 trainings (all trainings diverged); none ended with a model."
    ]
    (line,) = pick_lines(Pick(None, "too few rows to hold some out"), 2)
    assert line.endswith("; choose one with --training MODE-SEED.")
