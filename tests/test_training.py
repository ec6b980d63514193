"""What the experiments share: scores, collapse, divergence, resuming by (mode, seed)."""

import dataclasses
from contextlib import nullcontext

import keras
import numpy as np
import pytest

import flipgrad as fg
from flipgrad import data, recording, scoring, training, training_runs
from flipgrad.experiments import blobs, digits
from flipgrad.health import records
from flipgrad.runs import Run

pytestmark = pytest.mark.usefixtures("no_figures")


@pytest.mark.parametrize("steps", [1, 7, 40, 8600, 10_000, 18_760])
def test_log_interval_divides_the_run(steps):
    interval = training.log_interval(steps)
    assert steps % interval == 0
    if steps >= 40:
        assert 10 <= steps // interval <= 30


def test_merged_share_of_mixed_and_of_distant_domains():
    random = np.random.default_rng(0)
    source, target = random.normal(size=(2, 200, 3))
    assert blobs.merged_share(source, target) == pytest.approx(0.5, abs=0.04)
    assert blobs.merged_share(source, target + 100) == 0.0


def test_merged_share_leaves_the_point_itself_out():
    source = np.array([[0.0], [10.0]])
    target = np.array([[0.1], [10.1]])
    assert blobs.merged_share(source, target, neighbours=1) == 1.0


def test_a_constant_classifier_is_reported_as_collapsed():
    source, target = data.blobs(0)
    model = blobs.build(blobs.PRESETS["seed"], "dann")
    last = model.classifier.layers[-1]
    last.set_weights([np.zeros((15, 2)), np.array([1.0, 0.0])])
    scores = scoring.evaluate(model, source, target)
    assert scores["collapsed"] is True
    assert scores["source_accuracy"] == 0.5
    unit = int(scoring.outputs(model.encoder, source.x).var(axis=0).argmax())
    middle = np.median(scoring.outputs(model.encoder, source.x)[:, unit])
    last.set_weights([np.eye(15)[:, [unit, unit]] * [1.0, 0.0], np.array([-middle, 0.0])])
    assert scoring.evaluate(model, source, target)["collapsed"] is False


def test_a_diverging_training_is_recorded_and_the_others_go_on(tmp_path, monkeypatch):
    build, built = digits.build, []

    def first_one_broken(settings, mode):
        model = build(settings, mode)
        if not built:
            kernel = model.classifier.layers[-1].kernel
            kernel.assign(np.full(kernel.shape, np.nan, "float32"))
        built.append(model)
        return model

    monkeypatch.setattr(digits, "build", first_one_broken)
    settings = dataclasses.replace(digits.PRESETS["default"], modes=("dann",), seeds=(0, 1), steps=40, batch_size=16)
    pair = data.digits(seed=0)
    sums = data.checksums({"source_train": pair.source.train.x, "target_train": pair.target.train.x})
    config = training_runs.run_config("digits", dataclasses.asdict(settings), sums)
    with Run.create(tmp_path / "run", config) as folder:  # died after writing a model, before its row
        folder.model_path("dann", 0).write_bytes(b"of another training")
    rows = digits.run(settings, tmp_path / "run", resume=True)
    first, second = rows
    assert first["diverged"] == 1
    assert first["target_accuracy"] is None
    assert second["diverged"] is None
    assert second["target_accuracy"] > 0
    folder = Run.open(tmp_path / "run")
    assert folder.done
    assert [path.name for path in (folder.path / "models").iterdir()] == ["dann-1.keras"]
    assert digits.run(settings, tmp_path / "run", resume=True) == rows


def test_a_learning_rate_out_of_range_stops_at_its_step(tmp_path):
    settings = dataclasses.replace(
        digits.PRESETS["default"], modes=("source",), steps=200, batch_size=16, learning_rate=1e15
    )
    (row,) = digits.run(settings, tmp_path / "run")
    assert 1 < row["diverged"] <= 40
    assert len(Run.open(tmp_path / "run").histories["source", 0]["loss"]) < 20  # it did not go on to the end


def test_an_unfinished_run_goes_on_where_it_was(tmp_path):
    settings = dataclasses.replace(blobs.PRESETS["seed"], modes=("source", "dann"), steps=40)
    folder = tmp_path / "run"

    class Stop(training.Reporter):
        def training(self, title, steps):
            if "dann" in title:
                raise KeyboardInterrupt
            return super().training(title, steps)

    with pytest.raises(KeyboardInterrupt):
        blobs.run(settings, folder, reporter=Stop())
    first = Run.open(folder).rows
    assert [row["mode"] for row in first] == ["source"]
    rows = blobs.run(settings, folder, resume=True)
    assert rows[0] == first[0]
    assert [row["mode"] for row in rows] == ["source", "dann"]
    assert Run.open(folder).done


def test_the_same_seed_gives_the_same_result(tmp_path):
    settings = dataclasses.replace(blobs.PRESETS["seed"], modes=("dann",), steps=200)
    rows = [blobs.run(settings, tmp_path / name)[0] for name in ("a", "b")]
    for row in rows:
        row.pop("seconds")
    assert rows[0] == rows[1]


@pytest.mark.parametrize("fails", [False, True])
def test_the_precision_of_a_training_is_not_left_behind(tmp_path, monkeypatch, fails):
    seen = []
    build = blobs.build

    def looked(settings, mode):
        seen.append(keras.config.dtype_policy().name)
        if fails:
            raise KeyboardInterrupt
        return build(settings, mode)

    monkeypatch.setattr(blobs, "build", looked)
    settings = dataclasses.replace(blobs.PRESETS["seed"], modes=("source",), steps=40, precision="mixed_bfloat16")
    with pytest.raises(KeyboardInterrupt) if fails else nullcontext():
        blobs.run(settings, tmp_path / "run")
    assert seen == ["mixed_bfloat16"]
    assert keras.config.dtype_policy().name == "float32"


def test_domain_mode_reports_no_class_accuracy(tmp_path):
    settings = dataclasses.replace(blobs.PRESETS["seed"], modes=("domain", "source"), steps=2000)
    domain, source = blobs.run(settings, tmp_path / "run")
    alone = blobs.run(dataclasses.replace(settings, modes=("domain",), steps=40), tmp_path / "alone")
    assert alone[0]["source_accuracy"] is None
    assert Run.open(tmp_path / "alone").done
    assert [mode for mode, _ in records.read(tmp_path / "run")] == ["source"]  # of no classes there is no diagnosis
    assert domain["source_accuracy"] is None
    assert domain["target_accuracy"] is None
    assert domain["domain_accuracy"] > 0.95
    assert source["domain_accuracy"] is None
    assert source["source_accuracy"] > 0.95
    assert "accuracy" not in {
        name
        for name, values in Run.open(tmp_path / "run").histories[("domain", 0)].items()
        if any(v is not None for v in values)
    }


def test_weights_that_are_not_finite_are_told_though_the_loss_is(tmp_path):
    model = digits.build(digits.PRESETS["default"], "source")
    kernel = model.encoder.layers[1].kernel
    kernel.assign(np.full(kernel.shape, np.nan, "float32"))
    pair = data.digits(seed=0, copies=1)
    optimizer = "sgd"
    job = training.Training(model, pair.source.validation, None, optimizer, 16, 40, 20, 20, 0)
    outcome = job.run("test", training.Reporter())
    assert outcome.diverged == 20


@pytest.mark.parametrize(("falls", "diverged"), [((2,), None), ((1, 2, 3, 4, 5), 100)])
def test_a_training_that_falls_over_goes_back_four_times(tiny, falls, diverged):
    """NaN appears behind the last step of some epochs of 20 steps."""
    lines = []

    class Spoil(training.Reporter):
        def line(self, text):
            lines.append(text)

        def training(self, title, steps):
            left = set(falls)

            def show(done, logs):
                if done // 20 in left:  # told twice: by the step, and by the end of the epoch
                    left.remove(done // 20)
                    kernel = job.model.classifier.layers[-1].kernel
                    kernel.assign(np.full(kernel.shape, np.nan, "float32"))

            return nullcontext(show)

    ids, classes = np.arange(28).astype(str), np.array(["a", "b", "c"])
    observed = recording.Inputs(tiny.xs, tiny.ys, ids, tiny.xt, ids[:20], classes)
    model = fg.DANN(tiny.encoder(), tiny.classifier(), tiny.discriminator())
    job = training.Training(
        model, (tiny.xs, tiny.ys), tiny.xt, "sgd", 4, 120, 20, steps_per_execution=20, seed=0, observed=observed
    )
    outcome = job.run("blobs dann, seed 0", Spoil())
    back_offs = min(len(falls), 4)
    assert outcome.diverged == diverged
    assert outcome.history["back_offs"][-1] == back_offs
    assert len(outcome.history["loss"]) == (6 if diverged is None else 5)
    assert outcome.measures.finite is (diverged is None)
    assert len(lines) == back_offs
    assert all(line.startswith("blobs dann, seed 0: epoch ") for line in lines)
