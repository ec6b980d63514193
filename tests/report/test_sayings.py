"""That the page tells the truth: of which training, of which seeds, in which units, and what is missing why."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flipgrad import recording
from flipgrad.picking import ALL_DIVERGED, Pick
from flipgrad.report import LANGUAGES, english, write
from flipgrad.report.figures import LINE_COLORS
from flipgrad.report.gathering import gather
from flipgrad.report.page import render
from flipgrad.report.text import NONE, exact, number, with_unit
from flipgrad.report.thumbnails import are_images, lines_of_text

from .conftest import data_of, frames, inputs, text_of

MakeRun = Callable[..., Path]


def test_the_picked_training_has_its_frames_however_late_its_seed(make_run: MakeRun) -> None:
    run, known = make_run(), inputs()
    for seed in range(1, 15):
        for mode in ("source", "dann"):
            recording.write(run / "observations" / f"{mode}-{seed}.npz", frames(known))
    pick = {"picked": "dann-14", "reason": "x", "scores": {"dann-14": {"corr_c": 0.5}}}
    (run / "selection.json").write_text(json.dumps(pick))
    found = gather(run)
    assert found.main == ("dann", 14)
    assert set(list(found.recordings)[:2]) == {("source", 14), ("dann", 14)}
    assert len(found.recordings) == 12
    (run / "observations" / "dann-14.npz").unlink()  # then it is not the one of the page
    assert gather(run).main == ("dann", 0)


def test_trainings_that_are_left_out_are_named_without_frames_too(make_run: MakeRun) -> None:
    found = gather(make_run())
    found.recordings, found.left_out = {}, ["dann-7"]
    assert english.WORDS["left_out"].format("dann-7") in render(found)
    assert found.main == ("dann", 0)


def add_rows(run: Path, *rows: dict[str, Any]) -> None:
    """Rows as that of dann, seed 0, with changes."""
    stored = json.loads((run / "results.json").read_text())
    (run / "results.json").write_text(json.dumps([*stored, *({**stored[1], **row} for row in rows)]))


def test_the_headline_is_of_the_seeds_that_both_have(make_run: MakeRun) -> None:
    run = make_run()
    add_rows(run, {"seed": 1, "target_accuracy": 0.1}, {"seed": 2, "mode": "source", "target_accuracy": 0.9})
    text = text_of(write(run))
    assert "0.750, against 0.500 of source-only training with the same seeds (+0.250; seeds: 1)" in text
    rows = json.loads((run / "results.json").read_text())
    (run / "results.json").write_text(json.dumps(rows[1:]))  # no pair is left
    text = text_of(write(run))
    assert english.WORDS["only_target"].format(seeds=2, after="0.425") in text
    assert "against 0.900" not in text


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_run_of_source_only_is_not_missed_by_itself(make_run: MakeRun, language: str) -> None:
    run, words = make_run(), LANGUAGES[language].WORDS
    rows = json.loads((run / "results.json").read_text())
    (run / "results.json").write_text(json.dumps(rows[:1]))
    for name in ("observations/dann-0.npz", "history.csv", "health.json", "done"):
        (run / name).unlink()
    text = text_of(write(run, language))
    assert words["target_of_source"].format(seeds=1, after="0.500") in text
    assert words["only_target"].partition("{after}")[2] not in text


def test_why_no_accuracy_is_known(make_run: MakeRun) -> None:
    run = make_run()
    rows = json.loads((run / "results.json").read_text())
    nothing = {"source_accuracy": None, "target_accuracy": None}
    spoilt = [{**row, **nothing, "diverged": 3} for row in rows]
    (run / "results.json").write_text(json.dumps(spoilt))
    pick = Pick(None, ALL_DIVERGED, left_out={"source-0": "diverged", "dann-0": "diverged"})
    (run / "selection.json").write_text(json.dumps(asdict(pick)))
    text = text_of(write(run))
    assert english.WORDS["no_model"].format(mode="dann") in text
    assert english.WORDS["pick_no_model"].format(reason=ALL_DIVERGED) in text
    assert "--training" not in text
    assert english.WORDS["no_target"] not in text
    (run / "results.json").write_text(json.dumps([{**rows[1], **nothing, "mode": "domain"}]))
    shutil.rmtree(run / "observations")
    (run / "history.csv").unlink()
    (run / "health.json").unlink()
    assert english.WORDS["no_classifier"].format(mode="domain") in text_of(write(run))
    (run / "results.json").write_text(json.dumps([{**rows[1], "target_accuracy": None}]))
    assert english.WORDS["no_target"] in text_of(write(run))


def test_of_a_training_without_a_model_the_last_epoch_is_shown(make_run: MakeRun) -> None:
    run = make_run()
    data = data_of(write(run))
    assert [movie["after"] for movie in data["movies"]] == [english.WORDS["after"]] * 2
    assert stars(data, "score-0") == {"dann", "source"}
    rows = json.loads((run / "results.json").read_text())
    rows[1] |= {"diverged": 300, "source_accuracy": None, "target_accuracy": None}
    (run / "results.json").write_text(json.dumps(rows))
    data = data_of(write(run))
    assert [movie["after"] for movie in data["movies"]] == [english.WORDS["after_no_model"], english.WORDS["after"]]
    assert stars(data, "score-0") == {"source"}
    assert stars(data, "measure-0") == set()
    (run / "done").unlink()
    (run / "results.json").write_text(json.dumps(rows[:1]))
    assert data_of(write(run))["movies"][0]["after"] == english.WORDS["after_last"]


def stars(data: dict[str, Any], figure: str) -> set[str]:
    """The modes whose line has a star."""
    traces = data["figures"][figure]["data"]
    modes = {trace["line"]["color"]: trace["name"] for trace in traces if "line" in trace}
    return {modes[each["marker"]["color"]] for each in traces if each["marker"].get("symbol") == "star"}


def test_parts_that_single_trainings_lack_are_named(make_run: MakeRun) -> None:
    run = make_run()
    lines = (run / "history.csv").read_text().splitlines(keepends=True)
    (run / "history.csv").write_text("".join(line for line in lines if not line.startswith("dann")))
    add_rows(run, {"seed": 1})
    text = text_of(write(run))
    assert english.WORDS["gap_some_histories"].format("dann-0, dann-1") in text
    assert english.WORDS["gap_some_recordings"].format("dann-1") in text
    (run / "observations" / "dann-1.npz").write_bytes(b"PK")
    text = text_of(write(run))
    assert english.WORDS["gap_some_recordings"].format("dann-1") not in text  # said once
    assert f"{run}/observations/dann-1.npz: not a zip archive, or cut short (2 bytes); delete it: the page is" in text
    assert "fetch" not in text


def test_a_damaged_pick_or_comparison_is_a_gap_of_the_page(make_run: MakeRun) -> None:
    run = make_run()
    (run / "selection.json").write_text("[")
    found = gather(run)
    found.problems["comparison"] = ["the comparison is damaged"]
    text = re.sub(r"<script.*?</script>", "", render(found), flags=re.DOTALL)
    assert f"not readable: {run / 'selection.json'}: not readable as JSON" in text
    assert "not readable: the comparison is damaged" in text


def test_a_damaged_history_takes_the_measures_and_leaves_the_scores(make_run: MakeRun) -> None:
    run, said = make_run(), []  # type: tuple[Path, list[str]]
    (run / "history.csv").write_text("mode,seed\nx,y\n")
    text = text_of(write(run, report=said.append))
    assert 'id="score-0"' in text
    assert "scores" not in said[0]
    assert "measures" in said[0]
    assert english.WORDS["gap_measures"] not in text


def test_settings_are_as_they_were_given(make_run: MakeRun) -> None:
    run = make_run()
    config = json.loads((run / "config.json").read_text())
    config["settings"] |= {"learning_rate": 0.0015, "strength": 1.0, "weight": 1e-05}
    (run / "config.json").write_text(json.dumps(config))
    lines = (run / "history.csv").read_text().splitlines(keepends=True)
    rows = json.loads((run / "results.json").read_text())
    (run / "results.json").write_text(json.dumps([{**row, "steps": 16_000} for row in rows]))
    text = text_of(write(run))
    assert len(lines) == 17
    for value in ("0.0015", "1.0", "1e-05"):
        assert f"<td><bdi>{value}</bdi></td>" in text
    assert english.WORDS["one_epoch"].format("2000") in text
    assert [exact(value) for value in (True, None, [0.1, 2], "x")] == ["✓", NONE, "0.1, 2", "x"]
    assert [number(value) for value in (2014.0, 1234.5678, 250_000.0, 2e7)] == ["2014", "1234.57", "250000", "20000000"]
    table = np.array([[2014.0, 0.5, 1 / 3, 20, 0]], dtype="float32")
    assert lines_of_text(table, {}) == ["x0 = 2014, x1 = 0.5, x2 = 0.333, x3 = 20, x4 = 0"]


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((2, 28, 28), True), ((2, 16, 64, 3), True), ((2, 128, 9), False), ((2, 9, 128), False), ((2, 65, 16, 1), False)],
)
def test_signals_are_no_pictures(shape: tuple[int, ...], expected: bool) -> None:
    assert are_images(np.zeros(shape)) is expected


def luminance(color: str) -> float:
    """Relative luminance, 0 to 1 (WCAG 2)."""
    shares = np.array([int(color[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    linear = np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_lines_have_contrast_on_both_grounds() -> None:
    grounds = set(re.findall(r"--ground: (#\w+)", (Path(english.__file__).parent / "page.css").read_text()))
    assert len(grounds) == 2
    for ground in map(luminance, grounds):
        for line in map(luminance, LINE_COLORS):
            assert (max(line, ground) + 0.05) / (min(line, ground) + 0.05) >= 3


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_vertical_axis_has_a_name_and_a_unit(make_run: MakeRun, language: str) -> None:
    figures = data_of(write(make_run(language), language))["figures"]
    titles = {name: figure["layout"]["yaxis"]["title"]["text"] for name, figure in figures.items()}
    assert titles["measure-0"] == with_unit("v_measure", LANGUAGES[language])
    for name, title in titles.items():
        if not name.startswith(("shares", "confusion")):
            assert re.search(r"[(（].+[)）]", title), name  # noqa: RUF001
            assert "_" not in title
