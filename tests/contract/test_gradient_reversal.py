"""flip_gradient and GradientReversal: exact forward, exact gradient, counted horizon, loading."""

import keras
import numpy as np
import pytest
from keras import ops

import flipgrad as fg
from flipgrad._gradients import gradient

VALUES = [0.0, -0.0, 1.0, -1.0, 1 / 3, 1e-3, -7.7, 1e4, -6e4, 2.0**-14]
FAR = [1e38, -3e38, 1.2e-38, 123456.79]  # smaller ones the CPU flushes to zero in any addition


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("strength", [0.0, 1.0, 0.1, 1 / 3, 1e3, -1.0])
def test_forward_is_exact(dtype, strength):
    values = VALUES + (FAR if dtype != "float16" else [])
    x = ops.cast(ops.convert_to_tensor(np.array(values, "float32")), dtype)
    y = fg.flip_gradient(x, strength)
    assert keras.backend.standardize_dtype(y.dtype) == dtype
    same = ops.convert_to_numpy(ops.cast(y, "float32")) == ops.convert_to_numpy(ops.cast(x, "float32"))
    assert same.all()


def test_forward_is_exact_on_random_numbers():
    x = np.random.default_rng(0).normal(size=10_000).astype("float32")
    x *= np.float32(10) ** np.random.default_rng(1).integers(-30, 30, x.size).astype("float32")
    for strength in (0.1, 1 / 3, 0.7):
        np.testing.assert_array_equal(ops.convert_to_numpy(fg.flip_gradient(x, strength)), x)


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0, 2.5, -1.0])
def test_gradient_is_minus_strength_exactly(strength):
    x = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    weights = ops.convert_to_tensor(np.random.default_rng(1).normal(size=(5, 4)).astype("float32"))

    def plain(tensor):
        return ops.sum(weights * ops.tanh(tensor))

    expected = -np.float32(strength) * gradient(plain, x)
    assert np.abs(gradient(plain, x)).min() > 0
    found = gradient(lambda tensor: plain(fg.flip_gradient(tensor, strength)), x)
    np.testing.assert_array_equal(found, expected)


def test_gradient_of_a_large_tensor_is_not_capped():
    x = np.full(3, 1e30, "float32")
    found = gradient(lambda tensor: ops.sum(fg.flip_gradient(tensor, 0.5)), x)
    np.testing.assert_array_equal(found, np.full(3, -0.5, "float32"))


def test_strength_may_be_a_tensor():
    strength = ops.convert_to_tensor(0.25)
    found = gradient(lambda t: ops.sum(fg.flip_gradient(t, strength)), np.ones(2, "float32"))
    np.testing.assert_array_equal(found, [-0.25, -0.25])


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_gradient_in_half_precision(dtype):
    x = ops.cast(ops.convert_to_tensor(np.ones(4, "float32")), dtype)
    found = gradient(lambda t: ops.sum(fg.flip_gradient(t, 0.5)), x)
    np.testing.assert_array_equal(np.asarray(found, "float32"), np.full(4, -0.5))


def _functional(layer):
    inputs = keras.Input((3,))
    features = keras.layers.Dense(4, activation="tanh")(inputs)
    return keras.Model(inputs, keras.layers.Dense(1)(layer(features)))


def test_layer_reverses_and_keeps_the_value():
    layer = fg.layers.GradientReversal(0.3)
    x = np.random.default_rng(0).normal(size=(2, 3)).astype("float32")
    np.testing.assert_array_equal(ops.convert_to_numpy(layer(x)), x)
    np.testing.assert_array_equal(gradient(lambda t: ops.sum(layer(t)), x), np.full((2, 3), np.float32(-0.3)))
    assert layer.compute_output_shape((None, 3)) == (None, 3)


def test_layer_follows_its_schedule_over_the_counted_steps():
    layer = fg.layers.GradientReversal(fg.schedules.Ramp(), total_steps=8)
    model = _functional(layer)
    model.compile("sgd", "mse")
    x, y = np.ones((12, 3), "float32"), np.ones((12, 1), "float32")
    expected = fg.schedules.Ramp()
    ones = np.ones((1, 4), "float32")
    for seen in (0, 3, 6, 9):
        assert int(layer.steps.value) == seen
        found = gradient(lambda t: ops.sum(layer(t, training=False)), ones)
        want = -float(expected(min(seen / 8, 1.0)))
        np.testing.assert_allclose(found, np.full((1, 4), want), rtol=1e-6)
        model.fit(x, y, batch_size=4, epochs=1, verbose=0)
        model.predict(x, verbose=0)  # does not count


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_layer_counts_beyond_256_in_mixed_precision(policy):
    layer = fg.layers.GradientReversal(fg.schedules.Ramp(), total_steps=400, dtype=policy)
    x = np.ones((1, 2), "float32")
    for _ in range(300):
        layer(x, training=True)
    assert int(layer.steps.value) == 300


@pytest.mark.parametrize(
    "arguments",
    [(0.3,), (fg.schedules.Constant(0.3),), (fg.schedules.Ramp(5.0, 0.5), 100)],
    ids=["number", "constant", "ramp"],
)
def test_layer_loads_in_a_functional_model(tmp_path, arguments):
    model = _functional(fg.layers.GradientReversal(*arguments))
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
    model.fit(x, np.ones((8, 1), "float32"), batch_size=4, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
    old, new = model.layers[2], loaded.layers[2]
    assert isinstance(new, fg.layers.GradientReversal)
    assert new.get_config() == old.get_config()
    assert int(new.steps.value) == int(old.steps.value) == 2
    ones = np.ones((1, 4), "float32")
    np.testing.assert_array_equal(gradient(lambda t: ops.sum(new(t)), ones), gradient(lambda t: ops.sum(old(t)), ones))


def test_layer_without_a_length_is_refused():
    with pytest.raises(ValueError, match="total_steps"):
        fg.layers.GradientReversal(fg.schedules.Ramp())
    with pytest.raises(ValueError, match="total_steps"):
        fg.layers.GradientReversal(fg.schedules.Ramp(), total_steps=0)


def test_a_lambda_is_refused_as_strength():
    with pytest.raises(TypeError, match="Schedule"):
        fg.layers.GradientReversal(lambda progress: progress, total_steps=3)
