"""The rules behind the verdicts at their edges, on measures made by hand and on models whose parts are set by hand."""

import math
from dataclasses import replace

import keras
import numpy as np
import pytest

import flipgrad as fg
from flipgrad.health import Measures, diagnose, measure, records

# A training whose domains are partly aligned, on 1000 rows of each, and source-only training of its seed.
ADAPTED = Measures(
    rows=(1000, 1000), source_accuracy=0.95, source_peak=0.95, online_accuracy=0.7, online_loss=0.6, online_spread=1.0,
    fresh_accuracy=0.9, probe_accuracy=0.9, input_accuracy=0.95, class_gap=0.5, feature_spread=0.8, largest_share=0.4,
    target_entropy=0.3, v_measure=0.5, source_shares=(0.5, 0.5), target_shares=(0.5, 0.5), target_priors=(0.5, 0.5),
    prior_divergence=0.1, label_gradient=1.0, domain_gradient=1.0, strength=1.0,
)  # fmt: skip
BASELINE = replace(ADAPTED, online_loss=None, online_accuracy=None, online_spread=None, fresh_accuracy=None)
GAIN, NEGATIVE = "likely better than source-only", "negative transfer suspected"


def names(measures, baseline=None):
    return [verdict.name for verdict in diagnose(measures, baseline)]


def made(**changes):
    return names(replace(ADAPTED, **changes))


# Models of which every number is known: two classes by the sign of the first column, domains by the second. ----------


def model(kernel=(0.0, 1.0), bias=0.0, classes=2, strength=1.0):
    """A DANN of features (x, z) as they come: class 0 where x < 0, domain logit ``kernel @ (x, z) + bias``."""
    encoder = keras.Sequential([keras.Input((2,)), keras.layers.Identity()])
    discriminator = keras.Sequential([keras.layers.Dense(1)])
    made = fg.DANN(encoder, keras.Sequential([keras.layers.Dense(classes)]), discriminator, strength=strength)
    weights = np.zeros((2, classes))
    weights[0, :2] = -1, 1
    made.classifier.set_weights([weights, np.zeros(classes)])
    discriminator.set_weights([np.array(kernel)[:, None], np.array([bias])])
    return made


def domains(rows=1000, apart=10.0):
    random = np.random.default_rng(0)
    y = np.arange(rows) % 2
    x = random.normal(size=(2, rows, 2)).astype("float32")
    x[:, :, 0] += 8 * y - 4
    x[:, :, 1] += np.array([[-apart], [apart]]) / 2
    return (x[0], y), x[1]


@pytest.mark.parametrize("rows", [8, 1000])
def test_without_probes_a_discriminator_can_be_dead_or_have_won(rows):
    looked = {"probe": False}
    assert names(measure(model((0, 0)), *domains(rows), **looked)) == ["discriminator dead"]
    assert names(measure(model((0, 2)), *domains(rows), **looked)) == ["discriminator won"]


def test_a_dead_discriminator_needs_no_rows_to_be_told():
    assert names(measure(model((0, 0)), *domains(6))) == ["discriminator dead"]
    assert names(measure(model((0, 2)), *domains(6))) == ["too few rows to tell"]
    assert names(measure(model((0, 2)), *domains(8))) == ["discriminator won"]


def test_without_probes_nothing_is_said_that_needs_them():
    # A discriminator that looks the wrong way is at chance; a fresh one might tell.
    found = measure(model((0.01, 0)), *domains(), probe=False)
    assert found.online_loss > 0.6
    assert names(found) == []
    assert names(replace(found, source_peak=1.0, source_accuracy=0.5)) == ["source forgotten"]
    assert names(replace(found, rows=(36, 1000))) == ["too few rows to tell"]
    # One that tells something needs no fresh one beside it.
    assert names(measure(model((0, 0.1)), *domains(apart=2), probe=False)) == ["partly aligned"]
    assert made(fresh_accuracy=None, online_loss=0.3, online_accuracy=0.94) == ["partly aligned"]
    assert made(fresh_accuracy=None, online_loss=0.3, online_accuracy=0.96) == ["discriminator won"]
    assert made(online_loss=0.3, online_accuracy=0.86) == ["discriminator won"]  # as good as a fresh one of 0.9


def test_a_discriminator_that_is_wrong_is_not_at_chance():
    aligned = {"fresh_accuracy": 0.5, "online_accuracy": 0.5, "online_loss": 0.69}
    assert made(**aligned) == ["aligned"]
    assert made(**aligned | {"online_accuracy": 0.05, "online_loss": 3.0}) == ["partly aligned"]
    assert made(**aligned | {"online_loss": 0.85}) == ["partly aligned"]
    assert made(**aligned | {"online_accuracy": 0.05}) == ["partly aligned"]
    assert made(**aligned | {"online_accuracy": 0.45, "online_loss": 0.75}) == ["aligned"]
    weak = {"fresh_accuracy": 0.9, "online_accuracy": 0.5, "online_loss": 0.69, "domain_gradient": 1e-3}
    assert made(**weak) == ["discriminator too weak"]
    assert made(**weak | {"online_loss": 3.0}) == ["partly aligned"]


def test_a_discriminator_is_not_too_weak_while_its_gradient_is_switched_off():
    """A default DANN before its first step: the ramp begins at 0."""
    keras.utils.set_random_seed(0)
    encoder = keras.Sequential([keras.Input((2,)), keras.layers.Dense(8, activation="tanh")])
    untrained = fg.DANN(encoder, keras.Sequential([keras.layers.Dense(2)]))
    found = measure(untrained, *domains(200, apart=3.0))
    assert found.strength == found.push == 0
    assert found.fresh_accuracy > 0.8
    assert 0.6 < found.online_loss < 0.8
    assert names(found) == ["partly aligned"]
    assert names(replace(found, strength=-1.0)) == ["partly aligned"]
    assert names(replace(found, strength=1e-4)) == ["discriminator too weak"]


def test_so_few_rows_that_chance_alone_tells_the_domains_apart():
    alike = {"fresh_accuracy": 0.5, "online_accuracy": 0.5, "online_loss": 0.69}
    assert made(**alike, rows=(36, 1000)) == ["too few rows to tell"]
    assert made(**alike, rows=(37, 1000)) == ["aligned"]


# Held against source-only training -----------------------------------------------------------------------------------


def against(own, other):
    return names(replace(ADAPTED, **own), replace(BASELINE, **other))


def test_a_sign_of_gain_is_a_real_difference():
    better = {"target_entropy": 0.2, "class_gap": 0.3}
    assert against(better, {}) == [GAIN, "partly aligned"]
    assert against({"target_entropy": 0.2}, {}) == ["partly aligned"]
    assert against({"target_entropy": 0.2, "v_measure": 0.6}, {}) == [GAIN, "partly aligned"]
    for own, other in ((0.0, 0.0), (1e-17, 2e-17), (0.001, 0.009)):
        same = dict.fromkeys(("prior_divergence", "target_entropy", "class_gap"))
        assert against(dict.fromkeys(same, own), dict.fromkeys(same, other)) == ["partly aligned"]


def test_prior_divergences_of_few_rows_differ_by_chance():
    closer = {"prior_divergence": 0.1, "class_gap": 0.3}
    assert against(closer, {"prior_divergence": 0.19}) == [GAIN, "partly aligned"]
    few = {"rows": (100, 100)}
    assert against(closer | few, {"prior_divergence": 0.19} | few) == ["partly aligned"]
    assert against(closer | few, {"prior_divergence": 0.29} | few) == [GAIN, "partly aligned"]


@pytest.mark.parametrize("lacking", ["prior_divergence", "target_entropy", "class_gap", "v_measure"])
def test_a_measure_that_one_of_the_two_lacks_is_no_sign(lacking):
    """Two signs, one of them the measure: without it, on either side, nothing can be said of a gain."""
    other = {"class_gap": 0.3} if lacking != "class_gap" else {"target_entropy": 0.2}
    own = other | {lacking: 0.7 if lacking == "v_measure" else 0.02}
    assert against(own, {}) == [GAIN, "partly aligned"]
    assert against(own | {lacking: None}, {}) == ["partly aligned"]
    assert against(own, {lacking: None}) == ["partly aligned"]


def test_negative_transfer_rests_on_measures_of_both():
    worse = {"v_measure": 0.3, "prior_divergence": 0.3}
    other = {"prior_divergence": 0.3}
    assert NEGATIVE in against(worse, other)
    for lacking in worse:
        assert NEGATIVE not in against(worse | {lacking: None}, other)
        assert NEGATIVE not in against(worse, other | {lacking: None})
    # Priors that are those of the source are as near as they can be, whatever is known of chance.
    assert NEGATIVE not in against(
        {"v_measure": 0.3, "prior_divergence": 0.0, "source_shares": ()}, {"prior_divergence": 0}
    )


def test_one_class_for_all_of_the_target_does_not_follow_its_clusters():
    """By definition, with no measuring: the V-measure of one class is 0."""
    one = {"v_measure": None, "target_shares": (1.0, 0.0), "prior_divergence": 0.5, "class_gap": None}
    said = diagnose(ADAPTED, replace(BASELINE, **one))
    assert [verdict.name for verdict in said] == [GAIN, "partly aligned"]
    assert said[0].evidence["source_only_v_measure"] == 0
    assert NEGATIVE in against(one, {})


# Source accuracy -----------------------------------------------------------------------------------------------------


def forgets(now, peak, rows, baseline=None):
    changes = {"source_accuracy": now, "source_peak": peak, "rows": (rows, 1000)}
    return "source forgotten" in names(replace(ADAPTED, **changes), baseline)


def test_forgetting_of_many_rows_and_of_few():
    assert forgets(0.91, 0.98, 1000)
    assert not forgets(0.93, 0.98, 1000)
    assert forgets(0.91, 0.95, 1000, replace(BASELINE, source_accuracy=0.98))
    assert not forgets(18 / 20, 20 / 20, 20)  # a best of 1 is of so few rows no more certain than others
    assert not forgets(17 / 20, 19 / 20, 20)
    assert forgets(12 / 20, 19 / 20, 20)
    assert not forgets(0.64, 0.70, 100_000)  # the best may be of an early look at 200 rows
    assert forgets(0.60, 0.70, 100_000)


@pytest.mark.parametrize("rows", [20, 40, 60])
def test_a_training_that_forgets_nothing_is_seldom_said_to(rows):
    """Ten looks at a model that is as good at each, right of nine rows in ten, of some more surely than others."""
    random = np.random.default_rng(rows)
    said = 0
    for _ in range(400):
        sure = random.beta(0.45, 0.05, rows)
        looks = (random.random((10, rows)) < sure).mean(axis=1)
        said += forgets(float(looks[-1]), float(looks.max()), rows)
    assert said / 400 < 0.02  # by the six points alone it is 0.27, 0.20, 0.15


# A target whose classes no source row is predicted as ----------------------------------------------------------------


def test_a_target_that_is_predicted_as_no_source_row_is_has_no_priors(tmp_path):
    """Classes 0 and 1 lie on the first axis, the target on the side of a third."""
    (x, y), target = domains(100)
    stranger = model(classes=3)
    stranger.classifier.set_weights([np.array([[-1.0, 1, 0], [0, 0, 1]]), np.array([0, 0, 0.0])])
    target[:99], target[99] = (0, 9), (4, 0)
    assert np.bincount(keras.ops.convert_to_numpy(stranger(target)).argmax(1), minlength=3).tolist() == [0, 1, 99]
    monitor = fg.callbacks.HealthMonitor((x, y), target)
    stranger.compile(keras.optimizers.SGD(0.0))
    log = stranger.fit(fg.data.pair_domains((x, y), target, batch_size=50), callbacks=[monitor], verbose=0).history
    found = monitor.measures
    assert (found.target_priors, found.prior_divergence, found.target_shares) == ((), None, (0.0, 0.01, 0.99))
    assert math.isnan(log["health_prior_divergence"][0])
    assert not {"label shift", NEGATIVE} & set(names(found, replace(BASELINE, source_accuracy=1.0)))
    records.write(tmp_path, {("dann", 0): found})
    assert records.read(tmp_path) == {("dann", 0): found}
