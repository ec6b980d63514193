import numpy as np
import pytest

from flipgrad.data.blobs import blobs
from flipgrad.errors import InputError


def test_shapes_and_types():
    for domain in blobs():
        assert domain.x.shape == (300, 2)
        assert domain.x.dtype == np.float32
        assert domain.y.dtype == np.int32
        assert np.bincount(domain.y).tolist() == [150, 150]


def test_centres_and_spread():
    expected = {0: [(0, 0), (0, 1)], 1: [(1, -1), (1, 0)]}
    for domain, samples in enumerate(blobs(seed=3, samples_per_class=20000)):
        for label in (0, 1):
            x = samples.x[samples.y == label]
            np.testing.assert_allclose(x.mean(axis=0), expected[domain][label], atol=0.01)
            np.testing.assert_allclose(x.std(axis=0), 0.2, atol=0.005)
            assert abs(np.corrcoef(x.T)[0, 1]) < 0.03


def test_without_spread_only_the_centres_remain():
    source, target = blobs(samples_per_class=2, std=0)
    assert source.x.tolist() == [[0, 0], [0, 0], [0, 1], [0, 1]]
    assert target.x.tolist() == [[1, -1], [1, -1], [1, 0], [1, 0]]


def test_the_seed_decides():
    np.testing.assert_array_equal(blobs(7)[1].x, blobs(7)[1].x)
    assert not np.array_equal(blobs(7)[0].x, blobs(8)[0].x)
    source, target = blobs(7)
    assert not np.allclose(source.x + np.float32([1, -1]), target.x)  # independent draws


@pytest.mark.parametrize("arguments", [{"samples_per_class": 0}, {"std": -0.1}, {"std": float("nan")}])
def test_arguments_out_of_range(arguments):
    with pytest.raises(InputError, match=f"{next(iter(arguments))} must be at least"):
        blobs(**arguments)
