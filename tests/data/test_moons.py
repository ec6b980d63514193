import numpy as np
import pytest

from flipgrad.data.moons import moons
from flipgrad.errors import InputError


def test_shapes_and_types():
    for domain in moons():
        assert domain.x.shape == (300, 2)
        assert domain.x.dtype == np.float32
        assert domain.y.dtype == np.int32
        assert np.bincount(domain.y).tolist() == [150, 150]


def on_the_moons(x, y):
    """Whether every point lies on its noiseless half circle."""
    upper = np.isclose(np.hypot(x[:, 0], x[:, 1]), 1, atol=1e-5) & (x[:, 1] > -1e-5)
    lower = np.isclose(np.hypot(x[:, 0] - 1, x[:, 1] - 0.5), 1, atol=1e-5) & (x[:, 1] < 0.5 + 1e-5)
    return bool(np.where(y == 0, upper, lower).all())


@pytest.mark.parametrize("rotation", [35.0, 90.0, -20.0])
def test_the_target_is_turned_counter_clockwise_about_the_centre(rotation):
    source, target = moons(noise=0, rotation=rotation)
    assert on_the_moons(source.x, source.y)
    assert not on_the_moons(target.x, target.y)
    back = np.exp(-1j * np.deg2rad(rotation)) * ((target.x - [0.5, 0.25]) @ [1, 1j])
    assert on_the_moons(np.stack([back.real, back.imag], axis=1) + np.array([0.5, 0.25]), target.y)


def test_the_domains_are_independent_draws_and_the_seed_decides():
    source, target = moons(3, rotation=0)
    assert not np.array_equal(source.x, target.x)
    np.testing.assert_array_equal(moons(3)[1].x, moons(3)[1].x)
    assert not np.array_equal(moons(3)[0].x, moons(4)[0].x)


def test_noise():
    x, y = moons(samples=4000, noise=0.1)[0]
    assert abs(np.hypot(*x[y == 0].T).std() - 0.1) < 0.01


@pytest.mark.parametrize("arguments", [{"samples": 1}, {"noise": -1.0}])
def test_arguments_out_of_range(arguments):
    with pytest.raises(InputError, match=f"{next(iter(arguments))} must be at least"):
        moons(**arguments)
