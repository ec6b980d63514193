"""Every measure of health against an independent computation in NumPy or figures worked by hand."""

import itertools
import random as python_random
from functools import partial

import keras
import numpy as np
import pytest
from scipy.linalg import hadamard
from scipy.optimize import nnls

import flipgrad as fg
from flipgrad.health import Measures, features, label_shift, probes
from flipgrad.health.gradients import feature_gradients, present_strength
from flipgrad.observation import Observation, View

# Class frequencies -------------------------------------------------------------------------------------------------

# p(predicted i | class j), in tenths: what the model makes of the classes in either domain.
RATES = np.array([[8, 2, 0], [1, 6, 1], [1, 2, 9]])


def rows_of(priors, rates=RATES, rows=1000):
    """(labels, predictions) of so many rows: exactly as many of each kind as the rates say."""
    counts = np.rint(rates * np.asarray(priors) * rows / 10).astype(int)
    pairs = [(j, i) for i, j in itertools.product(range(len(rates)), repeat=2) for _ in range(counts[i, j])]
    labels, predicted = np.array(pairs).T
    return labels, predicted


@pytest.mark.parametrize("priors", [(0.2, 0.3, 0.5), (0.6, 0.3, 0.1), (0.0, 0.5, 0.5), (1.0, 0.0, 0.0)])
def test_class_weights_recover_the_frequencies_of_the_target(priors):
    source = np.array([0.2, 0.3, 0.5])
    labels, predicted = rows_of(source)
    found = label_shift.class_weights(labels, predicted, rows_of(priors)[1], 3)
    np.testing.assert_allclose(found, np.array(priors) / source, atol=1e-4)


def test_class_weights_are_never_below_zero():
    """All target rows predicted as class 0, which a perfect class 0 cannot give: by plain inversion one is negative."""
    labels, predicted = rows_of((0.3, 0.3, 0.4))
    confusion = RATES / 10 * (0.3, 0.3, 0.4)
    assert np.linalg.solve(confusion, [1, 0, 0]).min() < -0.1
    found = label_shift.class_weights(labels, predicted, np.zeros(50, int), 3)
    expected = nnls(confusion, np.array([1.0, 0, 0]))[0]
    np.testing.assert_allclose(found, expected / (expected @ (0.3, 0.3, 0.4)), atol=1e-6)
    assert found.min() >= 0


def test_class_weights_of_classes_that_a_domain_lacks():
    labels, predicted = rows_of((0.5, 0.0, 0.5))
    found = label_shift.class_weights(labels, predicted, rows_of((0.25, 0.0, 0.75))[1], 3)
    np.testing.assert_allclose(found, [0.5, 1, 1.5], atol=1e-6)  # nothing is known of class 1
    # A class that is never predicted in either domain cannot be told: the weights still make a distribution.
    labels = np.repeat([0, 1, 2], 20)
    found = label_shift.class_weights(labels, np.minimum(labels, 1), np.repeat([0, 1], [10, 30]), 3)
    assert found.min() >= 0
    assert found @ label_shift.shares(labels, 3) == pytest.approx(1)
    assert found[0] == pytest.approx(0.75)


@pytest.mark.parametrize(("strangers", "known"), [(60, False), (59, False), (31, False), (30, True), (0, True)])
def test_no_class_weights_where_most_of_the_target_is_predicted_as_no_source_row_is(strangers, known):
    """So many of 60 target rows are of class 2, which no source row is predicted as; the others are of class 0."""
    labels = np.repeat([0, 1], 50)
    found = label_shift.class_weights(labels, labels, np.repeat([2, 0], [strangers, 60 - strangers]), 3)
    if known:
        np.testing.assert_allclose(found, [2, 0, 1], atol=1e-6)
    else:
        assert found is None


@pytest.mark.filterwarnings("error")
def test_class_weights_of_any_predictions_are_a_distribution_or_none():
    """Also of the 24 target rows that are all predicted as one class by a model that never predicts another."""
    random = np.random.default_rng(0)
    cases = [
        (np.repeat([0, 1, 2], [9, 17, 17]), np.repeat([0, 1, 0, 1, 0, 1], [5, 4, 6, 11, 6, 11]), np.zeros(24, int))
    ]
    for _ in range(60):
        n, m, kinds = random.integers(1, 40, 3)
        labels = random.integers(0, 4, n)
        guesses = random.integers(0, kinds % 4 + 1, n + m)
        cases.append((labels, np.where(random.random(n) < 0.5, labels, guesses[:n]), guesses[n:]))
    none = 0
    for labels, predicted, target in cases:
        weights = label_shift.class_weights(labels, predicted, target, 4)
        if (~np.isin(target, predicted)).mean() > 0.5:
            assert weights is None
            none += 1
            continue
        assert weights.min() >= 0
        assert weights @ label_shift.shares(labels, 4) == pytest.approx(1)
    assert 0 < none < 10  # both are met


def test_shares_and_divergence_by_hand():
    np.testing.assert_array_equal(label_shift.shares([2, 0, 0, 2], 4), [0.5, 0, 0.5, 0])
    assert label_shift.divergence([0.5, 0.5, 0], [0.5, 0.25, 0.25]) == 0.25
    assert label_shift.divergence([1, 0], [0, 1]) == 1
    assert label_shift.divergence([0.3, 0.7], [0.3, 0.7]) == 0


# Features ----------------------------------------------------------------------------------------------------------


def rank_by_svd(x):
    values = np.linalg.svd(x - x.mean(0), compute_uv=False)
    p = values[values > 0] / values.sum()
    return np.exp(-(p * np.log(p)).sum())


def test_effective_rank_of_known_spectra():
    isotropic = hadamard(8)[:, 1:].astype("float32")  # seven centred columns at right angles, of one length
    assert features.effective_rank(isotropic) == pytest.approx(7)
    assert features.effective_rank(np.tile(isotropic, 3) + 5) == pytest.approx(7)  # more units than rows
    line = np.outer(np.arange(30), np.arange(1, 9)).astype("float32")
    assert features.effective_rank(line) == pytest.approx(1, abs=1e-3)
    # Singular values 3 : 1 have the entropy of (3/4, 1/4).
    two = isotropic[:, :2] * [3, 1]
    assert features.effective_rank(two) == pytest.approx(np.exp(-(0.75 * np.log(0.75) + 0.25 * np.log(0.25))))


@pytest.mark.parametrize("value", [0.0, 1.0, 0.1, -3e7])
def test_rows_that_are_all_the_same(value):
    same = np.full((300, 7), value, dtype="float32")
    assert features.effective_rank(same) == 0
    assert features.spread(same) < 1e-9
    assert features.dead_units(same) == 1


@pytest.mark.parametrize("shape", [(40, 6), (20, 64), (1201, 5)])
def test_effective_rank_against_the_singular_values(shape):
    x = np.random.default_rng(1).normal(size=shape) * np.linspace(0.1, 3, shape[1]) + 2
    looked_at = x if len(x) <= 500 else x[[row * (len(x) - 1) // 499 for row in range(500)]]
    assert features.effective_rank(x.astype("float32")) == pytest.approx(rank_by_svd(looked_at), rel=1e-4)


def test_scale_spread_and_dead_units():
    x = np.array([[3.0, 1, 0], [3, -1, 0], [3, 1, 0], [3, -1, 0]], dtype="float32")
    assert features.scale(x) == pytest.approx(np.sqrt((9 + 1) / 3))
    assert features.spread(x) == pytest.approx(np.sqrt(1 / 3) / np.sqrt(10 / 3))
    assert features.dead_units(x) == pytest.approx(2 / 3)
    wide = np.random.default_rng(0).normal(size=(50, 10)).astype("float32") * 1e-6
    assert features.dead_units(wide) == 0  # small is not dead
    assert features.dead_units(np.concatenate([wide, np.ones((50, 10), "float32")], axis=1)) == 0.5  # beside others


def test_class_gap_by_hand():
    labels = np.repeat([0, 1], 6)
    source = np.array([[0.0, 0], [4, 0]])[labels]

    def gap(*centres, predicted=labels):
        return features.class_gap(source, labels, np.array(centres, float)[labels], predicted)

    assert gap([0, 0], [4, 0]) == 0
    assert gap([0, 1], [4, 3]) == pytest.approx((1 + 3) / 2 / 4)
    assert gap([4, 0], [0, 0]) == 1  # each class on the other
    assert gap([4, 0], [0, 0], predicted=1 - labels) == 0  # it is the prediction that counts
    assert gap([0, 0], [4, 0], predicted=np.zeros(12, int)) is None
    assert gap([0, 0], [4, 0], predicted=np.repeat([0, 1], [8, 4])) is None  # four rows are no centre
    assert features.class_gap(np.zeros((12, 2)), labels, source, labels) is None  # classes that do not lie apart


def test_class_gap_leaves_rare_classes_out():
    random = np.random.default_rng(0)
    labels, predicted = np.repeat([0, 1, 2], [9, 9, 3]), np.repeat([0, 1, 2], [7, 5, 20])
    source, target = random.normal(size=(21, 4)), random.normal(size=(32, 4))
    own = [source[labels == k].mean(0) for k in (0, 1)]
    other = [target[predicted == k].mean(0) for k in (0, 1)]
    expected = np.mean([np.linalg.norm(a - b) for a, b in zip(own, other, strict=True)])
    expected /= np.linalg.norm(own[0] - own[1])
    assert features.class_gap(source, labels, target, predicted) == pytest.approx(expected)


def seen(source, target, predicted=None, labels=None):
    """An observation of these features; every row predicted as in turn, or as told."""
    views = [
        View(np.asarray(x, "float32"), np.eye(3, dtype="float32")[np.arange(len(x)) % 3 if p is None else p])
        for x, p in zip((source, target), predicted or (None, None), strict=True)
    ]
    return Observation(views[0], views[1], np.arange(len(source)) % 3 if labels is None else labels)


def test_what_has_collapsed():
    x = np.random.default_rng(0).normal(size=(2, 100, 5)) + 3
    zeros = np.zeros(100, int)
    almost = np.repeat([0, 1], [98, 2])
    assert not features.has_collapsed(seen(*x))
    assert features.has_collapsed(seen(*x, predicted=(zeros, zeros)))
    assert features.has_collapsed(seen(*x, predicted=(zeros, almost)))  # 198 of 200
    assert not features.has_collapsed(seen(*x, predicted=(almost, almost)))  # 196 of 200
    assert not features.has_collapsed(seen(*x, predicted=(zeros, zeros + 1)))  # a class for each domain
    assert features.has_collapsed(seen(*(3 + (x - 3) * 1e-4)))  # all rows alike
    # Where nearly all of the source is of one class, one class for nearly all rows is no collapse.
    assert not features.has_collapsed(seen(*x, predicted=(zeros, zeros), labels=np.repeat([0, 1], [96, 4])))
    assert features.has_collapsed(seen(*x, predicted=(zeros, zeros), labels=np.repeat([0, 1], [94, 6])))
    for bad in (np.nan, np.inf):
        broken = x.copy()
        broken[1, 5, 2] = bad
        assert features.has_collapsed(seen(*broken))


# Probes ------------------------------------------------------------------------------------------------------------

PROBES = {
    "linear": probes.linear_probe,
    "fresh": partial(probes.fresh_discriminator, hidden=(8,)),
    "input": probes.input_probe,
    "channel": probes.channel_probe,
}
SHAPES = {"one column": (1,), "columns": (5,), "many columns": (70,), "image": (6, 6, 3), "series": (12, 2)}
ROWS = 200


def domains(shape=(5,), rows=(ROWS, ROWS), shift=0.0, seed=0):
    random = np.random.default_rng(seed)
    return random.normal(size=(rows[0], *shape)), random.normal(size=(rows[1], *shape)) + shift


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("probe", PROBES)
def test_probes_find_what_is_there(probe, shape):
    assert PROBES[probe](*domains(SHAPES[shape], shift=8.0)) >= 0.98
    three_errors = 3 * 0.5 / np.sqrt(ROWS)  # half the rows of each domain are asked about
    assert PROBES[probe](*domains(SHAPES[shape])) == pytest.approx(0.5, abs=three_errors)


@pytest.mark.parametrize("probe", PROBES)
def test_probes_count_the_domains_equally(probe):
    """Twenty times as many rows of one domain: "always that one" must not look good, nor spoil what is there."""
    rows = (40, 800)
    three_errors = 3 * 0.5 / np.sqrt(40)
    assert PROBES[probe](*domains(rows=rows)) == pytest.approx(0.5, abs=three_errors)
    assert PROBES[probe](*domains(rows=rows[::-1], shift=5.0)) >= 0.95


@pytest.mark.parametrize("probe", PROBES)
def test_probes_need_eight_rows_of_each_domain(probe):
    assert PROBES[probe](*domains(rows=(7, 100), shift=9.0)) is None
    assert PROBES[probe](*domains(rows=(100, 1))) is None
    least = 40 if probe == "input" else 8  # trees find nothing in fewer
    assert PROBES[probe](*domains(rows=(least, least + 1), shift=9.0)) >= 0.9
    assert PROBES[probe](*domains(rows=(least - 1, 100), shift=9.0)) is None


@pytest.mark.parametrize("probe", ["input", "channel"])
@pytest.mark.parametrize("columns", [4, 80])
def test_probes_of_raw_rows_take_missing_values(probe, columns):
    source, target = domains((columns,), shift=5.0)
    missing = np.random.default_rng(1).random(source.shape) < 0.1
    source[missing] = np.nan
    source[:, 0] = np.nan  # a column that a domain lacks
    assert PROBES[probe](source, target) >= 0.9
    source, target = domains((columns,))
    source[missing], target[missing] = np.nan, np.nan
    assert PROBES[probe](source, target) == pytest.approx(0.5, abs=3 * 0.5 / np.sqrt(ROWS))


@pytest.mark.parametrize("probe", PROBES)
def test_numbers_that_a_probe_cannot_cope_with_tell_nothing(probe):
    source, target = domains((60,), shift=5.0)
    source[:3, 0] = target[:5, 1] = 3e38
    assert PROBES[probe](source, target) >= 0.9
    assert PROBES[probe](np.full((50, 3), 7.0), np.full((50, 3), 7.0)) in (None, 0.5)  # nothing differs
    if probe in ("input", "channel"):
        rare = np.full((2, 60, 3), np.nan)
        rare[0, 0, 1] = 1.0  # a column that is there in one row of all
        rare[:, :, 0] = [[0.0], [1.0]]
        assert PROBES[probe](*rare) == 1


def test_raw_rows_of_whole_numbers_and_of_no_columns():
    random = np.random.default_rng(0)
    dark, light = random.integers(0, 120, (40, 8, 8, 3)), random.integers(100, 256, (40, 8, 8, 3))
    for probe in (probes.input_probe, probes.channel_probe):
        assert probe(dark.astype("uint8"), light.astype("uint8")) >= 0.95
        assert probe(np.arange(40), np.arange(40) + 100.0) == 1  # a number a row


def test_a_fresh_discriminator_finds_what_a_line_cannot():
    random = np.random.default_rng(0)
    corner = random.choice([-2.0, 2.0], size=(2, 400, 2))
    corner[:, :, 1] = corner[:, :, 0] * np.array([1, -1])[:, None]  # source in two corners, target in the others
    source, target = corner + random.normal(size=corner.shape) * 0.3
    assert probes.linear_probe(source, target) < 0.6
    assert probes.fresh_discriminator(source, target, (8,)) > 0.95
    assert probes.input_probe(source, target) > 0.95
    assert probes.fresh_discriminator(source, target, ()) == probes.linear_probe(source, target)


def test_only_the_means_of_the_channels_go_into_the_channel_probe():
    texture = np.indices((8, 8)).sum(0)[..., None] % 2 - 0.5
    random = np.random.default_rng(0)
    brightness = random.normal(size=(2, 200, 1, 1, 3))
    source, target = brightness[0] + texture, brightness[1] - texture  # a board and its negative: the mean is 0
    assert probes.channel_probe(source, target) == pytest.approx(0.5, abs=0.11)
    assert probes.input_probe(source, target) > 0.95
    shift = np.array([0, 4.0, 0])
    means = brightness[0].mean((1, 2)), brightness[1].mean((1, 2)) + shift
    assert probes.channel_probe(source, target + shift) == probes.linear_probe(*means)


@pytest.mark.parametrize("probe", PROBES)
def test_probes_are_their_seed_s_and_leave_the_rest_alone(probe):
    """An overlap that makes the accuracy depend on every draw."""
    both = domains((70,), rows=(60, 50), shift=0.1)
    np.random.seed(5)  # noqa: NPY002
    keras.utils.set_random_seed(6)
    state = np.random.get_state()[1].copy(), python_random.getstate()  # noqa: NPY002
    first = PROBES[probe](*both, random_state=1)
    assert np.random.get_state()[1].tolist() == state[0].tolist()  # noqa: NPY002
    assert python_random.getstate() == state[1]
    np.random.seed(99)  # noqa: NPY002
    assert PROBES[probe](*both, random_state=1) == first
    assert len({PROBES[probe](*both, random_state=seed) for seed in range(4)}) > 1


def test_proxy_a_distance_by_hand():
    assert [probes.proxy_a_distance(a) for a in (1.0, 0.75, 0.5, 0.3)] == pytest.approx([2, 1, 0, 0])


# Gradients ---------------------------------------------------------------------------------------------------------


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


@pytest.fixture
def linear():
    """A function: a model of known matrices, and these: classifier (4, 3) and its bias, discriminator (4, outputs)."""

    def make(outputs=1, strength=None):
        random = np.random.default_rng(outputs)
        kernel, bias = random.normal(size=(4, 3)).astype("float32"), random.normal(size=3).astype("float32")
        domain = random.normal(size=(4, outputs)).astype("float32")
        encoder = keras.Sequential([keras.Input((4,)), keras.layers.Identity()])
        discriminator = keras.Sequential([keras.layers.Dense(outputs)])
        model = fg.DANN(encoder, keras.Sequential([keras.layers.Dense(3)]), discriminator, strength=strength)
        model.classifier.set_weights([kernel, bias])
        discriminator.set_weights([domain, np.zeros(outputs, "float32")])
        return model, kernel.astype("float64"), bias, domain.astype("float64")

    return make


@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("rows", [(6, 6), (5, 9), (300, 280)])
def test_feature_gradients_of_linear_parts(linear, outputs, rows):
    """Softmax regression and logistic regression, differentiated by hand; of many rows, at 256."""
    model, kernel, bias, domain = linear(outputs)
    random = np.random.default_rng(3)
    source, target = (random.normal(size=(n, 4)).astype("float32") for n in rows)
    labels = random.integers(0, 3, rows[0])
    found = feature_gradients(model, source, labels, target)
    places = [np.linspace(0, n - 1, min(n, 256)).astype(int) for n in rows]
    s, t, y = source[places[0]].astype("float64"), target[places[1]].astype("float64"), labels[places[0]]
    logits = s @ kernel + bias
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    by_label = (p - np.eye(3)[y]) @ kernel.T / len(s)
    v = domain[:, 1] - domain[:, 0] if outputs == 2 else domain[:, 0]
    at_source = 0.5 / len(s) * sigmoid(s @ v)[:, None] * v
    at_target = -0.5 / len(t) * sigmoid(-(t @ v))[:, None] * v
    assert found.label == pytest.approx(np.linalg.norm(by_label), rel=1e-5)
    assert found.domain == pytest.approx(np.linalg.norm(np.concatenate([at_source, at_target])), rel=1e-5)
    cosine = -(by_label * at_source).sum() / np.linalg.norm(by_label) / np.linalg.norm(at_source)
    assert found.cosine == pytest.approx(cosine, abs=1e-5)


def test_a_discriminator_that_says_nothing_has_no_direction(linear):
    model, *_ = linear()
    model.objectives[0].discriminator.set_weights([np.zeros((4, 1)), np.ones(1)])
    random = np.random.default_rng(0)
    found = feature_gradients(model, random.normal(size=(6, 4)).astype("float32"), np.arange(6) % 3,
                              random.normal(size=(6, 4)).astype("float32"))  # fmt: skip
    assert found.domain == 0
    assert found.label > 0
    assert found.cosine is None


@pytest.mark.parametrize(("step", "progress"), [(0, 0.0), (25, 0.25), (100, 1.0), (130, 1.0)])
def test_the_strength_at_the_present_step(linear, step, progress):
    model, *_ = linear()
    model.horizon.assign(100)
    model.step.assign(step)
    ramp = 2 / (1 + np.exp(-10 * progress)) - 1  # the paper's
    assert present_strength(model) == pytest.approx(ramp, abs=1e-6)
    model.objectives[0].strength_scale.assign(0.25)
    assert present_strength(model) == pytest.approx(ramp / 4, abs=1e-6)


def test_the_strength_of_a_model_that_was_not_trained(linear):
    assert present_strength(linear(strength=0.3)[0]) == pytest.approx(0.3)


def test_the_push_by_hand():
    assert Measures(strength=0.5, domain_gradient=3.0, label_gradient=6.0).push == 0.25
    for lacking in ({"label_gradient": 0.0}, {"label_gradient": None}, {"strength": None}):
        assert Measures(**{"strength": 0.5, "domain_gradient": 3.0, "label_gradient": 6.0, **lacking}).push is None


def test_prior_divergence_by_chance():
    """Against samples: it is about the 99th percentile, of many classes and of few, of many rows and of few."""
    random = np.random.default_rng(0)
    for priors, n, m in (([0.1] * 10, 50, 50), ([0.5, 0.3, 0.2], 100, 400), ([0.25] * 4, 20, 20)):
        first, second = random.multinomial(n, priors, 4000) / n, random.multinomial(m, priors, 4000) / m
        found = np.quantile(np.abs(first - second).sum(axis=1) / 2, 0.99)
        assert label_shift.chance_divergence(priors, n, m) == pytest.approx(found, rel=0.25)
    assert label_shift.chance_divergence([1.0, 0.0], 10, 10) == 0
