"""A training that falls over goes back to exactly where it was, with half the strength, on every backend."""

import io
import zipfile

import h5py
import keras
import numpy as np
import pytest
from keras import layers

import flipgrad as fg
from flipgrad._gradients import loss_gradients
from flipgrad.callbacks import BackOff
from flipgrad.checkpoint import Checkpoint, restore
from flipgrad.errors import InputError
from flipgrad.health.features import has_collapsed
from flipgrad.observation import observe

EPOCHS, STEPS = 3, 2  # steps an epoch
# What counts steps, and goes on: of the model and of the optimizer.
COUNTERS = ("step", "horizon", "iteration")
OPTIMIZERS = {
    "adam": lambda: keras.optimizers.Adam(1e-2),
    "momentum": lambda: keras.optimizers.SGD(fg.schedules.InverseDecay(EPOCHS * STEPS), momentum=0.9),
    "ema": lambda: keras.optimizers.Adam(1e-2, use_ema=True, ema_momentum=0.9),
    "accumulating": lambda: keras.optimizers.Adam(1e-2, gradient_accumulation_steps=2),
}


@pytest.fixture
def make(tiny):
    """A function: a new compiled model with batch normalization and dropout, of the same weights each time."""

    def made(optimizer="adam", passes="joint", compiled=tiny.quick, strength=1.0):
        keras.utils.set_random_seed(3)
        encoder = tiny.encoder(layers.BatchNormalization(), layers.Dropout(0.4, seed=5))
        model = fg.DANN(encoder, tiny.classifier(), tiny.discriminator((4, 1)), strength=strength, passes=passes)
        model.compile(OPTIMIZERS[optimizer](), metrics=["accuracy"], **compiled)
        return model

    return made


class Spoil(keras.callbacks.Callback):
    """Does something to the model after a batch of some epochs."""

    def __init__(self, what, *epochs, batch=STEPS - 1):
        super().__init__()
        self.what, self.epochs, self.batch = what, epochs, batch

    def on_epoch_begin(self, epoch, logs=None):
        self.now = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.now in self.epochs and batch == self.batch:
            self.what(self.model)


def fill(variable, value):
    variable.assign(np.full(variable.shape, value, "float32"))


def nan_weight(model):
    fill(model.classifier.layers[-1].kernel, np.nan)


def one_class(model):
    fill(model.classifier.layers[-1].kernel, 0)
    model.classifier.layers[-1].bias.assign(np.array([0, 9, 0], "float32"))


def rows_alike(model):
    for layer in model.encoder.layers:
        if isinstance(layer, layers.BatchNormalization):
            fill(layer.gamma, 0)
            fill(layer.beta, 1)


def nan_statistics(model):
    """Nothing of the loss or of what is trained tells."""
    (layer,) = [each for each in model.encoder.layers if isinstance(each, layers.BatchNormalization)]
    fill(layer.moving_mean, np.nan)


FALLS = {
    "NaN loss": (nan_weight, 0, "diverged"),
    "NaN weight after the last step": (nan_weight, 1, "diverged"),
    "one class": (one_class, 1, "collapsed"),
    "rows alike": (rows_alike, 1, "collapsed"),
    "NaN statistics": (nan_statistics, 1, "collapsed"),
}


def state_of(model):
    """All that a training changes, in order, with names; not what counts steps, nor random states."""
    variables = [*model.weights, *model.optimizer.variables]
    return [(v.name, keras.ops.convert_to_numpy(v.value).copy()) for v in variables if v.name != "label_range"]


class Every(keras.callbacks.Callback):
    """The states at the beginning of the first epoch and at the end of each."""

    def __init__(self):
        super().__init__()
        self.states = []

    def on_epoch_begin(self, epoch, logs=None):
        if not self.states:
            self.states.append(state_of(self.model))

    def on_epoch_end(self, epoch, logs=None):
        self.states.append(state_of(self.model))


def fit(model, tiny, *callbacks, **arguments):
    arguments = {"epochs": EPOCHS, **arguments}
    return model.fit(tiny.pairs(14), callbacks=list(callbacks), verbose=0, **arguments).history


def back_off(tiny, said=None, **arguments):
    said = [] if said is None else said
    return BackOff((tiny.xs, tiny.ys), tiny.xt, report=said.append, **arguments)


def assert_same(state, other, but=()):
    assert len(state) == len(other)
    for (name, value), (_, expected) in zip(state, other, strict=True):
        if name not in but:
            assert value.dtype == expected.dtype
            np.testing.assert_array_equal(value, expected, name)


def scale_of(model):
    return [float(objective.strength_scale.value) for objective in model.objectives]


@pytest.mark.parametrize(("fall", "epoch"), [("NaN loss", 0), *((fall, 1) for fall in FALLS)])
def test_the_state_of_the_epoch_before_comes_back(make, tiny, fall, epoch):
    what, batch, word = FALLS[fall]
    model, every, said = make(), Every(), []
    history = fit(model, tiny, back_off(tiny, said), every, Spoil(what, epoch, batch=batch))
    assert_same(every.states[epoch + 1], every.states[epoch], but=(*COUNTERS, "strength_scale"))
    slots = [name for name, _ in every.states[0] if "velocity" in name or "moving" in name]
    assert len(slots) > 4  # there is something to take back
    assert scale_of(model) == [0.5]
    assert int(model.step.value) == int(model.optimizer.iterations) == EPOCHS * STEPS
    assert int(model.horizon.value) == EPOCHS * STEPS
    assert int(model.first_bad_step.value) == -1
    assert history["back_offs"] == [0.0] * epoch + [1.0] * (EPOCHS - epoch)
    (line,) = said
    assert f"epoch {epoch + 1} {word}" in line
    assert "back to the weights before it, strength halved (1 of at most 4" in line
    assert "\n" not in line
    # It goes on, to weights that are finite and others.
    assert all(np.isfinite(value).all() for _, value in state_of(model))
    before, after = (dict(state) for state in every.states[-2:])
    assert not np.array_equal(before["kernel"], after["kernel"])
    assert np.isfinite(history["loss"][epoch + 1 :]).all()


@pytest.mark.parametrize(
    ("optimizer", "passes", "eager"),
    [("adam", "joint", False), ("momentum", "separate", True), ("ema", "joint", True), ("accumulating", "joint", True)],
)
def test_every_optimizer_comes_back(make, tiny, optimizer, passes, eager):
    model, every = make(optimizer, passes, compiled={"run_eagerly": eager}), Every()
    history = fit(model, tiny, back_off(tiny), every, Spoil(nan_weight, 1, batch=0))
    assert_same(every.states[2], every.states[1], but=(*COUNTERS, "strength_scale"))
    counts = [int(value) for name, value in every.states[2] if name in ("step", "iteration")]
    assert counts == [2 * STEPS] * 2
    assert history["back_offs"] == [0.0, 1.0, 1.0]


def test_loss_scaling_comes_back(make, tiny):
    keras.config.set_dtype_policy("mixed_float16")
    model, every = make("momentum", compiled={}), Every()
    assert type(model.optimizer).__name__ == "LossScaleOptimizer"
    fit(model, tiny, back_off(tiny), every, Spoil(nan_weight, 1, batch=0))
    assert_same(every.states[2], every.states[1], but=(*COUNTERS, "strength_scale"))
    # The step whose gradients are not finite is skipped by the optimizer, and not counted; the others are.
    assert int(model.optimizer.iterations) == EPOCHS * STEPS - 1


def test_it_goes_on_as_a_training_of_half_the_strength(make, tiny):
    """From the same weights, at the same step: by hand."""
    model, every = make(), Every()
    fit(model, tiny, back_off(tiny), every, Spoil(nan_weight, 1))
    other = make()

    class ByHand(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                variables = [*self.model.weights, *self.model.optimizer.variables]
                kept = [v for v in variables if v.name != "label_range"]
                for variable, (name, value) in zip(kept, every.states[1], strict=True):
                    if name not in COUNTERS:
                        variable.assign(value)
                self.model.objectives[0].strength_scale.assign(0.5)

    fit(other, tiny, ByHand())
    assert_same(state_of(other), state_of(model))


@pytest.mark.parametrize("scale", [0.5, 0.0])
def test_the_scale_is_that_of_the_reversed_gradient(tiny, scale):
    """The encoder gets so much less; the discriminator learns at full rate."""
    model = tiny.model(classification_weight=0.0, units=(4, 1))
    before = loss_gradients(model, tiny.batch)
    model.objectives[0].strength_scale.assign(scale)
    for path, gradient in loss_gradients(model, tiny.batch).items():
        np.testing.assert_allclose(gradient, before[path] * (scale if "encoder" in path else 1), rtol=1e-6, atol=1e-9)
        assert "encoder" not in path or np.abs(before[path]).max() > 0


@pytest.mark.parametrize("most", [1, 2])
def test_no_more_often_than_asked(make, tiny, most):
    """Then the training takes its course."""
    model, said = make(), []
    history = fit(model, tiny, back_off(tiny, said, most=most), Spoil(nan_weight, *range(4)), epochs=4)
    assert history["back_offs"] == [float(min(n, most)) for n in range(1, 5)]
    assert len(said) == most
    assert scale_of(model) == [0.5**most]
    assert int(model.first_bad_step.value) == (most + 1) * STEPS
    assert np.isnan(history["loss"][-1])


def test_a_strength_beyond_all_measure(make, tiny):
    """No halving mends it: no epoch was good, so that the training has diverged in the end."""
    model, said = make("momentum", strength=1e38), []
    history = fit(model, tiny, back_off(tiny, said))
    assert len(said) == EPOCHS - 1
    assert history["back_offs"] == [1.0, 2.0, 2.0]
    assert not all(np.isfinite(value).all() for _, value in state_of(model))


def test_every_objective_gets_half(tiny):
    keras.utils.set_random_seed(0)
    objectives = [fg.objectives.DomainAdversarial(tiny.discriminator(), name=name) for name in ("one", "two")]
    model = fg.DomainAdaptationModel(tiny.encoder(), tiny.classifier(), objectives)
    model.compile("sgd", **tiny.quick)
    fit(model, tiny, back_off(tiny), Spoil(nan_weight, 0, 1), epochs=3)
    assert scale_of(model) == [0.25, 0.25]


def test_a_model_that_never_told_classes_apart_has_not_collapsed(make, tiny):
    model, said = make(), []
    one_class(model)
    callbacks = back_off(tiny, said), Spoil(one_class, *range(EPOCHS))
    history = fit(model, tiny, *callbacks)
    assert history["back_offs"] == [0.0] * EPOCHS
    assert said == []
    history = fit(model, tiny, *callbacks[:1], Spoil(nan_weight, 1))  # but it may diverge
    assert max(history["back_offs"]) == 1


@pytest.mark.parametrize(("optimizer", "passes", "eager"), [("adam", "separate", False), ("ema", "joint", True)])
def test_a_healthy_training_is_not_changed(make, tiny, optimizer, passes, eager):
    model, alone = (make(optimizer, passes, compiled={"run_eagerly": eager}) for _ in range(2))
    expected = fit(alone, tiny)
    np.random.seed(7)  # noqa: NPY002
    state = np.random.get_state()[1].tolist()  # noqa: NPY002
    history = fit(model, tiny, back_off(tiny))
    assert np.random.get_state()[1].tolist() == state  # noqa: NPY002
    assert history.pop("back_offs") == [0.0] * EPOCHS
    assert history == expected
    assert_same(state_of(model), state_of(alone))
    for a, b in zip(model.variables, alone.variables, strict=True):  # random states too
        np.testing.assert_array_equal(*(keras.ops.convert_to_numpy(v.value) for v in (a, b)))


def test_weights_that_were_never_finite_are_nothing_to_come_back_to(make, tiny):
    model, said = make(), []
    nan_weight(model)
    assert fit(model, tiny, back_off(tiny, said))["back_offs"] == [0.0] * EPOCHS
    assert said == []
    assert int(model.first_bad_step.value) == 0


class PowerCut(Spoil):
    def __init__(self, epoch):
        super().__init__(self.stop, epoch, batch=0)

    def stop(self, model):
        raise KeyboardInterrupt


@pytest.mark.parametrize(("optimizer", "cuts"), [("adam", (1, 3)), ("ema", (2,))])
def test_an_interrupted_training_backs_off_as_one_that_never_stopped(make, tiny, tmp_path, optimizer, cuts):
    """It falls over in the first and in the third epoch; stopped in, between and behind."""
    path = tmp_path / "c.npz"

    def begun(said, *more, **arguments):
        kept = Checkpoint(path)
        model = make(optimizer)
        if path.exists():
            arguments["initial_epoch"], _ = restore(path, model)
        spoilt = Spoil(one_class, 0), Spoil(nan_weight, 2)
        fit(model, tiny, back_off(tiny, said, most=2), kept, *spoilt, *more, epochs=4, **arguments)
        return kept.history, state_of(model)

    whole: list[str] = []
    history, state = begun(whole)
    assert history["back_offs"] == [1.0, 1.0, 2.0, 2.0]
    assert len(whole) == 2
    for epoch in cuts:
        path.unlink()
        said: list[str] = []
        with pytest.raises(KeyboardInterrupt):
            begun(said, PowerCut(epoch))
        assert int(np.load(path)["epoch"]) == epoch
        again = begun(said)
        assert repr(again[0]) == repr(history)  # NaN, which equals nothing, where it diverged
        assert said == whole
        assert_same(again[1], state)


def test_saved_and_loaded_with_what_is_left(make, tiny, tmp_path):
    model = make()
    fit(model, tiny, back_off(tiny), Spoil(nan_weight, 1), epochs=2)
    model.save(tmp_path / "model.keras")
    loaded = fg.load(tmp_path / "model.keras")
    assert scale_of(loaded) == [0.5]
    assert_same(state_of(loaded), state_of(model))


def test_models_of_before_have_all_their_strength(make, tiny, tmp_path):
    """A file without the variable, as earlier versions wrote it."""
    model = make()
    model.objectives[0].strength_scale.assign(0.5)
    fit(model, tiny, epochs=1)
    path = tmp_path / "model.keras"
    model.save(path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    content, groups = io.BytesIO(members["model.weights.h5"]), []
    with h5py.File(content, "r+") as file:
        file.visit(lambda name: groups.append(name) if name.endswith("adversarial/vars") else None)
        (name,) = groups
        assert file[name]["0"][()] == 0.5
        del file[name]["0"]
    with zipfile.ZipFile(path, "w") as archive:
        for name, value in {**members, "model.weights.h5": content.getvalue()}.items():
            archive.writestr(name, value)
    loaded = fg.load(path)
    assert scale_of(loaded) == [1.0]
    assert_same(state_of(loaded), state_of(model), but=["strength_scale"])
    fit(loaded, tiny, initial_epoch=1, epochs=2)


def test_what_it_cannot_look_after_is_refused(tiny):
    def refused(match, *arguments, **more):
        with pytest.raises(InputError, match=match) as caught:
            BackOff(*arguments, **more)
        assert "\n" not in str(caught.value)

    rows = (tiny.xs, tiny.ys)
    refused("`source`, x: expected at least one row", (tiny.xs[:0], tiny.ys[:0]), tiny.xt)
    refused(r"`source`: expected \(x, y\), held-out rows", tiny.xs, tiny.xt)
    refused("expected equally many rows", (tiny.xs, tiny.ys[1:]), tiny.xt)
    refused("`target`, x: expected at least one row", rows, tiny.xt[:0])
    refused("`target`: expected an array of rows without labels, received tuple", rows, (tiny.xt, np.zeros(20)))
    for most in (0, -1, 1.5, np.nan, "2"):
        refused("`most` must be greater than 0 and whole", rows, tiny.xt, most=most)

    class Own(keras.layers.Layer):
        """An objective without a strength."""

        def call(self, source, target, progress, labels=None, training=None):
            return keras.ops.mean(source["features"])

    for objectives in ([], [Own()], [fg.objectives.DomainAdversarial(tiny.discriminator()), Own()]):
        model = fg.DomainAdaptationModel(tiny.encoder(), tiny.classifier(), objectives)
        model.compile("sgd", **tiny.quick)
        with pytest.raises(InputError, match="expected a model with objectives, whose strength it can halve"):
            fit(model, tiny, back_off(tiny))


def test_it_warns_where_nobody_is_to_be_told(make, tiny):
    with pytest.warns(UserWarning, match="BackOff: epoch 1 diverged"):
        fit(make(), tiny, BackOff((tiny.xs, tiny.ys), tiny.xt), Spoil(nan_weight, 0), epochs=2)


def test_rows_sorted_by_class_are_no_collapse(make, tiny):
    """As in a folder with a sub-folder for each class: the first rows are all of one."""
    order = np.repeat(np.argsort(tiny.ys, kind="stable"), 300)
    said = []
    callback = BackOff((tiny.xs[order], tiny.ys[order]), tiny.xs[order], report=said.append)
    assert len(callback.target) <= 100
    assert set(callback.source[1]) == set(tiny.ys)
    model = make()
    fit(model, tiny, callback, epochs=12)
    predicted = keras.ops.convert_to_numpy(model(tiny.xs, training=False)).argmax(axis=1)
    assert len(set(predicted)) > 1  # so that there is nothing to take back
    assert said == []


@pytest.mark.parametrize("passes", ["joint", "separate"])
def test_running_statistics_that_lag_behind_are_no_collapse(tiny, passes):
    """Batch normalization: in training the classes are told apart, outside of it all rows are still one class."""
    norm = keras.layers.BatchNormalization(momentum=0.9999)
    encoder = keras.Sequential([keras.Input((3,)), keras.layers.Rescaling(1.0, 300.0), keras.layers.Dense(16), norm])
    model = fg.DANN(encoder, tiny.classifier(), tiny.discriminator(), strength=0.1, passes=passes)
    model.compile(keras.optimizers.Adam(0.05), metrics=["accuracy"], **tiny.quick)
    far = 3 * np.eye(3, dtype="float32")[tiny.ys]
    said = []
    callback = BackOff((tiny.xs + far, tiny.ys), tiny.xt, report=said.append)
    pairs = fg.data.pair_domains((tiny.xs + far, tiny.ys), tiny.xt, 14, seed=0)
    seen = []

    class Look(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            observed = observe(self.model, (tiny.xs + far, tiny.ys), tiny.xt)
            seen.append(has_collapsed(observed))

    history = model.fit(pairs, epochs=15, callbacks=[callback, Look()], verbose=0).history
    assert any(seen)  # a plain look takes it for a collapse
    assert history["accuracy"][-1] > 0.8
    assert said == []
    before = [np.array(keras.ops.convert_to_numpy(weight.value)) for weight in model.weights]
    callback._is_good()
    for weight, value in zip(model.weights, before, strict=True):  # looking changes nothing
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(weight.value), value)


def test_what_was_good_before_another_fit_is_gone_back_to(make, tiny):
    """Back-offs of the fit before do not count, and a model that it trained is something to come back to."""
    model, said = make(), []
    fit(model, tiny, back_off(tiny, said, most=1), Spoil(nan_weight, 1))
    assert len(said) == 1
    fit(model, tiny, back_off(tiny, said, most=1), Spoil(nan_weight, 2))
    assert len(said) == 2
    assert scale_of(model) == [0.25]
    for number in range(2):  # epochs one by one
        good = state_of(model)
        assert not has_collapsed(observe(model, (tiny.xs, tiny.ys), tiny.xt))
        fit(model, tiny, back_off(tiny, said, most=1), Spoil(nan_weight, 0), epochs=1)
        assert len(said) == 3 + number
        assert_same(state_of(model), good, but=(*COUNTERS, "strength_scale", "first_bad_step"))
