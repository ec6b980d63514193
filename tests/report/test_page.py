"""What the page says of a run, and of what is missing in it."""

import html
import json
import re
import shlex
import shutil
import string
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
import typer
from markupsafe import escape

from flipgrad import recording
from flipgrad.adaptation import Places
from flipgrad.cli import _options
from flipgrad.cli._options import LANGUAGES as OFFERED
from flipgrad.cli.main import app
from flipgrad.errors import InputError
from flipgrad.health import Measures, diagnose
from flipgrad.picking import _NO_BASELINE, Pick
from flipgrad.recipe import Recipe
from flipgrad.report import LANGUAGES, chinese, english, figures, write
from flipgrad.report.command import command
from flipgrad.report.gathering import gather
from flipgrad.report.names import UNITS
from flipgrad.report.text import distinct, named, number, script_json, shown, with_unit
from flipgrad.scores import SCORES
from flipgrad.selection import Disagreement

from .conftest import DIAGNOSIS, HOSTILE, data_of, frames, inputs, text_of

MakeRun = Callable[..., Path]


def fields_of(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def test_every_language_has_the_same_words() -> None:
    assert tuple(LANGUAGES) == OFFERED
    assert english.WORDS.keys() == chinese.WORDS.keys()
    for name, text in english.WORDS.items():
        assert fields_of(text) == fields_of(chinese.WORDS[name]), name
    assert chinese.VERDICTS.keys() == chinese.EXPLAINED.keys()


def test_every_word_is_used_and_every_used_word_is_there() -> None:
    folder = Path(english.__file__).parent
    sources = {path.name: path.read_text() for path in folder.iterdir() if path.suffix in (".py", ".html", ".js")}
    for name in ("english.py", "chinese.py", "chinese_terms.py", "names.py"):
        del sources[name]
    everything = "".join(sources.values())
    used = {*re.findall(r"\bw\.(\w+)", sources["page.html"]), *re.findall(r"\bwords\.(\w+)", sources["page.js"])}
    used |= {*re.findall(r"\b(?:words|w|WORDS)\[['\"](\w+)['\"]\]", everything)}
    assert used <= english.WORDS.keys()
    for looked_up in re.findall(r"\b(?:words|w|WORDS)\[([^\]]*)\]", everything):
        used |= {*re.findall(r"\"(\w+)\"", looked_up)}
    # Named as a whole and looked up later; what is a key of something else does not count.
    used |= {*re.findall(r"(?<![\w)]\[)(?<!get\()\"(\w+)\"(?!:)", everything)}
    used |= {f"axis_{name}" for name in re.findall(r"\baxis\([\w.]+, \"(\w+)\"\)", everything)}
    used |= {f"by_{name}" for name in ("class", "domain", "oracle")} | {f"unit_{name}" for name in UNITS.values()}
    assert english.WORDS.keys() - used == set()
    assert UNITS.keys() <= english.NAMES.keys()


def test_figures_are_what_plotly_takes(make_run: MakeRun) -> None:
    figures = data_of(write(make_run()))["figures"]
    assert len(figures) > 8
    for figure in figures.values():
        go.Figure(figure)  # refuses a property that it does not know
    (chance,) = figures["domain-0"]["layout"]["shapes"]
    assert (chance["y0"], chance["y1"]) == (0.5, 0.5)
    pick = next(trace for trace in figures["measure-0"]["data"] if trace["marker"].get("symbol") == "star")
    assert pick["x"] == [6]
    assert pick["y"] == pytest.approx([0.1 + 0.6 * 5 / 7])
    probe = figures["measure-1"]["data"][0]
    assert (probe["x"], probe["y"]) == ([2, 4, 6, 8], [1.0, 0.95, 0.85, 0.8125])  # epochs that were looked at


def test_confusion_matrix_and_class_shares(make_run: MakeRun) -> None:
    path = make_run()
    figures = data_of(write(path))["figures"]
    known, last = inputs(), frames(inputs(), seed=1)
    (heat,) = figures["confusion-0"]["data"]
    expected = np.zeros((3, 3), int)
    np.add.at(expected, (known.source_y, last.source_logits[-1].argmax(-1)), 1)
    np.testing.assert_array_equal(heat["customdata"], expected)
    np.testing.assert_allclose(heat["z"], expected / expected.sum(1, keepdims=True))
    source, target = figures["shares-0"]["data"]
    np.testing.assert_allclose(source["y"], np.bincount(known.source_y) / 40)
    np.testing.assert_allclose(target["y"], np.bincount(last.target_logits[-1].argmax(-1), minlength=3) / 60)


def test_the_least_certain_samples_come_first(make_run: MakeRun) -> None:
    text = text_of(write(make_run()))
    parts = text.split('<div class="samples">')[1:]
    assert len(parts) == 2
    for part in parts:
        sure = [int(each) for each in re.findall(r"· (\d+) %", part)]
        assert len(sure) == 24
        assert sure == sorted(sure)
    assert "label:" in parts[0]
    assert "label:" not in parts[1]  # the target's labels are not shown beside a prediction


def test_target_labels_change_the_oracle_parts_only(make_run: MakeRun) -> None:
    known = inputs()
    other = recording.Inputs(**{**vars(known), "target_y": known.target_y[::-1].copy()})
    first, second = (write(make_run(name, each)) for name, each in (("one", known), ("two", other)))
    one, two = data_of(first), data_of(second)
    assert one["rows"].pop("oracle") != two["rows"].pop("oracle")
    changed = {name for name in one["figures"] if one["figures"][name] != two["figures"][name]}
    assert changed == {"confusion-1", "confusion-3"}
    assert {key: value for key, value in one.items() if key != "figures"} == {
        key: value for key, value in two.items() if key != "figures"
    }


GAPS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no observations": (lambda run: shutil.rmtree(run / "observations"), "no observed rows"),
    "no inputs": (lambda run: (run / "observations" / "inputs.npz").unlink(), "no observed rows"),
    "no frames": (lambda run: [p.unlink() for p in (run / "observations").glob("*-0.npz")], "no frames of the"),
    "no history": (lambda run: (run / "history.csv").unlink(), "no history"),
    "no results": (lambda run: (run / "results.json").unlink(), "Results of this run are missing or damaged."),
    "no diagnosis": (lambda run: (run / "health.json").unlink(), "No diagnosis"),
    "damaged inputs": (lambda run: (run / "observations" / "inputs.npz").write_bytes(b"PK"), "not readable"),
    "damaged frames": (lambda run: (run / "observations" / "dann-0.npz").write_bytes(b"PK"), "not readable"),
    "damaged results": (lambda run: (run / "results.json").write_text("{"), "not readable"),
    "damaged history": (lambda run: (run / "history.csv").write_text("mode,seed\nx,y\n"), "not readable"),
    "damaged diagnosis": (lambda run: (run / "health.json").write_text('[{"mode": 5}]'), "not readable"),
    "a result lost": (
        lambda run: (run / "results.json").write_text(json.dumps(json.loads((run / "results.json").read_text())[:1])),
        "expected the result of dann, seed 0, found none",
    ),
    "not finished": (lambda run: (run / "done").unlink(), "This run is not finished. 2 of 2 trainings have results."),
    "nothing but the configuration": (
        lambda run: [
            (run / "results.json").unlink(), (run / "history.csv").unlink(), shutil.rmtree(run / "observations"),
            (run / "done").unlink(), (run / "health.json").unlink(),
        ],
        "There are no results yet.",
    ),
    "an odd configuration": (
        lambda run: (run / "config.json").write_text('{"flipgrad_run": 1, "settings": 5, "versions": [], "data": "x"}'),
        "does not say enough",
    ),
}  # fmt: skip


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", GAPS)
def test_what_is_missing_is_said(make_run: MakeRun, name: str, language: str) -> None:
    run = make_run()
    spoil, expected = GAPS[name]
    spoil(run)
    damages: list[str] = []
    text = text_of(write(run, language, report=damages.append))
    if language == "en":
        assert expected in text
    lost = name.startswith("damaged") or name in ("no results", "a result lost")
    assert len(damages) == lost  # a part that was never made is no damage
    assert all("; the page is without the " in line for line in damages)
    for made_up in ("nan", "None", "Traceback", "undefined"):
        assert not re.search(rf"\b{made_up}\b", text), made_up
    data_of(run / "report.html")


def test_every_damaged_file_has_its_line(make_run: MakeRun) -> None:
    run, damages = make_run(), []  # type: tuple[Path, list[str]]
    for name in ("observations/dann-0.npz", "observations/source-0.npz", "history.csv"):
        (run / name).write_bytes(b"\xff")
    text = text_of(write(run, report=damages.append))
    assert len(damages) == 3
    for name in ("observations/dann-0.npz", "observations/source-0.npz", "history.csv"):
        assert sum(f"{run / name}: " in line for line in damages) == 1
        assert str(run / name) in text


def test_a_training_that_diverged_and_a_target_without_labels(make_run: MakeRun) -> None:
    run = make_run(health=None)
    rows = json.loads((run / "results.json").read_text())
    rows[1] |= {"diverged": 17, "source_accuracy": None, "target_accuracy": None, "domain_accuracy": None}
    (run / "results.json").write_text(json.dumps(rows))
    text = text_of(write(run))
    assert "dann, seed 0: diverged at step 17." in text
    assert "How accurate it is on the target is not known" in text


def test_a_single_class_predicted_is_said(make_run: MakeRun) -> None:
    run, known = make_run(), inputs()
    one = frames(known)
    logits = {name: np.zeros_like(getattr(one, name)) for name in ("source_logits", "target_logits")}
    recording.write(run / "observations" / "dann-0.npz", recording.Recording(**{**vars(one), **logits}))
    text = text_of(write(run))
    assert "One class is predicted for every row of the target: cat." in text
    assert "Never predicted for the target: dog, eel" in text


def test_domains_of_few_rows(make_run: MakeRun) -> None:
    """Too few for t-SNE, fewer than classes, and of one feature."""
    known = inputs(rows=2, classes=["a", "b", "c"])
    run = make_run(shown=known)
    movie = frames(known)
    narrow = {name: getattr(movie, name)[:, :, :1] for name in ("source_features", "target_features")}
    recording.write(run / "observations" / "dann-0.npz", recording.Recording(**{**vars(movie), **narrow}))
    first = data_of(write(run))["movies"][0]
    assert first["mode"] == "dann"
    assert "tsne" not in first["frames"][0]


def test_more_trainings_than_a_page_takes(make_run: MakeRun) -> None:
    run, known = make_run(), inputs()
    for seed in range(1, 13):
        recording.write(run / "observations" / f"dann-{seed}.npz", frames(known))
    found = gather(run)
    assert len(found.recordings) == 12
    assert found.left_out == ["dann-11", "dann-12"]
    assert "dann-11, dann-12" in text_of(write(run))


def test_a_diagnosis_is_drawn_from_the_measures_alone(make_run: MakeRun) -> None:
    """Of the words in the file, which may be anybody's, none is shown."""
    page = write(make_run())
    text = text_of(page)
    (verdict,) = diagnose(Measures.from_dict(DIAGNOSIS["measures"]))
    assert verdict.name == "partly aligned"
    for part in (verdict.meaning, verdict.advice, *map(number, verdict.evidence.values())):
        assert part in text
    for word in HOSTILE[:3]:
        assert word not in page.read_text()
        assert html.escape(word) not in text
    assert page.read_text().count("</script") == 3


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (
            {"experiment": "digits", "settings": {"preset": "default", "seeds": [3], "modes": ["source", "dann"]}},
            "flipgrad run digits --preset default --seeds 3, --modes source,dann",
        ),
        (
            {"experiment": "adapt", "backend": "jax",
             "settings": {"source": "my photos", "target": "b", "skip_bad": True, "weights": None, "seed": 0}},
            "flipgrad adapt --source 'my photos' --target b --skip-bad --seed 0 --backend jax",
        ),
        (
            {"experiment": "adapt",
             "settings": {"source": "a", "target": "b", "target_labels": "few.npz", "modes": ["dann"], "seeds": [7]}},
            "flipgrad adapt --source a --target b --target-labels few.npz --modes dann --seeds 7,",
        ),
        ({"experiment": "digits"}, None),
        ({"experiment": 5, "settings": {"seeds": [0]}}, None),
    ],
)  # fmt: skip
def test_the_command_that_makes_such_a_run_again(config: dict[str, Any], expected: str | None) -> None:
    assert command(config) == expected


def test_the_command_has_every_setting_and_is_read_as_it_was_written() -> None:
    settings: dict[str, Any] = {
        "source": "my photos", "target": "b", "target_labels": "few", "target_test": "t", "label": "the class",
        "skip_bad": True, "size": 32, "encoder": "cnn", "weights": "w.h5", "epochs": 3, "batch_size": 16,
        "learning_rate": 1e-05, "strength": 0.3, "keep": "best", "modes": ["source", "dann"], "seeds": [7],
    }  # fmt: skip
    # Everything that config.json can hold; `passes` has no option.
    written = {field.name for kind in (Places, Recipe) for field in fields(kind)} - {"passes"}
    assert settings.keys() | {"mode", "seed"} == written | {"modes", "seeds"}
    program = typer.main.get_command(app)
    for changes in ({}, {"modes": ["dann"], "seeds": [0, 3]}, {"mode": "source", "seed": 5}):
        own = {**settings, **changes}
        if "mode" in changes:
            del own["modes"], own["seeds"]
        words = shlex.split(command({"experiment": "adapt", "settings": own, "backend": "jax"}) or "")
        assert words[:2] == ["flipgrad", "adapt"]
        with program.commands["adapt"].make_context("adapt", words[2:]) as context:  # type: ignore[attr-defined]
            read = context.params
        assert read["backend"] == "jax"
        if "mode" in changes:
            assert (read["modes"], read["seed"], read["seeds"]) == ("source", "5", None)
        else:
            assert list(_options.seeds(read["seeds"])) == own["seeds"]
            assert list(_options.modes(read["modes"], ("source", "dann"))) == own["modes"]
        for name in own.keys() - {"mode", "modes", "seed", "seeds"}:
            assert (read[name] if name == "skip_bad" else type(own[name])(read[name])) == own[name], name


def test_text_of_strangers() -> None:
    assert shown("<b>&amp;") == "&lt;b&gt;&amp;amp;"
    assert shown("a\x07\u202e") == "\u2068a\ufffd\ufffd\u2069"
    assert len(shown("x" * 200)) == 24 + 2
    assert distinct(["x" * 30, "x" * 31]) == [shown("x" * 30), f"{shown('x' * 30)} (2)"]
    assert json.loads(script_json({"a": HOSTILE})) == {"a": HOSTILE}
    assert "<" not in script_json(HOSTILE)
    assert [number(value) for value in (0.5, 1e-7, float("nan"), 3, None)] == ["0.500", "1e-07", "–", "3", "–"]  # noqa: RUF001


def test_refusals(tmp_path: Path, make_run: MakeRun) -> None:
    with pytest.raises(InputError, match="not a run"):
        write(tmp_path)
    with pytest.raises(InputError, match="expected en or zh, received 'fr'"):
        write(make_run(), "fr")


def test_scores_by_epoch_and_the_epoch_that_each_would_keep(make_run: MakeRun) -> None:
    run = make_run()
    recorded = recording.read(run / "observations" / "dann-0.npz", recording.Recording)
    labels = inputs().source_y
    data = data_of(write(run))
    titles = dict(
        re.findall(r"<h3><bdi>([^<]+)</bdi></h3><div class=\"plot\" id=\"(score-\d+)\"", text_of(run / "report.html"))
    )
    names = {english.NAMES[name]: name for name in SCORES}
    assert names[next(iter(titles))] == "corr_c"
    assert {names[title] for title in titles} == set(SCORES)
    for name in ("corr_c", "entropy"):
        score = SCORES[name]
        line, star, *_ = data["figures"][titles[english.NAMES[name]]]["data"]
        assert line["name"] == "dann"
        seen = [recorded.observation(frame, labels) for frame in range(len(recorded.epochs))]
        values = [score.function(each) for each in seen]
        np.testing.assert_allclose(line["y"], values, rtol=1e-6)
        assert line["x"] == recorded.epochs.tolist()
        accuracies = [SCORES["source_accuracy"].function(each) for each in seen]
        fit = [frame for frame in range(1, len(seen)) if accuracies[frame] >= max(accuracies[1:]) - 0.02]
        best = max(fit, key=lambda frame: score.goodness(values[frame]))
        assert star["x"] == [recorded.epochs[best]]
    assert "The saved model is of epoch 6." in text_of(run / "report.html")


def test_the_picked_training_is_that_of_the_page(make_run: MakeRun) -> None:
    run = make_run()
    shown = recording.read(run / "observations" / "inputs.npz", recording.Inputs)
    recording.write(run / "observations" / "dann-1.npz", frames(shown, seed=3))
    rows = json.loads((run / "results.json").read_text())
    (run / "results.json").write_text(json.dumps([*rows, {**rows[1], "seed": 1}]))
    assert gather(run).main == ("dann", 0)
    scores = {
        "source-0": {"corr_c": 0.5},
        "dann-0": {"corr_c": 0.75},
        "dann-1": {"corr_c": 0.8125, HOSTILE[0]: HOSTILE[1]},
    }
    pick = {
        "picked": "dann-1",
        "reason": "corr_c",
        "warning": HOSTILE[2],
        "scores": scores,
        "left_out": {"x-1": "diverged"},
    }
    (run / "selection.json").write_text(json.dumps(pick))
    assert gather(run).main == ("dann", 1)
    text = text_of(write(run))
    assert "Used for predictions: dann-1. Its class correlation (Corr-C) of 0.812 decided, among 3 trainings." in text
    assert str(escape(HOSTILE[2])) in text
    assert '<tr class="picked"><td><bdi>dann-1</bdi></td><td><bdi>0.812</bdi></td>' in text
    assert "Could not be picked: x-1 (diverged)." in text
    pick["picked"] = "source-0"  # of which the page is not: it shows what adapting did
    (run / "selection.json").write_text(json.dumps(pick))
    assert gather(run).main == ("dann", 0)
    assert "Used for predictions: source-0." in text_of(write(run))


def test_the_chinese_page_says_in_chinese_why_and_how_far_to_trust_the_pick(make_run: MakeRun) -> None:
    run = make_run()
    doubt = Disagreement("dann-0", {"corr_c": "dann-0", "bnm": "dann-1", "snd": "dann-1"}, against=2, differing=0.4)
    scores = {
        name: {"corr_c": 0.5, "source_accuracy": accuracy} for name, accuracy in (("dann-0", 0.9), ("dann-1", 0.7))
    }
    left_out = {"dann-1": "source accuracy 0.700 is more than 0.1 below the best", "dann-2": "corr_c: <one> class"}
    warning = f"{doubt} {_NO_BASELINE}"
    pick = Pick("dann-0", "corr_c 0.5 on held-out rows", warning, scores, left_out, asdict(doubt))
    (run / "selection.json").write_text(json.dumps(asdict(pick)))
    text = text_of(write(run, "zh"))
    said = chinese.PICKING
    names = [chinese.NAMES[name] for name in ("corr_c", "bnm", "snd")]
    votes = said["votes"].format(scores=names[0], picked="dann-0") + said["between"]
    votes += said["votes"].format(scores=said["and"].join(names[1:]), picked="dann-1")
    assert said["disagree"].format(votes=3, against=2, picked="dann-0", differing=0.4, said=votes) in text
    assert said["no_baseline"] in text
    assert said["guard"].format(own="0.700", best="0.900") in text
    assert said["original"].format("corr_c: &lt;one&gt; class") in text
    assert "The scores disagree" not in text
    assert str(escape(warning)) in text_of(write(run))
    (run / "selection.json").write_text(json.dumps(asdict(Pick(None, "too few rows to hold some out"))))
    reason = said["too few rows to hold some out"]
    assert chinese.WORDS["pick_none"].format(reason=reason) in text_of(write(run, "zh"))
    assert "No training was picked (too few rows to hold some out)" in text_of(write(run))


@pytest.mark.parametrize(
    "stored",
    [
        [],
        {"picked": 3},
        {"scores": []},
        {"scores": {"dann-0": 1}},
        {"left_out": "x"},
        {"disagreement": {"picked": "x", "votes": {"snd": 3}, "against": 1, "differing": 0.5}},
    ],
)
def test_a_pick_of_a_stranger_is_a_gap(make_run: MakeRun, stored: Any) -> None:
    run = make_run()
    (run / "selection.json").write_text(json.dumps(stored))
    said: list[str] = []
    write(run, report=said.append)
    assert any("selection.json" in line and "which training was picked" in line for line in said)


def test_the_difference_to_source_only(make_run: MakeRun) -> None:
    run = make_run()
    rows = json.loads((run / "results.json").read_text())
    recalls = [[0.5, 0.25, 0.75], [0.75, 1.0, 0.5]]
    rows = [
        {**row, "seed": seed, "target_recall": recall}
        for seed in (0, 1)
        for row, recall in zip(rows, recalls, strict=True)
    ]
    (run / "results.json").write_text(json.dumps(rows))
    text = re.sub(r"</?(bdi|td|tr)>", " ", text_of(write(run)))
    assert "difference to source-only" in text
    assert re.search(r"\+0\.250\s+\[\+0\.250, \+0\.250\]", text)
    assert re.search(r"\s1\s+0\.250\s±\s0\.000\s+1\.000\s±\s0\.000", text)


def test_the_strength_is_drawn_as_back_offs_halved_it(make_run: MakeRun) -> None:
    run = make_run()
    recorded = recording.read(run / "observations" / "dann-0.npz", recording.Recording)
    lines = [f"dann,0,{epoch},1.0,{count}" for epoch, count in enumerate((0, 0, 1, 1, 2, 2, 2, 2), 1)]
    (run / "history.csv").write_text("\n".join(["mode,seed,epoch,loss,back_offs", *lines, ""]))
    (figure,) = (figure for name, figure in figures.curves(gather(run), english) if name == "strength")
    line = next(line for line in figure["data"] if line["name"] == "dann")
    expected = recorded.strength * [1, 1, 1, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25]
    np.testing.assert_allclose(line["y"], expected, rtol=1e-6)
    assert line["y"][3] < line["y"][2]


def test_the_table_of_every_training_has_headings_of_its_own(make_run: MakeRun) -> None:
    for language, words in (("en", english.WORDS), ("zh", chinese.WORDS)):
        run = make_run(language)
        (run / "results.json").write_text(json.dumps([*json.loads((run / "results.json").read_text())] * 2))
        heads = re.findall(r'<th scope="col"><bdi>(.*?)</bdi>', text_of(write(run, language)))
        assert words["mode"] in heads
        assert not [head for head in heads if "{" in head]


def test_what_is_said_of_a_training_without_history_or_result(make_run: MakeRun) -> None:
    run = make_run(done=False)
    (run / "history.csv").unlink()
    text = text_of(write(run))
    assert english.WORDS["gap_domain"] not in text  # the frames have it
    rows = json.loads((run / "results.json").read_text())
    (run / "results.json").write_text(json.dumps(rows[:1]))
    assert english.WORDS["no_target"] not in text_of(write(run))


def test_every_measure_and_score_has_a_name_in_every_language() -> None:
    known = {field.name for field in fields(Measures)} | set(SCORES) | {"push"}
    assert known <= chinese.NAMES.keys() == english.NAMES.keys()
    assert named("health_source_only_class_gap", english) == "source-only: class gap"
    assert named("source_only_class_gap", chinese) == "仅源域的类间隙"
    assert named("score_corr_c", chinese) == named("corr_c", chinese) != named("corr_c", english)
    assert with_unit("health_online_loss", english) == "loss of the own discriminator (nats)"
    assert with_unit("health_probe_accuracy", chinese) == "线性探针的准确率（占 1 的比例）"  # noqa: RUF001
    assert with_unit("<b>mine</b>", english) == "&lt;b&gt;mine&lt;/b&gt;"
