"""Schedules as classes: arguments, configuration, loading.  Their numbers are in golden/."""

import keras
import numpy as np
import pytest

import flipgrad as fg
from flipgrad._registration import registered
from flipgrad.schedules import Constant, InverseDecay, Ramp, Schedule, as_schedule

SCHEDULES = [Constant(0.3), Constant(-1), Ramp(), Ramp(5.0, 0.25)]


@registered
class Steps(Schedule):
    """A user's own schedule."""

    def __init__(self, at=0.5):
        self.at = at

    def __call__(self, progress):
        return keras.ops.cast(progress >= self.at, "float32")

    def get_config(self):
        return {"at": self.at}


@pytest.mark.parametrize("schedule", [*SCHEDULES, Steps(0.25)], ids=lambda s: repr(s.get_config()))
def test_round_trip(schedule):
    described = keras.saving.serialize_keras_object(schedule)
    again = keras.saving.deserialize_keras_object(described)
    assert type(again) is type(schedule)
    assert again.get_config() == schedule.get_config()
    for progress in (0.0, 0.3, 1.0):
        assert float(again(progress)) == float(schedule(progress))


def test_a_schedule_of_ones_own_loads_with_the_model(tiny, tmp_path):
    model = tiny.model(Steps(0.75))
    model.save(tmp_path / "model.keras")
    loaded = fg.load(tmp_path / "model.keras").objectives[0].strength
    assert type(loaded) is Steps
    assert loaded.at == 0.75


def test_inverse_decay_round_trip(tiny, tmp_path):
    decay = InverseDecay(200, 0.1, alpha=3.0, beta=0.5)
    again = keras.optimizers.schedules.deserialize(keras.optimizers.schedules.serialize(decay))
    assert type(again) is InverseDecay
    assert again.get_config() == decay.get_config()
    tiny.model(optimizer=keras.optimizers.SGD(decay)).save(tmp_path / "model.keras")
    loaded = fg.load(tmp_path / "model.keras").optimizer
    assert loaded.get_config()["learning_rate"]["config"] == decay.get_config()


def test_they_are_float32_under_mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    progress = keras.ops.convert_to_tensor(np.float32(0.001))
    for schedule in (Ramp(), Constant(0.1)):
        assert keras.backend.standardize_dtype(schedule(progress).dtype) == "float32"
    assert float(Ramp()(progress)) == pytest.approx(0.005, rel=1e-4)


@pytest.mark.parametrize("value", [0, -1, -0.5, float("nan")])
def test_ramp_refuses(value):
    for name in ("gamma", "maximum"):
        with pytest.raises(ValueError, match=f"Ramp: argument `{name}` must be greater than 0"):
            Ramp(**{name: value})


@pytest.mark.parametrize("value", [0, -1, float("nan")])
def test_inverse_decay_refuses(value):
    with pytest.raises(ValueError, match="`total_steps` must be greater than 0"):
        InverseDecay(value)
    with pytest.raises(ValueError, match="`initial_learning_rate` must be greater than 0"):
        InverseDecay(10, value)


def test_as_schedule():
    ramp = Ramp()
    assert as_schedule(ramp) is ramp
    assert as_schedule(2).get_config() == {"value": 2.0}
    assert as_schedule(np.float32(0.5)).get_config() == {"value": 0.5}
    for wrong in (lambda p: p, "ramp", True, None, Ramp, np.zeros(2)):
        with pytest.raises(TypeError, match=r"must be a number or a flipgrad.schedules.Schedule"):
            as_schedule(wrong)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.5, -2])
def test_a_strength_out_of_range(value):
    with pytest.raises(ValueError, match="0 or greater, or -1"):
        Constant(value)
    with pytest.raises(ValueError, match="0 or greater, or -1"):
        fg.layers.GradientReversal(value)


def test_the_interface_is_abstract():
    with pytest.raises(TypeError, match="abstract"):
        Schedule()
