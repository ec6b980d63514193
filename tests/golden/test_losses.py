"""Losses and metrics against NumPy in double precision."""

import keras
import numpy as np
import pytest
from keras import layers

from flipgrad.objectives import DomainAdversarial


def softplus(a):
    return np.logaddexp(0, a)


def softmax_cross_entropy(logits, label):
    return np.log(np.exp(logits).sum(-1)) - logits[:, label]


def _call(objective, source, target):
    progress = keras.ops.convert_to_tensor(0.5)
    return float(objective({"features": source}, {"features": target}, progress))


def _objective(outputs, scale=1.0):
    """A linear discriminator with known weights."""
    random = np.random.default_rng(outputs)
    kernel, bias = random.normal(size=(4, outputs)) * scale, random.normal(size=outputs)
    discriminator = keras.Sequential([layers.Dense(outputs)])
    objective = DomainAdversarial(discriminator, 1.0)
    objective.build((None, 4))
    discriminator.set_weights([kernel, bias])
    return objective, kernel.astype("float32").astype("float64"), bias.astype("float32").astype("float64")


@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("rows", [(5, 5), (3, 11), (8, 1)])
@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_domain_loss_and_accuracy(outputs, rows, scale):
    objective, kernel, bias = _objective(outputs, scale)
    random = np.random.default_rng(7)
    source, target = (random.normal(size=(n, 4)).astype("float32") for n in rows)
    found = _call(objective, source, target)
    logits = [features.astype("float64") @ kernel + bias for features in (source, target)]
    if outputs == 1:
        terms = softplus(logits[0][:, 0]), softplus(-logits[1][:, 0])
        right = logits[0][:, 0] < 0, logits[1][:, 0] >= 0
    elif scale == 1.0:
        terms = softmax_cross_entropy(logits[0], 0), softmax_cross_entropy(logits[1], 1)
        right = logits[0].argmax(-1) == 0, logits[1].argmax(-1) == 1
    else:  # the exponentials would overflow; the difference of the logits does not
        advantage = [a[:, 1] - a[:, 0] for a in logits]
        terms = softplus(advantage[0]), softplus(-advantage[1])
        right = advantage[0] < 0, advantage[1] >= 0
    expected = 0.5 * (terms[0].mean() + terms[1].mean())
    assert found == pytest.approx(expected, rel=1e-5)
    assert float(objective.domain_loss.result()) == pytest.approx(expected, rel=1e-5)
    accuracy = 0.5 * (right[0].mean() + right[1].mean())
    assert float(objective.domain_accuracy.result()) == pytest.approx(accuracy, rel=1e-6)


def test_chance_is_log_2():
    discriminator = keras.Sequential([layers.Dense(1, kernel_initializer="zeros")])
    objective = DomainAdversarial(discriminator)
    objective.build((None, 4))
    features = np.ones((6, 4), "float32")
    found = _call(objective, features, features)
    assert found == pytest.approx(np.log(2), rel=1e-6)
    assert float(objective.domain_accuracy.result()) == 0.5


def test_source_is_0_and_target_is_1():
    """A discriminator whose logit is high for the target is right."""
    discriminator = keras.Sequential([layers.Dense(1)])
    objective = DomainAdversarial(discriminator)
    objective.build((None, 1))
    discriminator.set_weights([np.array([[5.0]]), np.zeros(1)])
    low, high = np.full((3, 1), -1.0, "float32"), np.full((3, 1), 1.0, "float32")
    right = _call(objective, low, high)
    assert right == pytest.approx(np.log1p(np.exp(-5)), rel=1e-5)
    wrong = _call(objective, high, low)
    assert wrong == pytest.approx(softplus(5), rel=1e-5)


def test_huge_logits_stay_finite():
    discriminator = keras.Sequential([layers.Dense(1)])
    objective = DomainAdversarial(discriminator)
    objective.build((None, 1))
    discriminator.set_weights([np.array([[1e6]]), np.zeros(1)])
    ones = np.ones((2, 1), "float32")
    assert _call(objective, ones, -ones) == pytest.approx(1e6)


def test_classification_loss(tiny):
    """The mean over source rows of the softmax cross-entropy, whatever the target is."""
    model = tiny.model(1.0, compiled={**tiny.quick, "metrics": ["accuracy"]})
    logits = model.predict(tiny.xs, verbose=0).astype("float64")
    rows = np.arange(len(logits))
    expected = np.mean(np.log(np.exp(logits).sum(-1)) - logits[rows, tiny.ys])
    plain = model.evaluate(tiny.xs, tiny.ys, verbose=0, return_dict=True)
    paired = model.evaluate(tiny.pairs(), verbose=0, return_dict=True)
    accuracy = (logits.argmax(-1) == tiny.ys).mean()
    for logs in (plain, paired):
        assert float(logs["classification_loss"]) == pytest.approx(expected, rel=1e-5)
        assert float(logs["accuracy"]) == pytest.approx(accuracy, rel=1e-6)
    assert float(plain["loss"]) == pytest.approx(expected, rel=1e-5)
    assert float(paired["loss"]) == pytest.approx(expected + float(paired["domain_loss"]), rel=1e-5)
