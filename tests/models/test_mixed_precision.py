"""Mixed precision reaches what float32 reaches, on blobs, over several seeds."""

from functools import cache

import keras
import numpy as np
import pytest
from keras import layers

import flipgrad as fg

SEEDS = (0, 1, 2)
TOWARDS_SOURCE = np.float32([-0.4, 0.4])  # two fifths of the shift less: no seed fails by chance


def _accuracies(policy, seed, strength=None):
    keras.config.set_dtype_policy(policy)
    keras.utils.set_random_seed(seed)
    source, target = fg.data.blobs(seed)
    x = target.x + TOWARDS_SOURCE
    encoder = keras.Sequential([keras.Input((2,)), layers.Dense(15, "relu")])
    head = keras.Sequential([layers.Dense(2)])
    model = fg.DANN(encoder, head, fg.networks.discriminator((32, 1)), strength=strength)
    model.compile(keras.optimizers.Adam(0.003), steps_per_execution=100)
    pairs = fg.data.pair_domains((source.x, source.y), x, batch_size=64, seed=seed)
    model.fit(pairs, steps_per_epoch=800, verbose=0)
    assert int(model.step.value) == int(model.horizon.value) == 800
    assert int(model.first_bad_step.value) == -1
    scores = [
        float((model.predict(rows, batch_size=300, verbose=0).argmax(-1) == y).mean())
        for rows, y in ((source.x, source.y), (x, target.y))
    ]
    return np.array(scores)


@cache
def _mean(policy):
    return np.mean([_accuracies(policy, seed) for seed in SEEDS], axis=0)


@pytest.fixture(autouse=True)
def _on_tensorflow(backend):
    if backend != "tensorflow":
        pytest.skip("100 steps in one graph loop: on TensorFlow only; step by step it takes minutes")


def test_float32_adapts():
    source, target = _mean("float32")
    assert source > 0.95
    assert target > 0.87
    assert _accuracies("float32", 0, strength=0.0)[1] < 0.8  # without adaptation


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_adapts_as_well(policy):
    np.testing.assert_allclose(_mean(policy), _mean("float32"), atol=0.06)
