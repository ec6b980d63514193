"""What every objective must do, on every backend.  A new objective is one more line of OBJECTIVES."""

import json
from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np
import pytest
from keras import layers

import flipgrad as fg
from flipgrad._gradients import loss_gradients
from flipgrad.objectives import DomainAdversarial


@dataclass
class Case:
    name: str
    make: Callable[..., keras.layers.Layer]  # takes strength=..., where adversarial
    adversarial: bool = True
    metrics: tuple[str, ...] = ("domain_loss", "domain_accuracy")


def _adversarial(*units: int) -> Callable[..., DomainAdversarial]:
    def make(strength=1.0):
        return DomainAdversarial(fg.networks.discriminator(units), strength)

    return make


OBJECTIVES = [
    Case("one-logit", _adversarial(1)),
    Case("two-logits", _adversarial(2)),
    Case("deep", _adversarial(8, 6, 1)),
]
every = pytest.mark.parametrize("case", OBJECTIVES, ids=lambda case: case.name)
adversarial = pytest.mark.parametrize(
    "case", [case for case in OBJECTIVES if case.adversarial], ids=lambda case: case.name
)


@pytest.fixture(scope="module")
def make_model(tiny):
    """A function: the compiled model of a case, the same weights for the same seed."""

    def make(case, *arguments, optimizer="sgd", compiled=None, extra=(), seed=0, **kwargs):
        keras.utils.set_random_seed(seed)
        objective = case.make(*arguments)
        model = fg.DomainAdaptationModel(tiny.encoder(*extra), tiny.classifier(), [objective], **kwargs)
        model.compile(optimizer, metrics=["accuracy"], **(compiled or {}))
        return model

    return make


def _settings(thing):
    """The config without what Keras notes about shapes, as it reads in a file."""

    def strip(value):
        if isinstance(value, dict):
            left_out = ("build_config", "build_input_shape", "compile_config")
            return {k: strip(v) for k, v in value.items() if k not in left_out}
        return [strip(v) for v in value] if isinstance(value, list) else value

    return strip(json.loads(json.dumps(thing.get_config())))


def _part(gradients, model, part):
    """The gradients of one part of the model: name of the weight within the part -> array."""
    paths = {weight.path: number for number, weight in enumerate(part.trainable_variables)}
    found = {paths[path]: grad for path, grad in gradients.items() if path in paths}
    assert len(found) == len(paths) > 0
    return found


@every
def test_builds_from_the_encoder_alone(case, make_model):
    model = make_model(case)
    assert model.built
    assert model.objectives[0].built
    assert model.objectives[0].trainable_variables


@pytest.fixture(scope="module", params=OBJECTIVES, ids=lambda case: case.name)
def trained(request, make_model, tiny, weights_of):
    """A case, its model after two epochs of two steps, the weights before, and the history."""
    model = make_model(request.param, optimizer=keras.optimizers.SGD(0.1, momentum=0.9))
    before = weights_of(model, trainable_only=True)
    fit = model.fit(tiny.pairs(14), epochs=2, validation_data=(tiny.xs, tiny.ys), verbose=0)
    return request.param, model, before, fit.history


def test_trains(trained, weights_of):
    _, model, before, _ = trained
    assert int(model.step.value) == int(model.horizon.value) == 4
    after = weights_of(model, trainable_only=True)
    assert all(np.isfinite(a).all() for a in after)
    assert all((a != b).any() for a, b in zip(after, before, strict=True))


def test_saves_and_loads(trained, tiny, tmp_path, weights_of):
    _, model, _, _ = trained
    model.save(tmp_path / "model.keras")
    loaded = fg.load(tmp_path / "model.keras")
    assert type(loaded) is fg.DomainAdaptationModel
    np.testing.assert_array_equal(loaded.predict(tiny.xt, verbose=0), model.predict(tiny.xt, verbose=0))
    for new, old in zip(weights_of(loaded), weights_of(model), strict=True):
        np.testing.assert_array_equal(new, old)
    for new, old in zip(loaded.optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(new), keras.ops.convert_to_numpy(old))
    assert _settings(loaded) == _settings(model)


def test_metrics_are_logged_on_pairs_only(trained, tiny):
    case, _model, _, history = trained
    for name in case.metrics:
        assert len(history[name]) == 2
        assert np.isfinite(history[name]).all()
        assert f"val_{name}" not in history
    assert {"loss", "classification_loss", "accuracy"} <= history.keys()
    assert {"val_loss", "val_classification_loss", "val_accuracy"} <= history.keys()
    np.testing.assert_allclose(history["val_loss"], history["val_classification_loss"], rtol=1e-5)
    if case.adversarial:
        total = np.add(history["classification_loss"], history["domain_loss"])
        np.testing.assert_allclose(history["loss"], total, rtol=1e-5)


def test_evaluating_leaves_the_model_as_it_was(trained, tiny, weights_of):
    case, model, _, _ = trained
    before = weights_of(model)
    paired = model.evaluate(tiny.pairs(), verbose=0, return_dict=True)
    plain = model.evaluate(tiny.xs, tiny.ys, verbose=0, return_dict=True)
    assert set(case.metrics) <= paired.keys()
    assert not set(case.metrics) & plain.keys()
    for new, old in zip(weights_of(model), before, strict=True):
        np.testing.assert_array_equal(new, old)


@every
def test_config_round_trip(case, make_model):
    objective = make_model(case).objectives[0]
    config = objective.get_config()
    for _ in range(2):  # from_config leaves the config as it was
        assert _settings(type(objective).from_config(config)) == _settings(objective)
    model = make_model(case, classification_weight=0.5, passes="separate")
    again = fg.DomainAdaptationModel.from_config(model.get_config())
    assert _settings(again) == _settings(model)
    assert (again.classification_weight, again.passes) == (0.5, "separate")


@every
def test_exports_without_its_own_weights(case, make_model, tiny):
    model = make_model(case)
    predictor = model.predictor
    own = {id(weight) for weight in model.objectives[0].weights}
    assert own
    assert not own & {id(weight) for weight in predictor.weights}
    parts = [*model.encoder.weights, *model.classifier.weights]
    assert {id(weight) for weight in predictor.weights} == {id(weight) for weight in parts}
    chances = predictor.predict(tiny.xt, verbose=0)
    np.testing.assert_allclose(chances.sum(-1), 1, rtol=1e-5)
    logits = model.predict(tiny.xt, verbose=0).astype("float64")
    powers = np.exp(logits)
    np.testing.assert_allclose(chances, powers / powers.sum(-1, keepdims=True), rtol=1e-5)


@every
def test_reaches_every_weight(case, make_model, tiny, weights_of):
    model = make_model(case, 0.7)
    before = weights_of(model)
    for weight in (1.0, 0.0):
        model.classification_weight = weight
        gradients = loss_gradients(model, tiny.batch)
        assert len(gradients) == len(model.trainable_variables)
        parts = [model.encoder, model.objectives[0], *([model.classifier] if weight else [])]
        for part in parts:
            for grad in _part(gradients, model, part).values():
                assert np.isfinite(grad).all()
                assert np.abs(grad).max() > 0
    for new, old in zip(weights_of(model), before, strict=True):  # the probe itself changed nothing
        np.testing.assert_array_equal(new, old)


@every
def test_target_labels_change_nothing(case, make_model, tiny, weights_of):
    """They can only be passed in a dataset of the target, and there they are ignored."""

    class Batches(keras.utils.PyDataset):
        def __init__(self, labels):
            super().__init__()
            self.labels = labels

        def __len__(self):
            return 5

        def __getitem__(self, index):
            rows = slice(4 * index, 4 * index + 4)
            return tiny.xt[rows], self.labels[rows]

    labels = np.arange(20) % 3
    results = []
    for given in (labels, np.random.default_rng(5).permutation(labels) * 1000 - 7):
        model = make_model(case, 0.7, compiled=tiny.quick)
        model.fit(tiny.pairs(target=Batches(given)), verbose=0)
        results.append(weights_of(model))
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match="target"):
        fg.data.pair_domains((tiny.xs, tiny.ys), (tiny.xt, labels), batch_size=4)


@adversarial
def test_strength_0_is_source_only_training(case, make_model, tiny, weights_of):
    def sgd():
        return keras.optimizers.SGD(0.1, momentum=0.9)

    model = make_model(case, 0.0, optimizer=sgd(), compiled=tiny.quick)
    adapted = make_model(case, 1.0, optimizer=sgd(), compiled=tiny.quick)
    alone = fg.DomainAdaptationModel(tiny.encoder(), tiny.classifier())
    alone.compile(sgd(), **tiny.quick)
    for part in ("encoder", "classifier"):
        for other in (alone, adapted):
            weights = [weight.copy() for weight in getattr(model, part).get_weights()]
            getattr(other, part).set_weights(weights)
    start = [weight.copy() for weight in model.objectives[0].discriminator.get_weights()]
    model.fit(tiny.pairs(), epochs=1, verbose=0)
    adapted.fit(tiny.pairs(), epochs=1, verbose=0)
    alone.fit(tiny.pairs(target=None), epochs=1, verbose=0)
    for part in ("encoder", "classifier"):
        found, expected = getattr(model, part).get_weights(), getattr(alone, part).get_weights()
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=5e-7)  # a rounding or two
    far = np.abs(adapted.encoder.get_weights()[0] - alone.encoder.get_weights()[0]).max()
    assert far > 1e-4  # with strength the result is another one
    for a, b in zip(model.objectives[0].discriminator.get_weights(), start, strict=True):
        if a.dtype.kind == "f":
            assert (a != b).any()  # the discriminator trains all the same


@adversarial
@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0, 2.0])
def test_encoder_gets_minus_strength_times_the_plain_gradient(case, make_model, tiny, strength):
    plain_model = make_model(case, -1.0, classification_weight=0.0)
    model = make_model(case, strength, classification_weight=0.0)
    plain = loss_gradients(plain_model, tiny.batch)
    reversed_ = loss_gradients(model, tiny.batch)
    expected = _part(plain, plain_model, plain_model.encoder)
    found = _part(reversed_, model, model.encoder)
    for name, grad in expected.items():
        assert np.abs(grad).max() > 1e-4
        np.testing.assert_allclose(found[name], -strength * grad, rtol=1e-5, atol=1e-8)
    # The discriminator's own gradient does not depend on the strength.
    expected = _part(plain, plain_model, plain_model.objectives[0])
    found = _part(reversed_, model, model.objectives[0])
    for name, grad in expected.items():
        np.testing.assert_allclose(found[name], grad, rtol=1e-6)


@adversarial
def test_strength_follows_progress(case, make_model, tiny):
    ramp = fg.schedules.Ramp(gamma=4.0, maximum=0.8)
    scheduled = make_model(case, ramp, classification_weight=0.0)
    scheduled.horizon.assign(20)
    for step in (0, 5, 20, 30):
        scheduled.step.assign(step)
        strength = 0.8 * (2 / (1 + np.exp(-4.0 * min(step / 20, 1.0))) - 1)
        fixed = make_model(case, float(strength), classification_weight=0.0)
        found = _part(loss_gradients(scheduled, tiny.batch), scheduled, scheduled.encoder)
        expected = _part(loss_gradients(fixed, tiny.batch), fixed, fixed.encoder)
        for name, grad in expected.items():
            np.testing.assert_allclose(found[name], grad, rtol=1e-4, atol=1e-7)


@every
def test_two_of_a_kind_have_prefixed_metrics(case, tiny):
    first, second = case.make(), case.make()
    model = fg.DomainAdaptationModel(tiny.encoder(), tiny.classifier(), [first, second])
    model.compile("sgd", **tiny.quick)
    history = model.fit(tiny.pairs(14), verbose=0).history
    for metric in case.metrics:
        assert metric not in history
        for objective in (first, second):
            assert np.isfinite(history[f"{objective.name}_{metric}"]).all()
    if case.adversarial:
        names = [f"{objective.name}_domain_loss" for objective in (first, second)]
        assert history[names[0]] != history[names[1]]


@every
def test_training_on_plain_batches_is_refused(case, make_model, tiny):
    with pytest.raises(ValueError, match="pair_domains"):
        make_model(case, compiled=tiny.quick).fit(tiny.xs, tiny.ys, batch_size=4, verbose=0)


def test_an_objective_evaluates_in_inference_mode(tiny, weights_of):
    """A discriminator's dropout and batch normalization train in fit only."""
    discriminator = keras.Sequential(
        [layers.Dense(8), layers.BatchNormalization(), layers.Dropout(0.5), layers.Dense(1)]
    )
    model = fg.DANN(tiny.encoder(), tiny.classifier(), discriminator)
    model.compile("sgd", **tiny.quick)
    moving = discriminator.layers[1].moving_mean
    start = keras.ops.convert_to_numpy(moving).copy()
    first, second = (model.evaluate(tiny.pairs(), verbose=0, return_dict=True) for _ in range(2))
    assert first == second
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(moving), start)
    model.fit(tiny.pairs(), verbose=0)
    assert (keras.ops.convert_to_numpy(moving) != start).any()


@every
def test_classification_weight_0_trains_the_domain_part_alone(case, make_model, tiny, weights_of):
    model = make_model(case, classification_weight=0.0, compiled=tiny.quick)
    head, encoder = model.classifier.get_weights(), model.encoder.get_weights()
    history = model.fit(tiny.pairs(), verbose=0).history
    assert "classification_loss" not in history
    for new, old in zip(model.classifier.get_weights(), head, strict=True):
        np.testing.assert_array_equal(new, old)
    assert (model.encoder.get_weights()[0] != encoder[0]).any()


def test_classification_weight_scales_the_classification_gradient(tiny):
    whole, half = tiny.model(0.0), tiny.model(0.0, classification_weight=0.5)
    found = loss_gradients(half, tiny.batch)
    expected = loss_gradients(whole, tiny.batch)
    number = {weight.path: i for i, weight in enumerate(half.trainable_variables)}
    for path, grad in found.items():
        index = number[path]
        factor = 0.5 if index < 4 else 1.0  # encoder and classifier, then the discriminator
        np.testing.assert_allclose(grad, factor * expected[whole.trainable_variables[index].path], rtol=1e-5, atol=1e-8)


def test_regularisers_keep_their_weight(tiny):
    def model(weight, **dense):
        keras.utils.set_random_seed(0)
        encoder = keras.Sequential([keras.Input((3,)), layers.Dense(4, **dense)])
        made = fg.DANN(encoder, tiny.classifier(), strength=0.0, classification_weight=weight)
        made.compile("sgd")
        return made

    regularised = model(0.0, kernel_regularizer=keras.regularizers.L2(0.5))
    gradients = loss_gradients(regularised, tiny.batch)
    kernel = regularised.encoder.trainable_variables[0]
    # strength 0 and classification weight 0 leave the regulariser alone: d(0.5 w^2) = w
    np.testing.assert_allclose(gradients[kernel.path], keras.ops.convert_to_numpy(kernel), rtol=1e-5)


def test_strength_minus_1_trains_both_to_tell_the_domains_apart(tiny):
    model = tiny.model(-1.0, keras.optimizers.Adam(0.05), units=(8, 1), classification_weight=0.0)
    random = np.random.default_rng(0)
    xs, xt = random.normal(size=(2, 40, 3)).astype("float32")
    pairs = fg.data.pair_domains((xs, np.zeros(40, "int32")), xt + 3, batch_size=20)
    history = model.fit(pairs, epochs=25, verbose=0).history
    assert history["domain_accuracy"][-1] > 0.97
