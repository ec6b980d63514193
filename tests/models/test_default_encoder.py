"""An encoder for rows of any kind."""

import keras
import numpy as np
import pytest
from keras import layers

import flipgrad as fg
from flipgrad.networks import default_encoder

array = keras.ops.convert_to_numpy


@pytest.mark.parametrize(
    ("shape", "features"),
    [
        ((7,), 128),  # two dense layers
        ((28, 28, 1), 7 * 7 * 64),
        ((16, 16, 3), 4 * 4 * 64),
        ((8, 8, 3), 4 * 4 * 32),
        ((64, 64, 3), 4 * 4 * 256),
        ((100, 100, 3), 7 * 7 * 256),
        ((128, 128, 3), 256),  # the mean over a map that is still large
        ((128, 6), 256),
        ((5, 2), 3 * 32),
        ((4, 4, 4, 2), 128),
    ],
)
def test_features_of_every_kind_of_row(shape, features):
    """128 of them, from so many of the layers before."""
    encoder = default_encoder(shape)
    assert encoder.output_shape == (None, 128)
    (last,) = [layer for layer in encoder.layers if isinstance(layer, layers.Dense)][-1:]
    assert last.input.shape[-1] == features
    rows = np.random.default_rng(0).normal(size=(3, *shape)).astype("float32")
    assert np.isfinite(array(encoder(rows))).all()


def test_preprocessing_comes_first():
    plain = default_encoder((3,))
    scaled = default_encoder((3,), [layers.Rescaling(0.5)])
    scaled.set_weights(plain.get_weights())
    rows = np.ones((2, 3), "float32")
    np.testing.assert_allclose(array(scaled(rows)), array(plain(0.5 * rows)), rtol=1e-6)


def test_a_backbone_with_weights_from_a_file(tmp_path):
    encoder = default_encoder((32, 32, 3), name="MobileNetV2")
    (backbone,) = [layer for layer in encoder.layers if isinstance(layer, keras.Model)]
    backbone.save_weights(tmp_path / "w.weights.h5")
    same = default_encoder((32, 32, 3), name="MobileNetV2", weights=str(tmp_path / "w.weights.h5"))
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype("uint8")
    np.testing.assert_array_equal(array(encoder(images)), array(same(images)))


def test_a_backbone_gets_pixels_as_it_was_trained_with():
    images = np.full((1, 4, 4, 3), 255.0, "float32")
    for name, module in (("ResNet50", keras.applications.resnet50), ("DenseNet121", keras.applications.densenet)):
        layer = fg.layers.BackbonePreprocessing(name)
        np.testing.assert_allclose(array(layer(images)), module.preprocess_input(images.copy()), rtol=1e-6)
    np.testing.assert_array_equal(array(fg.layers.BackbonePreprocessing("MobileNetV3Small")(images)), images)


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((3,), {"name": "ml"}, "did you mean 'mlp'?"),
        ((3,), {"name": "resnet50"}, "did you mean 'ResNet50'?"),
        ((3,), {"name": "cnn"}, "cnn does not fit rows of shape"),
        ((3,), {"weights": "imagenet"}, "only a backbone has any"),
        ((28, 28, 1), {"name": "ResNet50"}, "expects images"),
        ((16, 16, 3), {"name": "ResNet50"}, "for images of 16 x 16 pixels"),
        ((32, 32, 3), {"name": "MobileNetV2", "weights": "nofile.h5"}, "nofile.h5"),
    ],
)
def test_refusals(shape, options, message):
    with pytest.raises(fg.errors.InputError) as refused:
        default_encoder(shape, **options)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
