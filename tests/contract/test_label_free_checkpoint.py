"""The best epoch is kept without target labels, exactly, on every backend."""

import itertools
import math

import keras
import numpy as np
import pytest

import flipgrad as fg
from flipgrad._guarded import Seen, contenders, pick, waited
from flipgrad.callbacks import LabelFreeCheckpoint
from flipgrad.checkpoint import Checkpoint, restore
from flipgrad.errors import InputError
from flipgrad.observation import observe
from flipgrad.scores import SCORES, Score

EPOCHS = 6


def own(values):
    """A score that has these values in turn; of None it says that there is none."""
    values = iter(values)

    def function(seen):
        value = next(values)
        if value is None:
            raise InputError("one class predicted for all")
        return value

    return Score("own", function, True, "these tests")


class Every(keras.callbacks.Callback):
    """All weights of all epochs, to compare with."""

    def __init__(self):
        super().__init__()
        self.weights = []

    def on_epoch_end(self, epoch, logs=None):
        self.weights.append(self.model.get_weights())


class PowerCut(keras.callbacks.Callback):
    def __init__(self, epoch):
        super().__init__()
        self.last = epoch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.last:
            raise KeyboardInterrupt


@pytest.fixture
def problem(tiny):
    """A function: fits a new tiny model with callbacks; the callback's arguments; the model."""

    def fit(*callbacks, model=None, **arguments):
        model = model or tiny.model(optimizer=keras.optimizers.SGD(0.5), compiled=tiny.quick)
        arguments = {"epochs": EPOCHS, **arguments}
        return model, model.fit(tiny.pairs(), callbacks=list(callbacks), verbose=0, **arguments).history

    return fit


def rows(tiny):
    return (tiny.xs, tiny.ys), tiny.xt


def predictions(model, weights=None):
    """What the model gives for rows: only of weights that predictions depend on."""
    if weights is not None:
        model.set_weights(weights)
    return model.predict(np.linspace(-1, 1, 12).reshape(4, 3).astype("float32"), verbose=0)


@pytest.mark.parametrize(("score", "guard"), [("v_measure", 0.1), ("entropy", 0.3), ("snd", 0.0), ("dev", 1.0)])
def test_the_best_epoch_is_restored(tiny, problem, score, guard):
    keep, every = LabelFreeCheckpoint(*rows(tiny), score, guard), Every()
    model, history = problem(keep, every)
    values, accuracies = np.array(history[f"score_{score}"]), np.array(history["score_source_accuracy"])
    assert len(values) == len(accuracies) == EPOCHS
    # The same by hand, over all epochs.
    signed = SCORES[score].goodness(1.0) * values
    inside = (accuracies >= np.nanmax(accuracies) - guard - 1e-9) & ~np.isnan(signed)
    best = max(np.flatnonzero(inside), key=lambda e: (signed[e], accuracies[e], -e))
    assert keep.best_epoch == best
    assert [row[score] for row in keep.table] == pytest.approx(list(values), nan_ok=True)
    np.testing.assert_array_equal(predictions(model), predictions(tiny.model(compiled=tiny.quick), every.weights[best]))


def test_the_score_is_that_of_the_restored_model(tiny, problem):
    keep = LabelFreeCheckpoint(*rows(tiny), "information_maximisation", guard=1.0)
    model, history = problem(keep)
    assert keep.best_epoch == np.nanargmax(history["score_information_maximisation"])
    value = SCORES["information_maximisation"].function(observe(model, *rows(tiny)))
    assert value == pytest.approx(max(history["score_information_maximisation"]), rel=1e-6)


def test_counters_and_the_last_weights_stay(tiny, problem):
    first = own(itertools.count(0, -1))  # the first epoch is the best
    keep = LabelFreeCheckpoint(*rows(tiny), first, guard=1.0)
    model, _ = problem(keep)
    assert keep.best_epoch == 0
    assert int(model.step.value) == EPOCHS * tiny.steps
    every = Every()
    keep = LabelFreeCheckpoint(*rows(tiny), own(itertools.count(0, -1)), guard=1.0, restore_best=False)
    model, _ = problem(keep, every)
    np.testing.assert_array_equal(predictions(model), predictions(tiny.model(compiled=tiny.quick), every.weights[-1]))
    keep.restore()
    np.testing.assert_array_equal(predictions(model), predictions(tiny.model(compiled=tiny.quick), every.weights[0]))


def test_looking_changes_nothing(tiny, problem):
    every, alone = Every(), Every()
    problem(LabelFreeCheckpoint(*rows(tiny)), every)
    problem(alone)
    for a, b in zip(every.weights, alone.weights, strict=True):
        for one, other in zip(a, b, strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_running_mean_of_the_weights_is_what_is_looked_at(tiny):
    def ema(*callbacks, epochs=3):
        optimizer = keras.optimizers.SGD(0.5, use_ema=True, ema_momentum=0.8)
        model = tiny.model(optimizer=optimizer, strength=0.5, compiled=tiny.quick)
        history = model.fit(tiny.pairs(), epochs=epochs, callbacks=list(callbacks), verbose=0).history
        return model, history

    last = own(itertools.count())  # the last epoch is the best
    every, alone = Every(), Every()
    kept, _ = ema(LabelFreeCheckpoint(*rows(tiny), last, guard=1.0), every)
    plain, _ = ema(alone)
    np.testing.assert_array_equal(predictions(kept), predictions(plain))  # fit leaves the mean
    for a, b in zip(every.weights[-1], alone.weights[-1], strict=True):  # training went on from its own weights
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(predictions(kept), predictions(tiny.model(compiled=tiny.quick), every.weights[-1]))


def test_an_interrupted_training_ends_as_one_that_never_stopped(tiny, problem, tmp_path):
    def callbacks(folder):
        folder.mkdir(exist_ok=True)
        keep = LabelFreeCheckpoint(*rows(tiny), "bnm", guard=0.2, path=folder / "kept.npz", patience=20)
        return keep, Checkpoint(folder / "checkpoint.npz")

    whole, saved = callbacks(tmp_path / "whole")
    model, _ = problem(whole, saved)
    for epoch in (1, 3, EPOCHS - 1):
        folder = tmp_path / str(epoch)
        with pytest.raises(KeyboardInterrupt):
            problem(*callbacks(folder), PowerCut(epoch))
        again = tiny.model(optimizer=keras.optimizers.SGD(0.5), compiled=tiny.quick, seed=5)
        first, _ = restore(folder / "checkpoint.npz", again)
        keep, checkpoint = callbacks(folder)
        problem(keep, checkpoint, model=again, initial_epoch=first)
        assert repr(keep.table) == repr(whole.table)  # NaN, which equals nothing, where there is no score
        assert keep.best_epoch == whole.best_epoch
        assert repr(checkpoint.history) == repr(saved.history)
        np.testing.assert_array_equal(predictions(again), predictions(model))
    # Interrupted after the last epoch, before the end of fit.
    again = tiny.model(optimizer=keras.optimizers.SGD(0.5), compiled=tiny.quick, seed=5)
    first, _ = restore(tmp_path / "whole" / "checkpoint.npz", again)
    keep, checkpoint = callbacks(tmp_path / "whole")
    problem(keep, checkpoint, model=again, initial_epoch=first)
    assert first == EPOCHS
    assert repr(keep.table) == repr(whole.table)
    np.testing.assert_array_equal(predictions(again), predictions(model))


def test_a_new_training_begins_anew(tiny, problem, tmp_path):
    path = tmp_path / "kept.npz"
    keep = LabelFreeCheckpoint(*rows(tiny), path=path, guard=1.0)
    problem(keep)
    problem(keep, epochs=2)
    assert [row["epoch"] for row in keep.table] == [0, 1]
    other = LabelFreeCheckpoint(*rows(tiny), path=path, guard=1.0)
    problem(other, epochs=1)  # overwrites the file of two epochs
    assert [row["epoch"] for row in other.table] == [0]


def test_other_files_are_refused(tiny, problem, tmp_path):
    path = tmp_path / "kept.npz"
    problem(LabelFreeCheckpoint(*rows(tiny), path=path, guard=1.0), epochs=2)

    def refused(match, **arguments):
        keep = LabelFreeCheckpoint(*rows(tiny), path=path, **{"guard": 1.0, **arguments})
        with pytest.raises(InputError, match=match) as caught:
            problem(keep, initial_epoch=2)
        assert "\n" not in str(caught.value)

    refused("now {'score': 'bnm'", score="bnm")
    refused("'guard': 1.0}, now .*'guard': 0.5", guard=0.5)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    refused("cut short")
    np.savez(path, x=np.zeros(3))
    refused("not a file of LabelFreeCheckpoint")
    np.savez(path, format=1, about="{}")
    refused("damaged")
    wider = fg.DANN(tiny.encoder(units=9), tiny.classifier(), tiny.discriminator())
    wider.compile("sgd", **tiny.quick)
    problem(LabelFreeCheckpoint(*rows(tiny), path=path, guard=1.0), model=wider, epochs=2)
    refused("of another model")


def test_bfloat16_weights_survive_the_file(tiny, problem, tmp_path):
    keras.config.set_dtype_policy("bfloat16")
    path = tmp_path / "kept.npz"
    keep = LabelFreeCheckpoint(*rows(tiny), own([1.0, 2.0]), path=path, guard=1.0)
    model, _ = problem(keep, epochs=2)
    keep = LabelFreeCheckpoint(*rows(tiny), own([1.0, 2.0]), path=path, guard=1.0)
    again, _ = problem(keep, epochs=2, initial_epoch=2)
    np.testing.assert_array_equal(predictions(model), predictions(again))


def test_every_so_often_and_at_the_end(tiny, problem):
    keep = LabelFreeCheckpoint(*rows(tiny), own([0.5, 0.25]), every=3)
    _, history = problem(keep, epochs=5)
    assert [row["epoch"] for row in keep.table] == [2, 4]
    assert np.isnan(history["score_own"]).tolist() == [True, True, False, True, False]
    assert np.isnan(history["score_source_accuracy"]).tolist() == [True, True, False, True, False]


def test_patience(tiny, problem):
    values = [1.0, 3.0, 2.0, 2.5, 9.0, 9.0]
    keep = LabelFreeCheckpoint(*rows(tiny), own(values), guard=1.0, patience=2)
    _, history = problem(keep)
    assert history["score_own"] == values[:4]
    assert keep.best_epoch == 1


def test_early_stopping_of_keras_reads_the_score(tiny, problem):
    values = [1.0, 3.0, 2.0, 2.5, 9.0, 9.0]
    keep = LabelFreeCheckpoint(*rows(tiny), own(values), guard=1.0)
    _, history = problem(keep, keras.callbacks.EarlyStopping("score_own", mode="max", patience=1))
    assert history["score_own"] == values[:3]


def test_an_epoch_without_a_score_is_never_kept(tiny, problem):
    keep = LabelFreeCheckpoint(*rows(tiny), own([None, None, -1e9, None, None, None]), guard=1.0)
    _, history = problem(keep)
    assert keep.best_epoch == 2
    assert np.isnan(history["score_own"]).sum() == EPOCHS - 1


def test_a_training_that_diverges_keeps_what_was_good(tiny, problem):
    class Break(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                self.model.optimizer.learning_rate = float("nan")

    keep = LabelFreeCheckpoint(*rows(tiny), guard=1.0)
    model, history = problem(Break(), keep, epochs=4)
    assert np.isnan(history["score_source_accuracy"][-1])
    assert keep.best_epoch in (0, 1)
    assert np.isfinite(predictions(model)).all()
    assert int(model.first_bad_step.value) >= 0  # what the training says of itself stays


def test_no_epoch_at_all(tiny, problem):
    keep = LabelFreeCheckpoint(*rows(tiny), own([None, None]))
    every = Every()
    with pytest.warns(UserWarning, match="no epoch has a score, the last weights stay: one class predicted for all"):
        model, _ = problem(keep, every, epochs=2)
    assert keep.best_epoch is None
    np.testing.assert_array_equal(predictions(model), predictions(tiny.model(compiled=tiny.quick), every.weights[-1]))


# Which weights must be kept -----------------------------------------------------------------------------------------


def test_what_is_kept_is_enough_and_little():
    """Over many trainings drawn at random, the final pick was kept at every moment since it was seen."""
    random = np.random.default_rng(0)
    for _ in range(300):
        n, guard = int(random.integers(5, 40)), float(random.choice([0.0, 0.02, 0.1, 0.5]))
        values = np.where(random.random(15) < 0.1, np.nan, random.integers(0, 6, 15) / 2)
        accuracies = np.where(random.random(15) < 0.1, np.nan, random.integers(0, n + 1, 15) / n)
        seen, kept = {}, set()
        for epoch in range(15):
            seen[epoch] = Seen(float(values[epoch]), float(accuracies[epoch]))
            front = contenders(seen, guard)
            kept = (kept | {epoch}) & front
            assert front <= kept, "an epoch whose weights are gone"
            assert pick(seen, guard) in {*kept, None}
            assert len(kept) <= 1 + math.floor(guard * n + 1e-9)
            best_accuracy = max((a for a in accuracies[: epoch + 1] if a == a), default=2.0)
            by_hand = [
                e for e in range(epoch + 1) if not np.isnan(values[e]) and accuracies[e] >= best_accuracy - guard - 1e-9
            ]
            best = max(by_hand, key=lambda e: (values[e], accuracies[e], -e), default=None)
            assert pick(seen, guard) == best


def test_an_earlier_epoch_comes_back():
    """The best source accuracy rises, so that the present pick falls and one before it is the best again."""
    seen = {0: Seen(1.0, 0.97), 1: Seen(2.0, 0.94), 2: Seen(9.0, 0.93)}
    assert pick(seen, 0.05) == 2
    assert contenders(seen, 0.05) == {0, 1, 2}
    seen[3] = Seen(0.5, 0.985)
    assert pick(seen, 0.05) == 1
    assert contenders(seen, 0.05) == {0, 1, 3}
    assert waited(seen, 0.05) == 1


# What is refused ----------------------------------------------------------------------------------------------------


def test_arguments_are_checked(tiny):
    source, target = rows(tiny)
    for match, arguments in {
        "held-out rows of the source": {"source": tiny.xs},
        "expected equally many rows in every part": {"source": (tiny.xs, tiny.ys[:-1])},
        "expected at least one row": {"source": (tiny.xs[:0], tiny.ys[:0])},
        "encode strings": {"source": (tiny.xs, np.array(list("ab") * 9 + ["a"] * 10)[: len(tiny.xs)])},
        "`source`, x: expected an array of held-out rows, received 3": {"source": (3, tiny.ys)},
        "`target`: expected an array of held-out rows, received None": {"target": None},
        "leave the labels out": {"target": (tiny.xt, np.zeros(20))},
        "`target`, x: expected at least one row": {"target": tiny.xt[:0]},
        "expected one of source_accuracy": {"score": "accuracy"},
        "`guard` must be 0 or greater and at most 1; received -1": {"guard": -1},
        "`guard` must be 0 or greater and at most 1; received 2; two points are 0.02": {"guard": 2},
        "`every` must be greater than 0 and whole; received 0": {"every": 0},
        "`patience` must be greater than 0 and whole; received 1.5": {"patience": 1.5},
    }.items():
        with pytest.raises(InputError) as caught:
            LabelFreeCheckpoint(**{"source": source, "target": target, **arguments})
        assert match in str(caught.value)
        assert "\n" not in str(caught.value)


def test_what_the_model_does_not_take_is_refused_before_it_is_trained(tiny, problem):
    missing = tiny.xs.copy()
    missing[3] = np.nan
    for match, source, target in (
        ("classes 0 to 2, received ", (tiny.xs, tiny.ys + 1), tiny.xt),
        ("expected whole class numbers", (tiny.xs, np.eye(5)[tiny.ys]), tiny.xt),
        ("the model does not take the held-out rows", (tiny.xs[:, :2], tiny.ys), tiny.xt),
        ("`source`: expected rows that the model takes", (missing, tiny.ys), tiny.xt),
    ):
        every = Every()
        with pytest.raises(InputError, match=match) as caught:
            problem(every, LabelFreeCheckpoint(source, target))
        assert "\n" not in str(caught.value)
        assert every.weights == []
    plain = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)])
    plain.compile("sgd", "mse")
    with pytest.raises(InputError, match="LabelFreeCheckpoint: expected a DomainAdaptationModel, received Sequential"):
        plain.fit(tiny.xs, np.eye(3)[tiny.ys], callbacks=[LabelFreeCheckpoint(*rows(tiny))], verbose=0)


@pytest.mark.parametrize("form", [lambda y: y[:, None], lambda y: np.eye(3)[y], lambda y: y.tolist()])
def test_labels_as_keras_takes_them(tiny, problem, form):
    expected, keep = (LabelFreeCheckpoint((tiny.xs, y), tiny.xt) for y in (tiny.ys, form(tiny.ys)))
    problem(expected, epochs=1)
    problem(keep, epochs=1)
    assert repr(keep.table) == repr(expected.table)


def test_a_training_that_another_callback_ends_is_looked_at(tiny, problem):
    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 1

    keep = LabelFreeCheckpoint(*rows(tiny), own([0.5]), every=4, guard=1.0)
    problem(Stop(), keep)
    assert [row["epoch"] for row in keep.table] == [1]
    assert keep.best_epoch == 1


def test_a_file_of_the_users_is_not_overwritten(tiny, problem, tmp_path):
    path = tmp_path / "mine.npz"
    np.savez(path, x=np.arange(3))
    content = path.read_bytes()
    with pytest.raises(InputError, match=r"mine\.npz: expected no file or one of LabelFreeCheckpoint"):
        problem(LabelFreeCheckpoint(*rows(tiny), path=path))
    assert path.read_bytes() == content


def test_epochs_of_another_model_and_later_ones_are_forgotten(tiny, problem):
    keep = LabelFreeCheckpoint(*rows(tiny), own([1.0, 2.0, 9.0, 9.0, 1.5, 1.6, 1.7]), guard=1.0)
    model, _ = problem(keep, epochs=4)
    problem(keep, model=model, initial_epoch=2, epochs=3)  # again from the third on
    assert [row["epoch"] for row in keep.table] == [0, 1, 2]
    assert keep.best_epoch == 2  # of the first two, which an epoch had beaten that is forgotten, no weights are left
    other, _ = problem(keep, initial_epoch=4, epochs=5)
    assert [row["epoch"] for row in keep.table] == [4]
    assert other is not model


def test_weights_that_another_callback_has_restored_are_not_those_of_the_last_epoch(tiny, problem):
    class Restore(keras.callbacks.Callback):
        """As EarlyStopping does: ends the training and gives the model the weights of the first epoch."""

        def on_epoch_end(self, epoch, logs=None):
            self.kept = self.model.get_weights() if epoch == 0 else self.kept
            self.model.stop_training = epoch == 1

        def on_train_end(self, logs=None):
            self.model.set_weights(self.kept)

    keep = LabelFreeCheckpoint(*rows(tiny), own([0.5]), every=4, guard=1.0, restore_best=False)
    problem(Restore(), keep)
    assert keep.table == []
