"""``health.json``, and ``flipgrad health`` on runs of every kind, also a stranger's."""

import dataclasses
import json
import shutil

import keras
import numpy as np
import pytest
from keras import layers

import flipgrad as fg
from flipgrad import recording
from flipgrad.cli.main import main
from flipgrad.errors import InputError
from flipgrad.health import Measures, diagnose, measure, records
from flipgrad.report import write
from flipgrad.runs import Run

NAMES = [field.name for field in dataclasses.fields(Measures)]
NUMBERS = [field.name for field in dataclasses.fields(Measures) if field.type == "float | None"]


def example(**changes):
    """Measures of an adapted model, each of its own value."""
    numbers = {name: 0.5 + 0.01 * place for place, name in enumerate(NUMBERS)}
    shares = dict.fromkeys(("source_shares", "target_shares", "target_priors"), (0.25, 0.25, 0.5))
    return Measures(**{"rows": (40, 60), "never_predicted": (1,), **numbers, **shares, **changes})


# The file ----------------------------------------------------------------------------------------------------------


def test_every_measure_is_written_and_read_back(tmp_path):
    measures = {
        ("source", 0): example(source_accuracy=0.9, source_peak=0.9),
        ("dann", 0): example(online_loss=None, v_measure=None, never_predicted=()),
        ("dann", 1): Measures(finite=False, rows=(3, 4)),
        ("my-mode.2", 4294967295): Measures(),
    }
    records.write(tmp_path, measures)
    assert records.read(tmp_path) == measures
    entries = json.loads((tmp_path / "health.json").read_text())
    assert [(entry["mode"], entry["seed"]) for entry in entries] == list(measures)
    for entry, own in zip(entries, records.diagnoses(measures).values(), strict=True):
        assert [verdict["name"] for verdict in entry["verdicts"]] == [verdict.name for verdict in own]
        assert all(verdict.keys() == {"name", "evidence", "meaning", "advice"} for verdict in entry["verdicts"])
        assert entry["measures"].keys() == set(NAMES)


def test_a_training_is_held_against_source_only_training_of_its_seed():
    adapted = example(source_accuracy=0.7, source_peak=0.7, input_accuracy=1.0)
    baseline = example(source_accuracy=0.99, source_peak=0.99)
    found = records.diagnoses({("dann", 0): adapted, ("dann", 1): adapted, ("source", 1): baseline})
    assert found["dann", 0] == diagnose(adapted)
    assert found["dann", 1] == diagnose(adapted, baseline) != diagnose(adapted)
    assert found["source", 1] == diagnose(baseline)


def test_no_file_is_no_measures(tmp_path):
    assert records.read(tmp_path) == {}


def entry(**changes):
    return {"mode": "dann", "seed": 0, "measures": dataclasses.asdict(example()), **changes}


def with_measures(**changes):
    return json.dumps([entry(measures={**dataclasses.asdict(example()), **changes})])


HUGE = "9" * 4000
HOSTILE = {
    "empty": "",
    "half": with_measures()[:200],
    "no UTF-8": b"\xff\xfe[]",
    "deep": "[" * 100_000,
    "a dict": "{}",
    "a number": "5",
    "an entry of numbers": "[1]",
    "no mode": json.dumps([{"seed": 0, "measures": {}}]),
    "a mode of markup": json.dumps([entry(mode="<script>")]),
    "a mode with a path": json.dumps([entry(mode="../../x")]),
    "an endless mode": json.dumps([entry(mode="x" * 81)]),
    "a seed of text": json.dumps([entry(seed="0")]),
    "a seed of true": json.dumps([entry(seed=True)]),
    "measures of a list": json.dumps([entry(measures=[1, 2])]),
    "finite of a number": with_measures(finite=1),
    "finite of nothing": with_measures(finite=None),
    "text": with_measures(online_loss="0.5"),
    "a list": with_measures(probe_accuracy=[1.0, 0.9]),
    "true": with_measures(online_accuracy=True),
    "nested": with_measures(source_shares=[[0.5], 0.5]),
    "no list": with_measures(target_shares=0.5),
    "a table": with_measures(class_gap={"a": 1}),
    "no rows": with_measures(rows=[]),
    "three rows": with_measures(rows=[1, 2, 3]),
    "rows of fractions": with_measures(rows=[1.5, 2]),
    "null among shares": with_measures(target_priors=[None, 1]),
    "classes of fractions": with_measures(never_predicted=[0.5]),
    "NaN among shares": with_measures(target_priors=[float("nan")]),
    "a huge number": with_measures().replace('"online_loss": 0.53', f'"online_loss": {HUGE}'),
    "a huge row": with_measures().replace('"rows": [40', f'"rows": [{HUGE}'),
    "more digits than Python reads": "[" + "9" * 5000 + "]",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_anything_else_is_refused_in_one_line(tmp_path, name):
    text = HOSTILE[name]
    (tmp_path / "health.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    assert name not in ("a huge number", "a huge row") or HUGE in text
    with pytest.raises(InputError) as caught:
        records.read(tmp_path)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'health.json'}: ")
    assert "delete it" in message
    assert "\n" not in message
    assert len(message) < 400 + len(str(tmp_path))


# Numbers that a file may hold, however senseless: they are shown, and nothing breaks.
ODD = {
    "negative": dict.fromkeys(NUMBERS, -1.0) | {"rows": (-3, -2)},
    "large": dict.fromkeys(NUMBERS, 10**299),
    "small": dict.fromkeys(NUMBERS, 1e-300) | {"label_gradient": 5e-324},
    "zero": dict.fromkeys(NUMBERS, 0) | {"rows": (0, 0), "source_shares": ()},
    "nothing": dict.fromkeys(NUMBERS) | {"source_shares": (), "target_shares": (), "target_priors": ()},
    "many classes": {"source_shares": [0.001] * 1000, "never_predicted": list(range(1000)), "prior_divergence": 1.0},
    "NaN": dict.fromkeys(NUMBERS, float("nan")),
    "infinite": dict.fromkeys(NUMBERS, float("inf")),
}


@pytest.mark.parametrize("mode", ["source", "dann"])
@pytest.mark.parametrize("name", ODD)
def test_senseless_numbers_are_only_numbers(tmp_path, name, mode):
    odd = {**dataclasses.asdict(example()), **ODD[name]}
    both = [entry(mode="source"), entry(measures=odd, mode=mode)]
    (tmp_path / "health.json").write_text(json.dumps(both))
    found = records.read(tmp_path)
    for verdicts in records.diagnoses(found).values():
        assert all("\n" not in str(verdict) for verdict in verdicts)
    records.write(tmp_path, found)
    assert records.read(tmp_path) == found


def test_unknown_names_are_left_out_and_missing_ones_are_none(tmp_path):
    (tmp_path / "health.json").write_text(json.dumps([entry(measures={"rows": [5, 6], "new": "x"}, verdicts=7)]))
    assert records.read(tmp_path) == {("dann", 0): Measures(rows=(5, 6))}


# The command -------------------------------------------------------------------------------------------------------


@pytest.fixture
def flipgrad(monkeypatch, capfd):
    """A function: the command in this process; (exit code, standard output, standard error)."""

    def call(*words):
        capfd.readouterr()
        monkeypatch.setattr("sys.argv", ["flipgrad", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfd.readouterr()
        return ended.value.code, out, err

    return call


def refused(answer, *expected):
    code, out, err = answer
    assert (code, out) == (2, ""), answer
    (line,) = [line for line in err.splitlines() if not line.startswith("Looking at")]
    assert line.startswith("flipgrad: ")
    for text in expected:
        assert str(text) in line, line


CONFIG = {"experiment": "adapt", "settings": {"mode": "dann"}, "backend": "tensorflow", "data": {}}


def held_out(rows=30):
    random = np.random.default_rng(0)
    ids = np.arange(rows).astype(str)
    x = random.normal(size=(2, rows, 3)).astype("float32")
    return recording.Inputs(x[0], np.arange(rows) % 3, ids, x[1] + 2, ids, np.array(["a", "b", "c"]))


def model_of(kind="dann", width=3, classes=3):
    keras.utils.set_random_seed(0)
    encoder = keras.Sequential([keras.Input((width,)), layers.Dense(4, activation="tanh")])
    classifier = keras.Sequential([layers.Dense(classes)])
    if kind == "dann":
        return fg.DANN(encoder, classifier, fg.networks.discriminator((4, 1)))
    if kind == "source":
        return fg.DomainAdaptationModel(encoder, classifier)
    return keras.Sequential([encoder, classifier])


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a run of source and dann, as a version without diagnoses left it."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    with Run.create(folder, CONFIG) as run:
        recording.write(run.observation_path("inputs"), held_out())
        for mode in ("source", "dann"):
            model_of(mode).save(run.model_path(mode, 0))
            run.add_history(mode, 0, {"loss": [1.0, 0.5], "health_source_accuracy": [float("nan"), 0.5]})
            run.add_row({"mode": mode, "seed": 0, "source_accuracy": 0.9, "diverged": None})
        run.finish()
    return folder


@pytest.fixture
def run(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "run")


def test_models_are_looked_at_once(run, flipgrad):
    """And the measures are those of ``measure``."""
    code, out, err = flipgrad("health", run)
    assert (code, err.splitlines()) == (0, ["Looking at source, seed 0", "Looking at dann, seed 0"])
    found, rows = records.read(run), held_out()
    for mode in ("source", "dann"):
        expected = measure(model_of(mode), (rows.source_x, rows.source_y), rows.target_x)
        for name, value in vars(expected).items():
            own = getattr(found[mode, 0], name)
            assert own == (value if value is None else pytest.approx(value, rel=1e-5, abs=1e-6)), name
    verdicts = records.diagnoses(found)["dann", 0]
    assert verdicts
    for verdict in verdicts:
        for text in (verdict.name, verdict.meaning, verdict.advice, verdict.numbers):
            assert text in out
    assert f"dann, seed 0: {'; '.join(verdict.name for verdict in verdicts)}" in out
    shutil.rmtree(run / "models")  # no longer needed
    assert flipgrad("health", run) == (0, out, "")


def test_json_is_what_the_file_holds(run, flipgrad):
    code, out, err = flipgrad("health", run, "--json")
    assert (code, err) == (0, "")
    assert json.loads(out) == json.loads((run / "health.json").read_text())
    assert [entry["mode"] for entry in json.loads(out)] == ["source", "dann"]


def test_only_what_is_missing_is_looked_at(run, flipgrad):
    records.write(run, {("source", 0): example(online_loss=None)})
    code, _, err = flipgrad("health", run)
    assert (code, err) == (0, "Looking at dann, seed 0\n")
    assert records.read(run)["source", 0] == example(online_loss=None)


def test_a_training_that_diverged_needs_no_model(tmp_path, flipgrad):
    with Run.create(tmp_path / "run", CONFIG) as made:
        made.add_row({"mode": "dann", "seed": 3, "diverged": 17})
        made.finish()
    code, out, err = flipgrad("health", tmp_path / "run")
    assert (code, err) == (0, "")
    assert out.startswith("dann, seed 3: diverged\n")


def test_a_run_without_a_training_that_has_ended(tmp_path, flipgrad):
    with Run.create(tmp_path / "run", CONFIG):
        pass
    said = f"flipgrad: {tmp_path / 'run'}: the run is not finished; these are its trainings so far\n"
    assert flipgrad("health", tmp_path / "run") == (0, "No training of this run has ended.\n", said)
    assert flipgrad("health", tmp_path / "run", "--json") == (0, "[]\n", said)


def test_a_run_that_is_not_finished_tells_of_what_has_ended(run, flipgrad):
    (run / "done").unlink()
    rows = json.loads((run / "results.json").read_text())
    (run / "results.json").write_text(json.dumps(rows[:1]))
    code, out, err = flipgrad("health", run)
    said = f"flipgrad: {run}: the run is not finished; these are its trainings so far\n"
    assert (code, err) == (0, f"Looking at source, seed 0\n{said}")
    assert "source, seed 0: " in out
    assert "dann" not in out


def other_model(run, **arguments):
    model_of(**arguments).save(run / "models" / "dann-0.keras")


def other_rows(run, **changes):
    recording.write(run / "observations" / "inputs.npz", dataclasses.replace(held_out(), **changes))


SPOILT = {
    "no observations": (lambda run: shutil.rmtree(run / "observations"), "inputs.npz: missing"),
    "damaged observations": (lambda run: (run / "observations/inputs.npz").write_bytes(b"PK"), "inputs.npz: "),
    "no models": (lambda run: shutil.rmtree(run / "models"), "source-0.keras: "),
    "a damaged model": (lambda run: (run / "models/source-0.keras").write_bytes(b"PK"), "source-0.keras: "),
    "a model of another width": (lambda run: other_model(run, width=5), "dann-0.keras: does not fit"),
    "a model of fewer classes": (lambda run: other_model(run, classes=2), "dann-0.keras: does not fit"),
    "a model that is no DANN": (lambda run: other_model(run, kind="plain"), "dann-0.keras: expected a model"),
    "rows of another kind": (
        lambda run: other_rows(run, source_x=np.zeros((30, 2, 2)), target_x=np.zeros((30, 2, 2))),
        "source-0.keras: does not fit",
    ),
    "damaged results": (lambda run: (run / "results.json").write_text('[{"mode": 5}]'), "results.json: expected"),
    "a damaged diagnosis": (lambda run: (run / "health.json").write_text('[{"mode": 5}]'), "health.json: expected"),
    "a diagnosis of nonsense": (lambda run: (run / "health.json").write_text(HOSTILE["no rows"]), "health.json: "),
    "no run": (lambda run: (run / "config.json").unlink(), "config.json"),
    "no folder": (shutil.rmtree, "run: "),
}  # fmt: skip


@pytest.mark.parametrize("name", SPOILT)
def test_what_cannot_be_looked_at_is_refused_in_one_line(run, flipgrad, name):
    spoil, expected = SPOILT[name]
    spoil(run)
    before = sorted(path.name for path in run.glob("*"))
    refused(flipgrad("health", run), expected)
    assert sorted(path.name for path in run.glob("*")) == before  # nothing half-written


def test_a_backend_that_there_is_not(run, flipgrad):
    refused(flipgrad("health", run, "--backend", "theano"), "--backend", "theano")


def test_thousands_of_diagnoses(run, flipgrad):
    (run / "health.json").write_text(json.dumps([entry(seed=seed) for seed in range(3000)] + [entry(mode="source")]))
    code, out, err = flipgrad("health", run)
    assert (code, err) == (0, "")
    assert out.count("dann, seed ") == 3000


# The page ----------------------------------------------------------------------------------------------------------


def test_the_page_has_the_verdicts_that_the_command_prints(run, flipgrad):
    """Drawn anew from the measures: words that somebody put into the file are not shown."""
    assert flipgrad("health", run)[0] == 0
    entries = json.loads((run / "health.json").read_text())
    for each in entries:
        each["verdicts"] = [{"name": "all is well", "evidence": {}, "meaning": "<b>Trust me.</b>", "advice": "Buy."}]
    (run / "health.json").write_text(json.dumps(entries))
    page = write(run).read_text()
    for verdict in records.diagnoses(records.read(run))["dann", 0]:
        assert verdict.name in page
        assert verdict.meaning in page
    for word in ("all is well", "Trust me", "Buy."):
        assert word not in page
        assert word not in flipgrad("health", run)[1]


@pytest.mark.parametrize("name", ["no rows", "text", "deep", "a mode of markup"])
def test_a_page_without_a_diagnosis_says_why(run, name):
    (run / "health.json").write_text(HOSTILE[name])
    assert "not readable" in write(run).read_text()
