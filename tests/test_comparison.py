"""Runs held against each other: figures worked out by hand, gaps that stay gaps, folders that do not go together."""

import csv
import io
import json
import math

import numpy as np
import pytest

from flipgrad._comparison_text import as_csv, as_json, as_markdown, save_comparison
from flipgrad.comparison import compare, compare_folders, gap_closed, paired_difference
from flipgrad.errors import InputError
from flipgrad.runs import Run


def row(mode, seed, target=None, source=0.9, **more):
    return {"mode": mode, "seed": seed, "source_accuracy": source, "target_accuracy": target, "collapsed": False} | more


def made(folder, rows, *, data=None, done=True, **config):
    """A run folder with these rows."""
    sums = {"source": "a", "target": "b"} if data is None else data
    config = {"experiment": "adapt", "settings": {"strength": 0.1}, "data": sums} | config
    with Run.create(folder, config) as run:
        for each in rows:
            run.add_row(each)
        if done:
            run.finish()
    return Run.open(folder)


@pytest.fixture
def three(tmp_path):
    """Three modes with three seeds, classes by name; source .5, dann .7, target .9 on average."""
    recall = {"source": [1.0, 0.0, None], "dann": [0.75, 0.5, None], "target": [1.0, 0.875, None]}
    rows = [
        row(mode, seed, target, target_recall=recall[mode], diverged=None)
        for mode, targets in (("source", (0.4, 0.5, 0.6)), ("dann", (0.5, 0.7, 0.9)), ("target", (0.9, 0.9, 0.9)))
        for seed, target in enumerate(targets)
    ]
    return made(tmp_path / "three", rows, input={"classes": {"values": ["cat", "d|g\n", "emu"]}})


def by_name(found):
    return {mode["name"]: mode for mode in found.modes}


def test_figures_worked_out_by_hand(three):
    found = compare([three])
    source, dann, target = found.modes
    assert [mode["name"] for mode in found.modes] == ["source", "dann", "target"]
    assert dann["target_accuracy"]["mean"] == pytest.approx(0.7)
    assert dann["target_accuracy"]["std"] == pytest.approx(0.2)
    assert source["difference"] is None
    # Of seeds 0, 1, 2: .1, .2, .3.
    assert dann["difference"]["n"] == 3
    assert dann["difference"]["mean"] == pytest.approx(0.2)
    assert dann["gap_closed"] == pytest.approx((0.7 - 0.5) / (0.9 - 0.5))
    assert (source["gap_closed"], target["gap_closed"]) == (None, None)
    assert found.classes == ["cat", "d|g\n", "emu"]
    assert dann["class_accuracy"]["cat"]["mean"] == 0.75
    assert dann["class_accuracy"]["cat"]["std"] == 0
    assert dann["class_accuracy"]["emu"]["mean"] is None  # no row of the target has this class
    assert found.notes == ["Intervals over 3 seeds are too narrow: take them seriously from 5 on."]


def test_pairs_are_of_the_same_seed():
    values, base = {0: 0.9, 1: 0.4, 7: 0.8}, {1: 0.2, 0: 0.8, 3: 0.0}
    assert paired_difference(values, base)["mean"] == pytest.approx((0.1 + 0.2) / 2)
    assert paired_difference(values, base)["n"] == 2
    assert gap_closed({0: 0.6, 5: 1.0}, {0: 0.5, 1: 0.0}, {0: 0.7, 1: 1.0}) == pytest.approx(0.5)


def test_the_interval_is_the_range_for_two_and_three_seeds_and_none_for_one():
    """The least of three draws three times in a row is drawn with probability 1/27, more than 2.5 %."""
    for differences in ([0.1, 0.3], [0.1, 0.15, 0.4]):
        found = paired_difference(dict(enumerate(differences)), dict.fromkeys(range(3), 0.0))
        assert (found["low"], found["high"]) == (pytest.approx(0.1), pytest.approx(max(differences)))
    assert paired_difference({0: 0.5}, {0: 0.4}) == {"n": 1, "mean": pytest.approx(0.1), "low": None, "high": None}
    assert paired_difference({0: 0.5}, {1: 0.4}) == {"n": 0, "mean": None, "low": None, "high": None}


def test_the_interval_of_many_seeds_is_that_of_the_normal_distribution():
    values = dict(enumerate(np.random.default_rng(1).normal(0.2, 0.05, 200).tolist()))
    found = paired_difference(values, dict.fromkeys(values, 0.0))
    error = np.std([*values.values()], ddof=1) / math.sqrt(200)
    assert found["low"] == pytest.approx(found["mean"] - 1.96 * error, abs=0.1 * error)
    assert found["high"] == pytest.approx(found["mean"] + 1.96 * error, abs=0.1 * error)
    assert found == paired_difference(values, dict.fromkeys(values, 0.0))  # always the same draws


def test_a_gap_that_is_not_positive_has_no_share():
    same = {0: 0.5, 1: 0.6}
    assert gap_closed({0: 0.7, 1: 0.7}, same, same) is None
    assert gap_closed({0: 0.7}, {0: 0.6}, {0: 0.5}) is None
    assert gap_closed({0: 0.7}, {}, {0: 0.9}) is None
    assert gap_closed({0: 0.3}, {0: 0.5}, {0: 0.9}) == pytest.approx(-0.5)


def test_without_target_labels_nothing_is_made_up(tmp_path):
    rows = [row(mode, seed, source=0.8) for mode in ("source", "dann") for seed in range(3)]
    found = compare([made(tmp_path / "run", rows)])
    dann = by_name(found)["dann"]
    assert dann["source_accuracy"]["mean"] == pytest.approx(0.8)
    assert dann["target_accuracy"]["mean"] is None
    assert dann["difference"] == {"n": 0, "mean": None, "low": None, "high": None}
    assert (dann["gap_closed"], dann["class_accuracy"]) == (None, None)
    (note,) = found.notes
    assert note.startswith("No target accuracy was measured, because no labels of the target were given to report it")


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([row("source", 0, None, None, diverged=2), row("dann", 0, None, None, diverged=7)], "no training ended with"),
        ([row("domain", 0, None, None), row("domain", 1, None, None)], "mode domain trains no classifier"),
        ([row("domain", 0, None, None), row("dann", 1, None, None, diverged=7)], "mode domain trains no classifier"),
        ([row("dann", 0), row("source", 0, None, None, diverged=2)], "no labels of the target were given"),
    ],
)
def test_why_no_target_accuracy_was_measured(tmp_path, rows, why):
    (note,) = compare([made(tmp_path / "run", rows)]).notes
    assert f"because {why}" in note


def test_a_seed_without_an_accuracy_is_held_against_nothing(tmp_path):
    one = made(tmp_path / "one", [row("source", seed, 0.5) for seed in (0, 1)])
    diverged = row("dann", 1, None, None, diverged=7)
    other = made(tmp_path / "other", [row("dann", 0, 0.7), diverged], settings={"strength": 2})
    notes = compare([one, other]).notes
    assert [note for note in notes if "held against" in note] == [
        f"dann is held against source of {tmp_path / 'one'}, of other settings (seeds 0)"
    ]


def test_diverged_and_collapsed_trainings_are_counted_and_not_averaged(tmp_path):
    rows = [row("source", seed, 0.5) for seed in range(3)]
    rows += [row("dann", 0, 0.7), row("dann", 1, None, None, diverged=7), row("dann", 2, 0.1, collapsed=True)]
    dann = by_name(compare([made(tmp_path / "run", rows)]))["dann"]
    assert (dann["n"], dann["diverged"], dann["collapsed"]) == (3, 1, 1)
    assert dann["target_accuracy"]["n"] == 2
    assert dann["difference"]["n"] == 2
    assert dann["difference"]["mean"] == pytest.approx(-0.1)
    assert "| dann | 2 of 3 |" in as_markdown(compare([Run.open(tmp_path / "run")]))


def test_an_upper_bound_that_is_none_is_said(tmp_path):
    rows = [row(mode, 0, value) for mode, value in (("source", 0.8), ("dann", 0.9), ("target", 0.7))]
    found = compare([made(tmp_path / "run", rows)])
    assert by_name(found)["dann"]["gap_closed"] is None
    assert any(note.startswith("No share of the gap closed by dann: it takes") for note in found.notes)


def test_a_run_from_before_classes_were_recorded_says_so(tmp_path):
    found = compare([made(tmp_path / "run", [row("source", 0, 0.5), row("dann", 0, 0.6)])])
    assert any("No accuracies by class of source, dann" in note for note in found.notes)
    assert any(
        note.startswith("No share of the gap closed: nothing was trained on target labels") for note in found.notes
    )
    assert "No interval where there is one seed." in found.notes
    assert found.classes == []


# Several runs ----------------------------------------------------------------------------------------------------


def test_seeds_of_the_same_settings_count_together_and_others_do_not(tmp_path):
    first = made(tmp_path / "a", [row("source", 0, 0.5), row("dann", 0, 0.6)], settings={"strength": 0.1, "seed": 0})
    second = made(tmp_path / "b", [row("source", 1, 0.4), row("dann", 1, 0.6)], settings={"strength": 0.1, "seed": 1})
    other = made(tmp_path / "c", [row("dann", 0, 0.9)], settings={"strength": 1.0, "seed": 0})
    found = by_name(compare([first, second, other]))
    assert list(found) == ["source", f"{first.path}: dann", f"{other.path}: dann"]
    assert found[f"{first.path}: dann"]["seeds"] == [0, 1]
    assert found[f"{first.path}: dann"]["difference"]["mean"] == pytest.approx(0.15)
    assert found[f"{other.path}: dann"]["difference"]["mean"] == pytest.approx(0.4)  # to seed 0 of the first run
    notes = compare([first, second, other]).notes
    assert any(f"{other.path}: dann is held against source of {first.path}, of other settings" in n for n in notes)


def test_source_only_of_the_same_settings_comes_first(tmp_path):
    here = made(tmp_path / "a", [row("source", 0, 0.1)], settings={"encoder": "mlp"})
    there = made(tmp_path / "b", [row("source", 0, 0.5), row("dann", 0, 0.6)], settings={"encoder": "cnn"})
    assert by_name(compare([here, there]))["dann"]["difference"]["mean"] == pytest.approx(0.1)


def test_a_seed_that_is_there_twice_counts_once(tmp_path):
    runs = [
        made(tmp_path / name, [row("dann", 0, value), row("source", 0, 0.5)])
        for name, value in (("a", 0.6), ("b", 1.0))
    ]
    found = compare(runs)
    assert by_name(found)["dann"]["n"] == 1
    assert by_name(found)["dann"]["target_accuracy"]["mean"] == pytest.approx(0.6)
    assert f"{runs[1].path}: dann, seeds 0: left out, a run before has them too" in found.notes


def test_labelled_rows_of_the_target_are_a_setting_and_not_other_data(tmp_path):
    plain = made(tmp_path / "a", [row("dann", 0, 0.6)])
    told = made(tmp_path / "b", [row("dann", 0, 0.9)], data={"source": "a", "target": "b", "labelled": "c"})
    assert len(compare([plain, told]).modes) == 2


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"data": {"source": "a", "target": "x"}}, "b: of other data than .*a .target differ"),
        ({"data": {"other": "a"}}, "b: its config.json tells no data that .*a has too"),
        ({"data": {}}, "b: its config.json tells no data"),
        ({"data": 5}, "b: its config.json tells no data"),
        ({"experiment": "digits"}, "b: of the experiment digits, .*a of adapt"),
        ({"settings": {"split": "validation"}, "experiment": "adapt"}, None),
    ],
)
def test_runs_of_other_data_are_refused(tmp_path, change, expected):
    first = made(tmp_path / "a", [row("dann", 0, 0.6)])
    second = made(tmp_path / "b", [row("dann", 1, 0.7)], **change)
    if expected is None:
        assert len(compare([first, second]).modes) == 2
        return
    with pytest.raises(InputError, match=expected):
        compare([first, second])


def test_scores_of_another_split_are_other_data(tmp_path):
    runs = [
        made(tmp_path / split, [row("dann", 0, 0.6)], settings={"split": split}) for split in ("test", "validation")
    ]
    with pytest.raises(InputError, match=r"validation: of other data than .*test .split differ"):
        compare(runs)


def test_what_is_no_finished_run_is_refused(tmp_path):
    with pytest.raises(InputError, match="not a run"):
        compare_folders([tmp_path])
    made(tmp_path / "open", [row("dann", 0, 0.6)], done=False)
    with pytest.raises(InputError, match=r"open: the run is not done; finish it with --resume, or leave it out"):
        compare_folders([tmp_path / "open"])
    made(tmp_path / "empty", [])
    with pytest.raises(InputError, match="expected at least one finished training, found none"):
        compare_folders([tmp_path / "empty"])


@pytest.mark.parametrize("recall", [5, "x", [], ["1"], [2.0], [-1], [True], {"a": 1.0}, [[1.0]]])
def test_odd_recalls_of_a_stranger_are_refused(tmp_path, recall):
    made(tmp_path / "run", [row("dann", 0, 0.6)])
    (tmp_path / "run" / "results.json").write_text(json.dumps([row("dann", 0, 0.6, target_recall=recall)]))
    with pytest.raises(InputError, match=r"results\.json: expected a row"):
        compare_folders([tmp_path / "run"])


@pytest.mark.parametrize("values", [["a"], ["a", "a"], [1, "1"], None, 5, [["a"], {}]])
def test_odd_class_names_become_numbers(tmp_path, values):
    rows = [row("dann", 0, 0.6, target_recall=[0.5, 0.7])]
    found = compare([made(tmp_path / "run", rows, input={"classes": {"values": values}})])
    expected = ["0", "1"] if values != [["a"], {}] else ["['a']", "{}"]
    assert found.classes == expected


# Files -----------------------------------------------------------------------------------------------------------


def test_the_three_texts_say_the_same(three):
    found = compare([three])
    read = json.loads(as_json(found))
    assert read["classes"] == found.classes
    assert read["modes"][1]["difference"]["mean"] == found.modes[1]["difference"]["mean"]
    lines = list(csv.DictReader(io.StringIO(as_csv(found), newline="")))
    assert [line["mode"] for line in lines] == ["source", "dann", "target"]
    assert float(lines[1]["difference_mean"]) == found.modes[1]["difference"]["mean"]
    assert float(lines[1]["gap_closed"]) == found.modes[1]["gap_closed"]
    assert float(lines[1]["target_accuracy_cat"]) == 0.75
    assert lines[1]["target_accuracy_d|g\n"] == "0.5"
    assert lines[1]["target_accuracy_emu"] == lines[0]["difference_mean"] == lines[0]["domain_accuracy_mean"] == ""
    text = as_markdown(found)
    assert "| dann | 3 | .900 ± .000 | .700 ± .200 |  | +.200 | +.100 to +.300 | 50% |\n" in text
    assert "| d\\|g  | .000 ± .000 | .500 ± .000 | .875 ± .000 |" in text
    assert "| emu | \u2013 | \u2013 | \u2013 |" in text


def test_a_run_folder_gets_its_files_only_where_there_is_something_to_compare(tmp_path):
    for count, names in ((1, set()), (2, {"comparison.json", "comparison.csv", "comparison.md"})):
        with Run.create(tmp_path / str(count), {"settings": {}}) as run:
            for seed in range(count):
                run.add_row(row("dann", seed, 0.5))
            save_comparison(run)
        assert {path.name for path in run.path.glob("comparison*")} == names
    assert json.loads((run.path / "comparison.json").read_text())["modes"][0]["n"] == 2
