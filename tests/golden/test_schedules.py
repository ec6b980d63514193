"""Schedules against the paper's formulas and printed values."""

import keras
import numpy as np
import pytest

from flipgrad.schedules import Constant, InverseDecay, Ramp


def _value(tensor):
    return float(keras.ops.convert_to_numpy(tensor))


@pytest.mark.parametrize("progress", [0.0, 0.01, 0.1, 0.25, 0.5, 0.9, 1.0])
@pytest.mark.parametrize(("gamma", "maximum"), [(10.0, 1.0), (5.0, 1.0), (10.0, 0.3), (0.1, 2.0)])
def test_ramp(progress, gamma, maximum):
    """JMLR 2016, section 5.2.2: lambda_p = 2 / (1 + exp(-gamma p)) - 1."""
    expected = maximum * (2 / (1 + np.exp(-gamma * np.float64(progress))) - 1)
    assert _value(Ramp(gamma, maximum)(progress)) == pytest.approx(expected, rel=1e-5, abs=1e-7)


def test_the_published_shape_of_the_ramp():
    ramp = Ramp()
    assert _value(ramp(0.0)) == 0.0
    assert round(_value(ramp(1.0)), 4) == 0.9999
    assert _value(ramp(np.log(3) / 10)) == pytest.approx(0.5, abs=1e-6)  # half way up at p = 0.11
    values = [_value(ramp(p)) for p in np.linspace(0, 1, 50)]
    assert (np.diff(values) > 0).all()


@pytest.mark.parametrize("progress", [0.0, 0.1, 0.5, 1.0])
def test_inverse_decay(progress):
    """JMLR 2016, section 5.2.2: mu_p = mu0 / (1 + alpha p)^beta with 0.01, 10 and 0.75."""
    expected = 0.01 / (1 + 10 * progress) ** 0.75
    assert _value(InverseDecay(1000)(1000 * progress)) == pytest.approx(expected, rel=1e-5)


def test_the_ends_of_inverse_decay():
    decay = InverseDecay(50)
    assert _value(decay(0)) == pytest.approx(0.01, rel=1e-6)
    assert _value(decay(50)) == pytest.approx(0.01 / 11**0.75, rel=1e-6)
    assert _value(decay(50)) == pytest.approx(0.0016557, rel=1e-4)
    assert _value(decay(5000)) == _value(decay(50))  # and stays there
    other = InverseDecay(10, initial_learning_rate=0.5, alpha=2.0, beta=1.0)
    assert _value(other(5)) == pytest.approx(0.25, rel=1e-6)


def test_inverse_decay_beyond_the_integers_of_float16():
    """Steps are counted in float32, whatever the dtype policy: float16 knows no 70,000."""
    keras.config.set_dtype_policy("mixed_float16")
    assert _value(InverseDecay(140_000)(70_000)) == pytest.approx(0.01 / 6**0.75, rel=1e-5)


def test_constant():
    assert [_value(Constant(0.3)(p)) for p in (0, 0.5, 1)] == [pytest.approx(0.3)] * 3
