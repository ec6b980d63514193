"""The public surface: what is imported, when, and ten lines that work."""

import subprocess
import sys

import numpy as np
import pytest

import flipgrad as fg


def test_every_public_name_is_there():
    assert len(set(fg.__all__)) == len(fg.__all__)
    for name in fg.__all__:
        assert getattr(fg, name) is not None
        assert name in dir(fg)
    with pytest.raises(AttributeError, match="no attribute 'DAN'"):
        _ = fg.DAN


@pytest.mark.parametrize(
    "module", ["callbacks", "data", "layers", "models", "networks", "objectives", "plots", "scores"]
)
def test_every_name_of_a_module_is_there(module):
    for name in getattr(fg, module).__all__:
        assert getattr(getattr(fg, module), name) is not None


def test_importing_does_not_choose_a_backend():
    """The command line must choose it first, and --help must be quick."""
    code = (
        "import sys, flipgrad, flipgrad.data, flipgrad.errors, flipgrad.scores\n"
        "heavy = {'keras', 'tensorflow', 'jax', 'torch', 'matplotlib.pyplot'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "assert 'DANN' in dir(flipgrad)\n"
        "assert flipgrad.__version__\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_ten_lines(tmp_path):
    import keras
    from keras import layers

    source, target = fg.data.blobs(0)
    encoder = keras.Sequential([keras.Input((2,)), layers.Dense(15, activation="relu")])
    classifier = keras.Sequential([layers.Dense(2)])
    model = fg.DANN(encoder, classifier)
    model.compile("adam", metrics=["accuracy"])
    pairs = fg.data.pair_domains((source.x, source.y), target.x, batch_size=32)
    history = model.fit(pairs, epochs=3, validation_data=(source.x, source.y), verbose=0).history
    assert len(history["domain_accuracy"]) == 3
    logits = model.predict(target.x, verbose=0)
    assert logits.shape == (300, 2)
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(fg.load(tmp_path / "model.keras").predict(target.x, verbose=0), logits)
    chances = model.predictor.predict(target.x, verbose=0)
    np.testing.assert_allclose(chances.sum(-1), 1, rtol=1e-5)


def test_the_constructor_and_the_parts_are_the_same(tiny):
    import keras

    keras.utils.set_random_seed(0)
    short = fg.DANN(tiny.encoder(), tiny.classifier(), tiny.discriminator(), strength=0.5)
    keras.utils.set_random_seed(0)
    encoder, classifier = tiny.encoder(), tiny.classifier()
    objective = fg.objectives.DomainAdversarial(tiny.discriminator(), strength=0.5)
    long = fg.DomainAdaptationModel(encoder, classifier, [objective])
    for a, b in zip(short.get_weights(), long.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    default = fg.DANN(tiny.encoder(), tiny.classifier()).objectives[0]
    assert default.strength.get_config() == {"gamma": 10.0, "maximum": 1.0}
    assert [layer.units for layer in default.discriminator.layers[1:]] == [100, 1]
