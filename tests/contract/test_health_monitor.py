"""The measures of a training are those of its model, and taking them changes nothing, on every backend."""

from contextlib import nullcontext

import keras
import numpy as np
import pytest
from keras import layers

import flipgrad as fg
from flipgrad.callbacks import HealthMonitor
from flipgrad.errors import InputError
from flipgrad.health import Measures, measure, probes
from flipgrad.observation import observe
from flipgrad.recording import Inputs
from flipgrad.training import Reporter, Training

ROWS = 28  # of either domain, at most, in the tiny problem


def rows(tiny):
    return (tiny.xs, tiny.ys), tiny.xt


@pytest.fixture
def make(tiny):
    """A function: a new compiled model with batch normalization and dropout, of the same weights each time."""

    def made(passes="joint", optimizer="sgd", objectives=True, **compiled):
        keras.utils.set_random_seed(3)
        encoder = tiny.encoder(layers.BatchNormalization(), layers.Dropout(0.4, seed=5))
        discriminator = tiny.discriminator((4, 1))
        adversaries = [fg.objectives.DomainAdversarial(discriminator)] if objectives else []
        model = fg.DomainAdaptationModel(encoder, tiny.classifier(), adversaries, passes=passes)
        model.compile(optimizer, **compiled)
        return model

    return made


def fit(model, tiny, *callbacks, epochs=3):
    return model.fit(tiny.pairs(14), epochs=epochs, callbacks=list(callbacks), verbose=0).history


def variables_of(model):
    """All of them: weights, statistics, random states, the optimizer's."""
    return [keras.ops.convert_to_numpy(v.value).copy() for v in [*model.variables, *model.optimizer.variables]]


def assert_equal(measures, others):
    for name, value in vars(measures).items():
        other = vars(others)[name]
        assert value == (other if other is None else pytest.approx(other, rel=1e-6, abs=1e-9)), name


@pytest.mark.parametrize(
    ("passes", "optimizer", "eager"),
    [
        ("joint", lambda: keras.optimizers.Adam(0.01, use_ema=True, ema_momentum=0.9), True),
        ("separate", lambda: "sgd", False),
    ],
    ids=["running means", "statistics per domain"],
)
def test_looking_changes_nothing_and_sees_the_model_that_fit_leaves(make, tiny, passes, optimizer, eager):
    model, alone = (make(passes, optimizer(), run_eagerly=eager) for _ in range(2))
    expected = fit(alone, tiny)
    np.random.seed(7)  # noqa: NPY002
    state = np.random.get_state()[1].tolist()  # noqa: NPY002
    monitor = HealthMonitor(*rows(tiny))
    history = fit(model, tiny, monitor)
    assert np.random.get_state()[1].tolist() == state  # noqa: NPY002
    for a, b in zip(variables_of(model), variables_of(alone), strict=True):
        np.testing.assert_array_equal(a, b)
    logged = {name: history.pop(name) for name in list(history) if name.startswith("health_")}
    assert history == expected
    # What the last look saw is the model as it is now, of running means too.
    found = measure(model, *rows(tiny), source_peak=monitor.measures.source_peak)
    assert_equal(monitor.measures, found)
    assert len(logged) > 8
    for name, values in logged.items():
        value = getattr(found, name.removeprefix("health_"))
        assert values[-1] == pytest.approx(np.nan if value is None else value, rel=1e-6, nan_ok=True), name
    assert monitor.measures.source_peak == max(logged["health_source_accuracy"])
    assert monitor.seconds > 0
    assert monitor.verdicts == fg.health.diagnose(monitor.measures)


def test_every_so_often_and_at_the_end(make, tiny):
    history = fit(make(run_eagerly=True), tiny, HealthMonitor(*rows(tiny), every=3), epochs=5)
    for name in ("health_source_accuracy", "health_probe_accuracy", "health_gradient_cosine"):
        assert np.isnan(history[name]).tolist() == [True, True, False, True, False]


def test_what_a_model_has_not_is_not_logged_as_a_number(make, tiny):
    """Without objectives no discriminator; of one that has diverged nothing."""
    monitor = HealthMonitor(*rows(tiny))
    history = fit(make(objectives=False, run_eagerly=True), tiny, monitor, epochs=1)
    assert monitor.measures.online_loss is monitor.measures.fresh_accuracy is monitor.measures.strength is None
    assert np.isnan([history["health_online_accuracy"], history["health_gradient_cosine"]]).all()
    assert history["health_source_accuracy"] == [monitor.measures.source_accuracy]
    model = make(run_eagerly=True)
    model.classifier.layers[-1].bias.assign([np.nan] * 3)
    history = fit(model, tiny, monitor, epochs=1)
    assert not monitor.measures.finite
    assert monitor.measures.rows == (len(tiny.xs), len(tiny.xt))
    assert all(np.isnan(values).all() for name, values in history.items() if name.startswith("health_"))
    assert [verdict.name for verdict in monitor.verdicts] == ["diverged"]


def test_its_rows_and_numbers_are_checked(tiny):
    def refused(match, *arguments, **more):
        with pytest.raises(InputError, match=match) as caught:
            HealthMonitor(*arguments, **more)
        assert "\n" not in str(caught.value)

    refused(r"`source`: expected \(x, y\)", tiny.xs, tiny.xt)
    refused("expected equally many rows", (tiny.xs, tiny.ys[1:]), tiny.xt)
    refused("`target`: expected an array of rows without labels", (tiny.xs, tiny.ys), (tiny.xt, tiny.ys[:20]))
    refused("`target`, x: expected at least one row", (tiny.xs, tiny.ys), tiny.xt[:0])
    refused("`baseline`: expected Measures, received HealthMonitor", *rows(tiny), baseline=HealthMonitor(*rows(tiny)))
    for every in (0, -2, 1.5):
        refused("`every` must be greater than 0 and whole", (tiny.xs, tiny.ys), tiny.xt, every=every)


# An interrupted training -------------------------------------------------------------------------------------------


class Cut(Reporter):
    """Stops at the end of an epoch of two steps."""

    def __init__(self, epoch):
        self.step = epoch * 2

    def training(self, title, steps):
        return nullcontext(self.stop)

    def stop(self, done, logs):
        if done == self.step:
            raise KeyboardInterrupt


def test_the_best_source_accuracy_survives_an_interruption(make, tiny, tmp_path):
    """Of rows whose labels are what the model says after its first epoch: the best is behind it when it goes on."""
    held = np.random.default_rng(1).normal(size=(400, 3)).astype("float32")  # so many that some change their class
    ids = np.arange(400).astype(str)

    def training(labels, name):
        observed = Inputs(held, labels, ids, tiny.xt, ids[: len(tiny.xt)], np.array(["a", "b", "c"]))
        return Training(
            make(), (tiny.xs, tiny.ys), tiny.xt, keras.optimizers.SGD(0.1), batch_size=14, steps=4, log_every=2,
            steps_per_execution=1, seed=0, checkpoint=tmp_path / name, observed=observed,
        )  # fmt: skip

    first = training(np.zeros(400, int), "first.npz")
    with pytest.raises(KeyboardInterrupt):
        first.run("", Cut(1))
    labels = keras.ops.convert_to_numpy(first.model(held, training=False)).argmax(1)
    whole = training(labels, "whole.npz").run("", Reporter())
    assert whole.measures.source_peak == 1 > whole.measures.source_accuracy
    assert whole.history["health_source_accuracy"][0] == 1
    with pytest.raises(KeyboardInterrupt):
        training(labels, "c.npz").run("", Cut(2))
    assert int(np.load(tmp_path / "c.npz")["epoch"]) == 1
    seen = {"health_source_accuracy": [None, np.nan, 0.5, 0.25]}  # as JSON may have them
    assert training(labels, "none.npz")._health(4, seen, print)[1].source_peak == 0.5
    again = training(labels, "c.npz").run("", Reporter())
    assert_equal(again.measures, whole.measures)
    assert repr(again.history) == repr(whole.history)  # NaN, which equals nothing, where there is no class gap


# All kinds of models -----------------------------------------------------------------------------------------------


class Own(keras.Model):
    """A subclassed discriminator, which knows no input shape."""

    def __init__(self):
        super().__init__()
        self.parts = [layers.Flatten(), layers.Dense(4, activation="relu"), layers.Dense(1)]

    def call(self, x):
        for part in self.parts:
            x = part(x)
        return x


def functional(shape):
    x = keras.Input(shape)
    hidden = layers.Dense(6, activation="tanh")(layers.GlobalAveragePooling2D()(x))
    return keras.Model(x, layers.Dense(2)(layers.Dense(3)(hidden)))


# Discriminators of features (4, 4, 3), and the units of their hidden layers.
DISCRIMINATORS = {
    "of this library": (lambda: fg.networks.discriminator((5, 1)), (5,)),
    "linear": (lambda: keras.Sequential([layers.Flatten(), layers.Dense(1)]), ()),
    "functional, two logits": (lambda: functional((4, 4, 3)), (6, 3)),
    "convolution, two logits": (lambda: keras.Sequential([layers.Conv2D(4, 2), layers.Flatten(), layers.Dense(2)]), ()),
    "nested": (lambda: keras.Sequential([fg.networks.discriminator((7, 6)), layers.ReLU(), layers.Dense(1)]), (7, 6)),
    "subclassed": (Own, (4,)),
}


@pytest.fixture
def images():
    """((x, y), x of the target): 24 images of three classes, and 20."""
    random = np.random.default_rng(0)
    x, y = random.normal(size=(44, 8, 8, 1)).astype("float32"), np.arange(24, dtype="int32") % 3
    return (x[:24], y), x[24:] * 2 + 1


def convolutional(discriminator, passes="joint"):
    encoder = keras.Sequential([keras.Input((8, 8, 1)), layers.Conv2D(3, 2, strides=2), layers.BatchNormalization()])
    classifier = keras.Sequential([layers.Flatten(), layers.Dense(3)])
    return fg.DANN(encoder, classifier, discriminator, strength=0.5, passes=passes)


@pytest.mark.parametrize(
    ("kind", "passes"), [*((kind, "joint") for kind in DISCRIMINATORS), ("functional, two logits", "separate")]
)
def test_measures_of_every_kind_of_discriminator(images, kind, passes):
    discriminator, hidden = DISCRIMINATORS[kind]
    model = convolutional(discriminator(), passes)
    (source, labels), target = images
    if passes == "separate":  # statistics that differ
        for statistic in model.source_statistics:
            statistic.assign(statistic.value * 3 + 1)
    found = measure(model, *images)
    # The same by hand.
    features = [model.encode(source, "source"), model.encode(target, "target")]
    logits = [keras.ops.convert_to_numpy(model.classifier(x)) for x in features]
    domain = [keras.ops.convert_to_numpy(model.objectives[0].discriminator(x)) for x in features]
    a, b = (x[:, 1] - x[:, 0] if x.shape[1] == 2 else x[:, 0] for x in domain)
    predicted = [x.argmax(1) for x in logits]
    p = np.exp(logits[1]) / np.exp(logits[1]).sum(1, keepdims=True)
    expected = {
        "source_accuracy": (predicted[0] == labels).mean(),
        "online_accuracy": ((a < 0).mean() + (b >= 0).mean()) / 2,
        "online_loss": (np.log1p(np.exp(a)).mean() + np.log1p(np.exp(-b)).mean()) / 2,
        "online_spread": np.concatenate([a, b]).std(),
        "target_entropy": -(p * np.log(p)).sum(1).mean() / np.log(3),
        "source_shares": [1 / 3] * 3,
        "target_shares": np.bincount(predicted[1], minlength=3) / 20,
        "largest_share": np.bincount(np.concatenate(predicted)).max() / 44,
        "strength": 0.5,
    }
    for name, value in expected.items():
        assert getattr(found, name) == pytest.approx(value, rel=1e-4, abs=1e-5), name
    flat = [keras.ops.convert_to_numpy(x).reshape(len(x), -1) for x in features]
    assert found.rows == (24, 20)
    assert found.fresh_accuracy == probes.fresh_discriminator(*flat, hidden)
    assert found.probe_accuracy == probes.linear_probe(*flat)
    assert found.label_gradient > 0
    assert found.domain_gradient > 0
    assert -1 <= found.gradient_cosine <= 1


def test_low_precision(images):
    keras.config.set_dtype_policy("bfloat16")
    model = convolutional(fg.networks.discriminator((5, 1)))
    found = measure(model, *images)
    assert found.finite
    seen = observe(model, *images)
    assert found.online_loss == pytest.approx(
        (np.log1p(np.exp(seen.source.domain_logits)).mean() + np.log1p(np.exp(-seen.target.domain_logits)).mean()) / 2,
        rel=1e-5,
    )
    assert found.label_gradient > 0
    assert found.domain_gradient > 0


def test_without_probes_no_probes(images):
    model = convolutional(fg.networks.discriminator((5, 1)))
    found, whole = measure(model, *images, probe=False), measure(model, *images)
    probed = {"fresh_accuracy", "probe_accuracy", "proxy_a_distance", "input_accuracy", "channel_accuracy", "v_measure"}
    missing = {name for name, value in vars(found).items() if value is None}
    assert missing == {name for name, value in vars(whole).items() if value is None} | probed
    assert_equal(Measures(**{**vars(whole), **dict.fromkeys(probed)}), found)


def test_labels_as_they_come(images):
    (x, y), target = images
    model = convolutional(fg.networks.discriminator((1,)))
    found = measure(model, (x, y), target, probe=False)
    for same in (y.tolist(), y.astype("uint8"), y.astype("uint64"), y.astype("float64"), y[:, None], np.eye(3)[y]):
        assert measure(model, (x, same), target, probe=False) == found
    for wrong in (y + 1, y - 1, y + 0.5, np.eye(4)[y], np.array(list("abc") * 8), y[:-1]):
        with pytest.raises(InputError, match=r"labels|`source`") as caught:
            measure(model, (x, wrong), target, probe=False)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="leave the labels out"):
        measure(model, (x, y), (target, y), probe=False)
    with pytest.raises(InputError, match="measure: expected a DomainAdaptationModel, received Functional"):
        measure(model.predictor, (x, y), target)


def test_another_training_begins_anew(make, tiny):
    """Neither the peak nor the verdicts of the one before are taken over."""
    monitor, alone = HealthMonitor(*rows(tiny)), HealthMonitor(*rows(tiny))
    fit(make(run_eagerly=True), tiny, monitor, epochs=1)
    monitor.source_peak = 1.0
    fit(make(run_eagerly=True), tiny, monitor, epochs=1)
    fit(make(run_eagerly=True), tiny, alone, epochs=1)
    assert_equal(monitor.measures, alone.measures)
    seldom = HealthMonitor(*rows(tiny), every=5)
    model = make(optimizer=keras.optimizers.SGD(0.0), run_eagerly=True)
    for layer in model.encoder.layers:
        layer.trainable = False  # nor do statistics move
    fit(model, tiny, seldom, epochs=1)
    fit(model, tiny, Stop(), seldom, epochs=5)  # ends before a look is due, with the weights of the last one
    assert seldom.measures is not None


class Stop(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = epoch == 0


def test_the_model_that_fit_leaves_is_looked_at(make, tiny):
    """Also where it ends early, and where an earlier epoch is restored."""
    monitor = HealthMonitor(*rows(tiny), every=5)
    model = make(run_eagerly=True)
    fit(model, tiny, Stop(), monitor, epochs=5)
    assert_equal(monitor.measures, measure(model, *rows(tiny)))
    values = iter([2.0, 1.0, 1.0])
    first = fg.scores.Score("first", lambda seen: next(values), True, "these tests")
    keep = fg.callbacks.LabelFreeCheckpoint(*rows(tiny), first, guard=1.0)
    model = make(run_eagerly=True)
    fit(model, tiny, keep, monitor)
    assert keep.best_epoch == 0
    expected = measure(model, *rows(tiny), source_peak=monitor.measures.source_peak)
    assert_equal(monitor.measures, expected)


def test_rows_of_several_arrays(tiny):
    """A dict of arrays, as ``pair_domains`` takes it, in all that looks at held-out rows."""
    left, right = keras.Input((2,), name="left"), keras.Input((1,), name="right")
    features = layers.Dense(4)(layers.Concatenate()([left, right]))
    encoder = keras.Model({"left": left, "right": right}, features)
    model = fg.DANN(encoder, tiny.classifier(), tiny.discriminator())
    model.compile("sgd", run_eagerly=True)
    xs, xt = ({"left": x[:, :2], "right": x[:, 2:]} for x in (tiny.xs, tiny.xt))
    held = (xs, tiny.ys), xt
    monitor = HealthMonitor(*held)
    callbacks = [fg.callbacks.BackOff(*held), fg.callbacks.LabelFreeCheckpoint(*held, guard=1.0), monitor]
    pairs = fg.data.pair_domains((xs, tiny.ys), xt, 14, seed=0)
    history = model.fit(pairs, epochs=2, callbacks=callbacks, verbose=0).history
    assert np.isfinite(history["health_source_accuracy"]).all()
    assert monitor.measures.rows == (len(tiny.xs), len(tiny.xt))
    assert monitor.measures.input_accuracy is None
    plain = fg.DomainAdaptationModel(encoder, tiny.classifier())
    assert fg.select({"source": plain}, *held, score="entropy").picked == "source"
