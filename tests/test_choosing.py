"""The epoch that is kept: by labelled rows of the target, or by a score without; also after an interruption."""

import keras
import numpy as np
import pytest

from flipgrad.callbacks import LabelFreeCheckpoint
from flipgrad.choosing import BestEpoch
from flipgrad.errors import InputError
from flipgrad.inputs import Classes, InputFormat
from flipgrad.networks import default_encoder
from flipgrad.observation import observe
from flipgrad.recipe import Recipe, training_of
from flipgrad.recording import Recorder, Recording, read, sample
from flipgrad.runs import Run
from flipgrad.scores import DEFAULT, SCORES
from flipgrad.trained import Trained
from flipgrad.training import Reporter, seeded
from flipgrad.training_runs import train_and_record


@pytest.fixture(scope="module")
def problem():
    """Noisy classes whose best epoch is hardly ever the last."""
    random = np.random.default_rng(0)
    y = np.arange(200) % 2
    x = (random.normal(scale=2.0, size=(200, 5)) + np.stack([2 * y - 1] + [0 * y] * 4, 1)).astype("float32")
    return (x, y), (x + 1, y)


def _job(problem, known=90):
    source, (xt, yt) = problem
    recipe = Recipe(epochs=12, batch_size=16, learning_rate=0.01)
    with seeded(0):
        return training_of(recipe, default_encoder((5,)), 2, source, xt, target_labelled=(xt[:known], yt[:known]))


def _keeping_job(problem):
    source, (xt, _) = problem
    recipe = Recipe(epochs=12, batch_size=16, learning_rate=0.01, strength=1.0, keep="best")
    rows = [part[:140] for part in (*source, xt)]
    held_out = tuple(part[140:] for part in (*source, xt))
    with seeded(0):
        return training_of(recipe, default_encoder((5,)), 2, tuple(rows[:2]), rows[2], held_out=held_out)


def _weights(model):
    return [keras.ops.convert_to_numpy(weight.value) for weight in model.weights]


def test_the_best_epoch_is_kept_and_of_equal_ones_the_last():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, use_bias=False)])
    best = BestEpoch((np.eye(2, dtype="float32"), np.arange(2)))
    best.set_model(model)
    wrong, half, right = np.eye(2)[::-1], np.array([[1, 0], [1, 0]]), np.eye(2)
    logs = {}
    for epoch, kernel in enumerate((wrong, right, 2 * right, half)):
        model.set_weights([kernel.astype("float32")])
        best.on_epoch_end(epoch, logs)
    assert best.values == [0.0, 1.0, 1.0, 0.5]
    assert logs == {"target_labelled_accuracy": 0.5}
    assert best.best_epoch == 2
    best.restore()
    np.testing.assert_array_equal(model.get_weights()[0], 2 * right)


KINDS = {"labelled": (_job, BestEpoch), "best": (_keeping_job, LabelFreeCheckpoint)}


@pytest.fixture(scope="module")
def whole(problem):
    """Kind -> (a training that was never interrupted, its outcome)."""
    jobs = {kind: of(problem) for kind, (of, _) in KINDS.items()}
    return {kind: (job, job.run("", Reporter())) for kind, job in jobs.items()}


def test_the_model_is_that_of_the_chosen_epoch(whole):
    job, outcome = whole["labelled"]
    assert len(job.choosing[1]) == 30
    assert len(job.target_labelled[1]) == 60
    assert not {row.tobytes() for row in job.choosing[0]} & {row.tobytes() for row in job.target_labelled[0]}
    values = outcome.history["target_labelled_accuracy"]
    assert len(values) == 12
    assert outcome.chosen == 12 - values[::-1].index(max(values))
    logits = keras.ops.convert_to_numpy(job.model(job.choosing[0], training=False))
    assert (logits.argmax(1) == job.choosing[1]).mean() == max(values)


def test_few_rows_are_all_trained_on_and_choose_nothing(problem):
    job = _job(problem, known=59)
    assert job.choosing is None
    assert len(job.target_labelled[1]) == 59
    assert job.run("", Reporter()).chosen is None


def test_the_model_is_that_of_the_best_epoch_without_labels(whole):
    job, outcome = whole["best"]
    values, accuracies = (outcome.history[f"score_{name}"] for name in (DEFAULT, "source_accuracy"))
    fit = [epoch for epoch in range(12) if accuracies[epoch] >= max(accuracies) - 0.02]
    assert outcome.chosen == 1 + max(fit, key=lambda epoch: (values[epoch], accuracies[epoch], -epoch))
    assert outcome.chosen < 12
    x, y, target = job.held_out
    seen = observe(job.model, (x, y), target)
    assert SCORES[DEFAULT].function(seen) == pytest.approx(values[outcome.chosen - 1])
    assert "target_labelled_accuracy" not in outcome.history


def test_labelled_rows_decide_before_a_score_and_source_only_keeps_its_last(problem):
    source, (xt, yt) = problem
    held_out = (*source, xt)
    for changes, known, expected in (
        ({}, 90, (30, False)),
        ({}, 30, (None, True)),
        ({"mode": "source"}, 0, (None, False)),
    ):
        with seeded(0):
            job = training_of(
                Recipe(epochs=1, keep="best", **changes), default_encoder((5,)), 2, source, xt,
                target_labelled=(xt[:known], yt[:known]) if known else None, held_out=held_out,
            )  # fmt: skip
        assert (job.choosing and len(job.choosing[1]), job.keep_best) == expected


def test_the_last_frame_of_the_record_is_that_of_the_kept_epoch(problem, whole, tmp_path):
    """Also where twelve frames of a training do not have that epoch."""
    job = _keeping_job(problem)
    x, y, target = job.held_out
    rows = sample((x, y), (target,), ["a", "b"])
    job.recorder = Recorder(rows, tmp_path / "dann-0.npz", tmp_path / "raw", most=2)
    outcome = job.run("", Reporter())
    assert outcome.chosen == whole["best"][1].chosen
    kept = read(tmp_path / "dann-0.npz", Recording)
    assert kept.epochs.tolist() == [0, outcome.chosen, 12]
    seen = observe(job.model, (rows.source_x, rows.source_y), rows.target_x)
    until = kept.until(outcome.chosen)
    assert until.epochs.tolist() == [0, outcome.chosen]
    assert until.strength.shape == kept.strength.shape == (13,)
    np.testing.assert_allclose(until.target_logits[-1], seen.target.logits, rtol=1e-5, atol=1e-5)
    assert np.abs(kept.target_logits[-1] - seen.target.logits).max() > 0.1


def test_no_epoch_with_a_score_is_said(problem):
    job = _keeping_job(problem)
    job.model.classifier.trainable = False  # it goes on to predict one class
    job.held_out = tuple(part[:1] for part in job.held_out)
    said = []
    reporter = Reporter()
    reporter.line = said.append
    assert job.run("dann", reporter).chosen is None
    assert said[-1:] == ["dann: no epoch has a score to choose it by; the last one is kept"]


@pytest.mark.parametrize("held_out", [None, (np.zeros((0, 5)), np.zeros(0), np.zeros((3, 5)))])
def test_nothing_to_choose_the_best_epoch_by(problem, held_out):
    source, (xt, _) = problem
    with seeded(0), pytest.raises(InputError, match=r"`keep`: expected rows of both domains held out"):
        training_of(Recipe(keep="best"), default_encoder((5,)), 2, source, xt, held_out=held_out)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stopped", [1, 5, 11])
def test_interrupted_and_resumed_it_is_the_same(problem, whole, tmp_path, kind, stopped):
    (of, callback), (uninterrupted, expected) = KINDS[kind], whole[kind]
    job = of(problem)
    job.checkpoint = tmp_path / "dann-0.npz"
    on_epoch_end = callback.on_epoch_end

    def killed(self, epoch, logs=None):  # after the weights of the best epoch, before the checkpoint
        on_epoch_end(self, epoch, logs)
        if epoch == stopped:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(callback, "on_epoch_end", killed)
        with pytest.raises(KeyboardInterrupt):
            job.run("", Reporter())
    again = of(problem)
    again.checkpoint = tmp_path / "dann-0.npz"
    resumed = again.run("", Reporter())
    assert resumed.history == expected.history
    assert resumed.chosen == expected.chosen
    for one, other in zip(_weights(uninterrupted.model), _weights(again.model), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_training_that_diverges_keeps_no_epoch(problem, tmp_path):
    """Also where labelled rows had chosen a good one before: there is no model, and who asks for it is told why."""
    form = InputFormat("arrays", (5,), Classes(("a", "b")), {"dtype": "float32"})
    with (
        seeded(0),
        Run.create(tmp_path / "run", {"experiment": "adapt", "settings": {}, "input": form.to_dict()}) as run,
    ):
        job = _job(problem)
        good = 6 * job.log_every
        rates = keras.optimizers.schedules.PiecewiseConstantDecay([good], [0.01, 1e30])
        job.optimizer = keras.optimizers.SGD(rates)
        train_and_record(job, "dann", run, Reporter(), score=lambda: pytest.fail("scored"))
        run.finish()
    (row,) = run.rows
    assert good < row["diverged"] <= 12 * job.log_every
    assert row["target_accuracy"] is None
    assert "chosen_epoch" not in row
    assert max(run.histories["dann", 0]["target_labelled_accuracy"][:6]) > 0.6  # which the user still can see
    assert list((run.path / "models").iterdir()) == []
    assert not (run.path / "checkpoints").exists()
    with pytest.raises(InputError, match=r"diverged at step \d+, so it has no model; train again with a smaller"):
        Trained.open(run.path)


def test_weights_that_cannot_be_read_or_written_are_named(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    rows = np.eye(2, dtype="float32"), np.arange(2)
    best = BestEpoch(rows, tmp_path / "a" / "b" / "best.npz")
    best.set_model(model)
    with pytest.raises(InputError, match="cannot write the weights of the best epoch"):
        best.on_epoch_end(0, {})
    with pytest.raises(InputError, match="expected the weights of the best epoch, found none"):
        best.restore()


@pytest.mark.parametrize("damage", ["cut short", "empty", "odd", "missing", "other names", "fewer", "other shapes"])
def test_a_damaged_file_is_found_before_the_training_goes_on(problem, tmp_path, damage):
    path = tmp_path / "best.npz"
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    good = BestEpoch((np.eye(2, dtype="float32"), np.arange(2)), path)
    good.set_model(model)
    good.on_epoch_end(0, {})
    content = path.read_bytes()
    kernel, bias = model.get_weights()
    made = {"other names": {"a": kernel}, "fewer": {"arr_0": kernel}, "other shapes": {"arr_0": bias, "arr_1": kernel}}
    if damage in made:
        np.savez(path, **made[damage])
    elif damage == "missing":
        path.unlink()
    else:
        path.write_bytes({"cut short": content[: len(content) // 2], "empty": b"", "odd": b"PK odd"}[damage])
    again = BestEpoch(good.rows, path, before=[0.5])
    again.set_model(model)
    for reads in (again.on_train_begin, again.restore):
        with pytest.raises(InputError, match=r"best\.npz: ") as caught:
            reads()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_what_another_training_has_left_is_no_hindrance(problem, whole, tmp_path, kind):
    """The weights of a best epoch, damaged, of a training whose checkpoint is gone."""
    job = KINDS[kind][0](problem)
    job.checkpoint = tmp_path / "dann-0.npz"
    (tmp_path / "dann-0.best.npz").write_bytes(b"damaged")
    assert job.run("", Reporter()).chosen == whole[kind][1].chosen
