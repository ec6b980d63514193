"""One complete SGD step of a linear DANN, by hand in NumPy, against the model's weights after it."""

import keras
import numpy as np
import pytest
from keras import layers

import flipgrad as fg

RATE, ROWS = 0.25, (5, 3)


def _weights():
    random = np.random.default_rng(3)
    shapes = {"We": (3, 4), "be": (4,), "Wc": (4, 2), "bc": (2,), "Wd": (4, 1), "bd": (1,)}
    return {name: random.normal(size=shape) for name, shape in shapes.items()}


def _batch():
    random = np.random.default_rng(4)
    source, target = random.normal(size=(ROWS[0], 3)), random.normal(1, 1, (ROWS[1], 3))
    return source, np.arange(ROWS[0]) % 2, target


def _step_by_hand(strength, weight):
    """d/dw of Lc and of Ld by the chain rule; the encoder gets dLc - strength dLd, at rate ``RATE``."""
    w, (xs, ys, xt) = _weights(), _batch()
    fs, ft = xs @ w["We"] + w["be"], xt @ w["We"] + w["be"]

    powers = np.exp(fs @ w["Wc"] + w["bc"])
    error = (powers / powers.sum(-1, keepdims=True) - np.eye(2)[ys]) / len(xs)
    class_gradient = {"Wc": fs.T @ error, "bc": error.sum(0)}
    encoder_class = error @ w["Wc"].T  # dLc/dfs

    def sigmoid(a):
        return 1 / (1 + np.exp(-a))

    ds = 0.5 * sigmoid(fs @ w["Wd"] + w["bd"]) / len(xs)  # d softplus(a) = sigmoid(a)
    dt = -0.5 * sigmoid(-(ft @ w["Wd"] + w["bd"])) / len(xt)
    domain_gradient = {"Wd": fs.T @ ds + ft.T @ dt, "bd": ds.sum(0) + dt.sum(0)}
    encoder_source = weight * encoder_class - strength * (ds @ w["Wd"].T)
    encoder_target = -strength * (dt @ w["Wd"].T)

    gradients = {
        "We": xs.T @ encoder_source + xt.T @ encoder_target,
        "be": encoder_source.sum(0) + encoder_target.sum(0),
        **{name: weight * grad for name, grad in class_gradient.items()},
        **domain_gradient,
    }
    return {name: w[name] - RATE * gradients[name] for name in w}


@pytest.mark.parametrize(
    ("strength", "weight"), [(0.7, 1.0), (1.0, 1.0), (0.0, 1.0), (0.7, 0.0), (2.0, 0.5), (-1.0, 1.0)]
)
def test_one_step_of_sgd(tiny, strength, weight):
    encoder = keras.Sequential([keras.Input((3,)), layers.Dense(4)])
    classifier, discriminator = (keras.Sequential([layers.Dense(n)]) for n in (2, 1))
    model = fg.DANN(encoder, classifier, discriminator, strength=strength, classification_weight=weight)
    model.compile(keras.optimizers.SGD(RATE), **tiny.quick)
    w = _weights()
    encoder.set_weights([w["We"], w["be"]])
    classifier.set_weights([w["Wc"], w["bc"]])
    discriminator.set_weights([w["Wd"], w["bd"]])
    xs, ys, xt = (a.astype("float32") if a.dtype.kind == "f" else a for a in _batch())
    pairs = fg.data.pair_domains((xs, ys), xt, batch_size=ROWS)
    assert len(pairs) == 1
    model.fit(pairs, verbose=0)
    expected = _step_by_hand(strength, weight)
    parts = ((encoder, "We", "be"), (classifier, "Wc", "bc"), (discriminator, "Wd", "bd"))
    for part, kernel, bias in parts:
        for found, name in zip(part.get_weights(), (kernel, bias), strict=True):
            np.testing.assert_allclose(found, expected[name], rtol=1e-5, atol=1e-6, err_msg=name)
