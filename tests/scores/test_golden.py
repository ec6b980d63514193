"""Every score against an independent computation in NumPy or figures worked by hand."""

import itertools
import math

import numpy as np
import pytest

from flipgrad import scores
from flipgrad.data import blobs

LN3 = math.log(3)
# Softmax of these rows: (3/4, 1/4) and (1/4, 3/4).
PAIR = np.array([[LN3, 0.0], [0.0, LN3]])


@pytest.fixture
def random():
    return np.random.default_rng(0)


def softmax(logits):
    e = np.exp(logits - logits.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def one_hot(classes, count):
    """Logits that predict these classes."""
    return 9.0 * np.eye(count)[classes]


def information(first, second):
    """Mutual information of two labellings, nats, by counting."""
    total = 0.0
    for a, b in set(zip(first, second, strict=True)):
        joint = np.mean([x == a and y == b for x, y in zip(first, second, strict=True)])
        total += joint * math.log(joint / (np.mean(np.equal(first, a)) * np.mean(np.equal(second, b))))
    return total


def test_source_accuracy():
    assert scores.source_accuracy(one_hot([0, 1, 2, 1], 3), [0, 1, 2, 2]) == 0.75


def test_v_measure_by_hand():
    """Two predicted classes, each cut into two clusters: homogeneity 1/2, completeness 1 seen from the clusters."""
    features = np.array([[0.0], [10.0], [20.0], [30.0]])
    assert scores.v_measure(features, one_hot([0, 0, 1, 1], 4)) == pytest.approx(2 / 3)
    assert scores.v_measure(features, one_hot([2, 0, 3, 1], 4)) == pytest.approx(1)


def test_v_measure_and_ami_of_a_partial_agreement():
    """Three clusters that are plain to see, against predictions that differ in two of nine rows."""
    clusters = [0, 0, 0, 1, 1, 1, 2, 2, 2]
    predicted = [0, 0, 1, 1, 1, 1, 2, 2, 0]
    features = np.array([[100.0 * c, 0.1 * i] for i, c in enumerate(clusters)])
    both, own, theirs = (information(*pair) for pair in [(predicted, clusters), (predicted,) * 2, (clusters,) * 2])
    homogeneity, completeness = both / own, both / theirs
    expected = 2 * homogeneity * completeness / (homogeneity + completeness)
    assert scores.v_measure(features, one_hot(predicted, 3)) == pytest.approx(expected)


def test_ami_against_all_permutations():
    """What chance gives, from all 720 orders of six rows."""
    clusters, predicted = [0, 0, 0, 1, 1, 1], [0, 0, 1, 1, 1, 1]
    features = np.array([[100.0 * c, 0.1 * i] for i, c in enumerate(clusters)])
    chance = np.mean([information(p, clusters) for p in itertools.permutations(predicted)])
    most = (information(predicted, predicted) + information(clusters, clusters)) / 2
    expected = (information(predicted, clusters) - chance) / (most - chance)
    assert scores.ami(features, one_hot(predicted, 2)) == pytest.approx(expected)


def test_entropy_by_hand():
    assert scores.entropy(PAIR) == pytest.approx(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))
    assert scores.entropy(1e4 * PAIR) == 0.0


def test_information_maximisation_by_hand(random):
    assert scores.information_maximisation(PAIR) == pytest.approx(math.log(2) - scores.entropy(PAIR))
    assert scores.information_maximisation(1e4 * np.eye(5)) == pytest.approx(math.log(5))
    logits = random.normal(size=(40, 6))
    p = softmax(logits)
    expected = sum(information_of_row(row, p.mean(0)) for row in p) / len(p)
    assert scores.information_maximisation(logits) == pytest.approx(expected)


def information_of_row(row, marginal):
    """The Kullback-Leibler divergence, whose mean the mutual information is too."""
    return sum(a * math.log(a / b) for a, b in zip(row, marginal, strict=True))


def test_bnm_by_hand(random):
    # (3/4, 1/4; 1/4, 3/4) has the singular values 1 and 1/2; the most is 2.
    assert scores.bnm(PAIR) == pytest.approx(0.75)
    assert scores.bnm(1e4 * np.eye(4)[[0, 1, 2, 3, 0, 1, 2, 3]]) == pytest.approx(1)
    logits = random.normal(size=(30, 5))
    p = softmax(logits)
    expected = np.sqrt(np.linalg.eigvalsh(p.T @ p)).sum() / math.sqrt(30 * 5)
    assert scores.bnm(logits) == pytest.approx(expected)
    nearly_equal = 1e-6 * np.eye(4)
    assert scores.bnm(nearly_equal) == pytest.approx(1 / 4, abs=1e-5)  # the least


def test_corr_c_by_hand():
    # C = (5/16, 3/16; 3/16, 5/16): trace 10, norm sqrt(68), times sqrt(2).
    assert scores.corr_c(PAIR) == pytest.approx(10 / math.sqrt(136))
    assert scores.corr_c(1e4 * np.eye(3)) == pytest.approx(1)
    assert scores.corr_c(1e-6 * np.eye(4)) == pytest.approx(1 / 2, abs=1e-5)  # the least


@pytest.mark.parametrize("rows", [17, 2003])  # more than are computed at once
def test_snd_against_loops(random, rows):
    logits = random.normal(size=(rows, 4)) * 3
    q = softmax(logits)
    q /= np.sqrt((q**2).sum(1, keepdims=True))
    some = [0, 1, rows // 2, rows - 1] if rows > 100 else range(rows)
    total = {}
    for i in some:
        weights = [math.exp(float(q[i] @ q[j]) / 0.05) for j in range(rows) if j != i]
        total[i] = -sum(w / sum(weights) * math.log(w / sum(weights)) for w in weights)
    if rows < 100:
        assert scores.snd(logits) == pytest.approx(np.mean(list(total.values())))
    else:  # a row alone, by the difference that leaving it out of the mean makes
        full = q @ q.T / 0.05
        np.fill_diagonal(full, -np.inf)
        p = np.exp(full - full.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        entropies = -np.where(p > 0, p * np.log(np.where(p > 0, p, 1)), 0).sum(1)
        assert {i: entropies[i] for i in some} == pytest.approx(total)
        assert scores.snd(logits) == pytest.approx(entropies.mean())


def test_snd_of_two_tight_groups():
    """Each of 2 x 50 rows has 49 equal neighbours and none else."""
    logits = 1e4 * np.eye(2)[np.repeat([0, 1], 50)]
    assert scores.snd(logits) == pytest.approx(math.log(49), abs=1e-6)


def test_rank_me_by_hand(random):
    assert scores.rank_me(np.eye(7)) == pytest.approx(7)
    assert scores.rank_me(np.outer(np.arange(1, 6), [1.0, 2.0])) == pytest.approx(1)
    assert scores.rank_me(np.diag([3.0, -1.0])) == pytest.approx(math.exp(math.log(4) - 0.75 * LN3))
    features = random.normal(size=(30, 4))
    values = np.sqrt(np.linalg.eigvalsh(features.T @ features))
    p = values / values.sum()
    assert scores.rank_me(features) == pytest.approx(math.exp(-(p * np.log(p)).sum()))


# Importance weights: Gaussians, whose density ratio is known --------------------------------------------------------


def gaussians(rows, shift=1.0, seed=0, target_rows=None):
    """Features of N(0, 1) and N(shift, 1); logits and labels of a classifier that errs above 0."""
    random = np.random.default_rng(seed)
    source = random.normal(size=(rows, 1))
    target = random.normal(size=(target_rows or rows, 1)) + shift
    logits = np.concatenate([np.zeros_like(source), source], axis=1)
    labels = np.zeros(rows, int)
    return source, logits, labels, target


def test_weights_are_the_ratio_of_the_densities():
    source, _, _, target = gaussians(40_000)
    held, weights = scores.importance_weights(source, target)
    assert len(held) == 20_000
    assert len(set(held)) == len(held)
    np.testing.assert_allclose(weights.mean(), 1, atol=0.03)
    np.testing.assert_allclose(np.log(weights), source[held, 0] - 0.5, atol=0.1)


def test_weights_with_domains_of_different_sizes():
    source, _, _, target = gaussians(40_000, target_rows=5_000)
    held, weights = scores.importance_weights(source, target)
    np.testing.assert_allclose(np.log(weights), source[held, 0] - 0.5, atol=0.15)


def test_weighted_risk_is_that_of_the_target():
    """E over N(1, 1) of log(1 + e^x), by quadrature; on the source it would be less."""
    x = np.linspace(-9, 11, 200_001)
    density = np.exp(-((x - 1) ** 2) / 2) / math.sqrt(2 * math.pi)
    expected = float((density * np.logaddexp(0, x)).sum() * (x[1] - x[0]))
    estimates = {f.__name__: f(*gaussians(40_000)) for f in (scores.importance_weighted_risk, scores.dev)}
    assert estimates == pytest.approx(dict.fromkeys(estimates, expected), rel=0.05)
    source = gaussians(40_000)[0]
    assert expected > 1.3 * np.logaddexp(0, source).mean()


def test_dev_and_devn_by_their_equations():
    source, logits, labels, target = gaussians(60, seed=3)
    held, w = scores.importance_weights(source, target, random_state=5)
    losses = np.log1p(np.exp(source[held, 0]))
    for function, weights in ((scores.dev, w), (scores.devn, w / max(w))):
        z = weights * losses
        slope = ((z - z.mean()) * (weights - weights.mean())).sum() / ((weights - weights.mean()) ** 2).sum()
        expected = z.mean() - slope * (weights.mean() - 1)
        assert function(source, logits, labels, target, random_state=5) == pytest.approx(expected)
    assert scores.importance_weighted_risk(source, logits, labels, target, 5) == pytest.approx((w * losses).mean())


def test_the_control_variate_steadies():
    draws = [gaussians(100, seed=seed) for seed in range(40)]
    spread = {f: np.std([f(*draw) for draw in draws]) for f in (scores.importance_weighted_risk, scores.dev)}
    assert spread[scores.dev] < 0.8 * spread[scores.importance_weighted_risk]


# Pools and training again -------------------------------------------------------------------------------------------


def test_ensv_by_hand():
    sure, unsure = np.array([[3.0, 0], [3.0, 0], [0, 3.0]]), np.array([[0, 0.1], [0.1, 0], [0, 0.1]])
    # The mean follows the sure model on row 0, where the two others are outvoted by how sure it is.
    assert scores.ensv({"a": sure, "b": unsure, "c": unsure}) == {"a": 1.0, "b": 2 / 3, "c": 2 / 3}
    assert scores.ensv({"alone": PAIR}) == {"alone": 1.0}


def nearest_centroid(source, target):
    x, y = source
    centres = {c: x[y == c].mean(0) for c in np.unique(y)}
    return lambda rows: np.array([min(centres, key=lambda c: np.linalg.norm(r - centres[c])) for r in rows])


def test_reverse_validation_by_hand():
    source, _ = blobs(0, std=0.05)
    held, _ = blobs(1, std=0.05)
    near, swapped = source.x + np.float32([0.1, 0.0]), 1 - source.x
    assert scores.reverse_validation(nearest_centroid, source, near, held) == 0
    assert scores.reverse_validation(nearest_centroid, source, swapped, held) == 0  # what it cannot see

    def forgets(source, target):
        """Names the target's classes by their other coordinate, so that they are lost on the way."""
        return lambda rows: (rows[:, 0] > np.median(rows[:, 0])).astype(int)

    assert scores.reverse_validation(forgets, source, near, held) == pytest.approx(0.5, abs=0.1)


def test_reverse_validation_trains_back_without_the_sources_labels():
    calls = []

    def train(source, other):
        calls.append((source, other))
        return lambda rows: np.arange(len(rows)) % 2

    x, y, target = np.zeros((6, 2)), np.ones(6, int), np.ones((4, 2))
    assert scores.reverse_validation(train, (x, y), target, (x, y)) == 0.5
    (first, unlabelled), (second, other) = calls
    assert first[1] is y
    assert unlabelled is target
    assert second[0] is target
    assert list(second[1]) == [0, 1, 0, 1]
    assert other is x
