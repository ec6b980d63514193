import numpy as np
import pytest

from flipgrad.data.preparation import (
    binarise,
    blend,
    channel_mean,
    generate,
    mixed_test_set,
    pixel_mean,
    to_rgb,
)
from flipgrad.data.samples import Samples
from flipgrad.errors import InputError

rng = np.random.default_rng(0)


def test_to_rgb():
    grey = rng.integers(0, 256, size=(5, 4, 3), dtype=np.uint8)
    colour = to_rgb(grey)
    assert colour.shape == (5, 4, 3, 3)
    assert colour.dtype == np.uint8
    for channel in range(3):
        np.testing.assert_array_equal(colour[..., channel], grey)
    with pytest.raises(InputError, match=r"received \(4, 3\)"):
        to_rgb(grey[0])


def test_binarise():
    result = binarise(np.array([[0, 1], [128, 255]], dtype=np.uint8))
    assert result.tolist() == [[0, 255], [255, 255]]
    assert result.dtype == np.uint8


def test_means_count_every_image_of_both_domains_once():
    source = rng.integers(0, 256, size=(30, 4, 5, 3), dtype=np.uint8)
    target = rng.integers(0, 256, size=(10, 4, 5, 3), dtype=np.uint8)
    both = np.concatenate([source, target]).astype(np.float64)
    assert pixel_mean(source, target).shape == (4, 5, 3)
    assert pixel_mean(source, target).dtype == channel_mean(source, target).dtype == np.float32
    np.testing.assert_allclose(pixel_mean(source, target), both.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(channel_mean(source, target), both.mean(axis=(0, 1, 2)), rtol=1e-6)


def test_means_refuse_unequal_images_and_empty_domains():
    with pytest.raises(InputError, match="equal in shape"):
        pixel_mean(np.zeros((2, 4, 4, 3)), np.zeros((2, 4, 4, 1)))
    with pytest.raises(InputError, match="non-empty"):
        channel_mean(np.zeros((2, 4, 4, 3)), np.zeros((0, 4, 4, 3)))


def test_mixed_test_set():
    source = Samples(np.arange(40.0).reshape(20, 2), np.arange(20, dtype=np.int32))
    target = Samples(-np.arange(60.0).reshape(30, 2), np.arange(30, dtype=np.int32))
    x, y, domain = mixed_test_set(source, target, count=10, seed=1)
    assert domain.tolist() == [0] * 10 + [1] * 10
    np.testing.assert_array_equal(x[:10], source.x[y[:10]])
    np.testing.assert_array_equal(x[10:], target.x[y[10:]])
    assert len(set(y[:10])) == len(set(y[10:])) == 10  # none twice
    np.testing.assert_array_equal(x, mixed_test_set(source, target, 10, 1)[0])
    assert not np.array_equal(x, mixed_test_set(source, target, 10, 2)[0])
    with pytest.raises(InputError, match="20 samples of the source"):
        mixed_test_set(source, target, count=21)


def test_blend_on_known_pixels():
    photo = np.arange(6 * 7 * 3, dtype=np.uint8).reshape(6, 7, 3)
    digit = np.array([[[0, 1], [255, 0]]], dtype=np.uint8)
    (image,) = blend(digit, [photo], np.array([0]), np.array([1]), np.array([2]), size=4)
    expected = photo[1:5, 2:6].copy()
    for row, column in ((1, 2), (2, 1)):  # the 2x2 digit lies in the middle of the 4x4 image
        expected[row, column] = 255 - expected[row, column]
    np.testing.assert_array_equal(image, expected)


def test_generate_follows_the_rule():
    photos = [np.full((40, 50, 3), value, dtype=np.uint8) for value in (10, 100)]
    digits = rng.integers(0, 2, size=(200, 28, 28), dtype=np.uint8) * 3
    images = generate(digits, photos, seed=0)
    assert images.shape == (200, 28, 28, 3)
    assert images.dtype == np.uint8
    for digit, image in zip(digits, images, strict=True):
        background = image[digit == 0]
        assert background.min() == background.max()
        assert background[0, 0] in (10, 100)
        assert (image[digit > 0] == 255 - background[0]).all()
    assert len({image[digit == 0][0, 0] for digit, image in zip(digits, images, strict=True)}) == 2


def test_generate_never_uses_the_very_last_corner():
    rows, columns = np.mgrid[:31, :32].astype(np.uint8)
    photo = np.stack([rows, columns, rows], axis=-1)
    corners = generate(np.zeros((500, 28, 28)), [photo], seed=0)[:, 0, 0]
    assert sorted(set(corners[:, 0].tolist())) == [0, 1, 2]  # 31 - 28 = 3 is excluded
    assert sorted(set(corners[:, 1].tolist())) == [0, 1, 2, 3]  # as is 32 - 28 = 4


def test_generate_is_decided_by_the_seed():
    photos = [rng.integers(0, 256, size=(40, 50, 3), dtype=np.uint8)]
    digits = np.zeros((20, 28, 28), dtype=np.uint8)
    np.testing.assert_array_equal(generate(digits, photos, 5), generate(digits, photos, 5))
    assert not np.array_equal(generate(digits, photos, 5), generate(digits, photos, 6))


@pytest.mark.parametrize(
    ("digits", "photos", "message"),
    [
        ((2, 28, 28, 3), [(40, 40, 3)], "digits must be"),
        ((2, 30, 28), [(40, 40, 3)], "digits must be"),
        ((2, 28, 28), [(28, 40, 3)], "photos must be"),
        ((2, 28, 28), [(40, 40)], "photos must be"),
        ((2, 28, 28), [], "photos must not be empty"),
    ],
)
def test_generate_refuses_what_does_not_fit(digits, photos, message):
    with pytest.raises(InputError, match=message):
        generate(np.zeros(digits, np.uint8), [np.zeros(shape, np.uint8) for shape in photos], 0)
    with pytest.raises(InputError, match="must be uint8"):
        generate(np.zeros((2, 28, 28), np.uint8), [np.zeros((40, 40, 3))], 0)
