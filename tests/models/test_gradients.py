"""The probe itself: gradient and loss_gradients."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import flipgrad as fg
from flipgrad._gradients import gradient, loss_gradients


def test_gradient_of_a_formula():
    x = np.random.default_rng(0).normal(size=(3, 2)).astype("float32")
    found = gradient(lambda t: ops.sum(ops.exp(2 * t)), x)
    assert isinstance(found, np.ndarray)
    np.testing.assert_allclose(found, 2 * np.exp(2 * x), rtol=1e-5)


def test_gradient_of_what_does_not_depend_on_it():
    x = np.ones(3, "float32")
    np.testing.assert_array_equal(gradient(lambda t: ops.sum(ops.stop_gradient(t)), x), np.zeros(3))


def test_loss_gradients_are_those_of_training(tiny):
    """One step of plain SGD at rate 1 moves every weight by minus its gradient."""
    model = tiny.model(0.6, keras.optimizers.SGD(1.0), units=(8, 1), compiled=tiny.quick)
    (x, y), rows = tiny.batch, (6, 4)
    gradients = loss_gradients(model, tiny.batch)
    before = [ops.convert_to_numpy(w).copy() for w in model.trainable_variables]
    model.fit(fg.data.pair_domains((x["source"], y), x["target"], rows), verbose=0)
    for weight, old in zip(model.trainable_variables, before, strict=True):
        moved = ops.convert_to_numpy(weight) - old
        np.testing.assert_allclose(moved, -gradients[weight.path], rtol=1e-4, atol=1e-6)


def test_loss_gradients_of_unreached_weights_are_zero(tiny):
    model = tiny.model(0.6, classification_weight=0.0)
    gradients = loss_gradients(model, tiny.batch)
    for weight in model.classifier.trainable_variables:
        assert not gradients[weight.path].any()


def test_loss_gradients_of_weights_of_one_name(tiny):
    def network(width, units):
        return keras.Sequential([keras.Input((width,)), layers.Dense(units, name="one")], name="same")

    model = fg.DomainAdaptationModel(network(3, 4), network(4, 3))
    model.compile("sgd")
    with pytest.raises(ValueError, match="share the paths"):
        loss_gradients(model, tiny.batch)
