"""Schedules: pure functions of progress, the share of training done, 0 to 1."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from numbers import Real
from typing import Any

import keras
from keras import ops

from flipgrad._checks import check_number, described
from flipgrad._registration import registered
from flipgrad.errors import InputError


class Schedule(ABC):
    """The interface of a strength schedule: ``strength = schedule(progress)``.

    A schedule is a registered class and not a function, because functions, closures and partials do not
    load back from a saved model.  ``get_config`` returns the arguments of the constructor.
    """

    @abstractmethod
    def __call__(self, progress: Any) -> Any:
        """The strength at ``progress``, a float32 scalar from 0 to 1."""

    @abstractmethod
    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, as plain numbers."""

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Schedule:
        """The schedule that ``get_config`` described."""
        return cls(**config)


@registered
class Constant(Schedule):
    """The same strength from the first step to the last.

    Args:
        value: the strength; 0 or greater, or -1 to switch the reversal off.

    Raises:
        ValueError: another negative number, NaN or infinity.
    """

    def __init__(self, value: float) -> None:
        if not isinstance(value, Real) or not (0 <= value < math.inf or value == -1):
            raise InputError(
                "Argument `strength`: expected 0 or greater, or -1 to switch the reversal off; received "
                f"{described(value)}; the paper's is 1.0."
            )
        self.value: float = float(value)

    def __call__(self, progress: Any) -> Any:
        return ops.convert_to_tensor(self.value, dtype="float32")

    def get_config(self) -> dict[str, Any]:
        return {"value": self.value}


@registered
class Ramp(Schedule):
    """The paper's ramp from 0 to ``maximum``: ``maximum * (2 / (1 + exp(-gamma p)) - 1)``.

    It keeps the noisy signal of a young discriminator away from the encoder
    (Ganin et al., JMLR 2016, section 5.2.2, lambda_p; with gamma = 10 half way up at p = 0.11).

    Args:
        gamma: steepness, greater than 0.  Default 10.0, the paper's.
        maximum: the strength at the end, greater than 0.  Default 1.0.

    Raises:
        ValueError: ``gamma`` or ``maximum`` not greater than 0.
    """

    def __init__(self, gamma: float = 10.0, maximum: float = 1.0) -> None:
        for name, value in (("gamma", gamma), ("maximum", maximum)):
            check_number(f"Ramp: argument `{name}`", value, remedy="for no reversal use schedules.Constant(0)")
        self.gamma = float(gamma)
        self.maximum = float(maximum)

    def __call__(self, progress: Any) -> Any:
        progress = ops.cast(progress, "float32")
        return self.maximum * (2.0 / (1.0 + ops.exp(-self.gamma * progress)) - 1.0)

    def get_config(self) -> dict[str, Any]:
        return {"gamma": self.gamma, "maximum": self.maximum}


def as_schedule(strength: float | Schedule) -> Schedule:
    """A number as a ``Constant``; a schedule as it is.

    Raises:
        TypeError: anything else, such as a lambda, which would not load back from a saved model.
    """
    if isinstance(strength, Schedule):
        return strength
    if isinstance(strength, Real) and not isinstance(strength, bool):  # NumPy's numbers too
        return Constant(float(strength))
    raise TypeError(
        "Argument `strength` must be a number or a flipgrad.schedules.Schedule (functions and lambdas do not load back "
        f"from a saved model); received {described(strength)}; give schedules.Ramp(), or derive a class from "
        "schedules.Schedule and give an instance."
    )


@registered
class InverseDecay(keras.optimizers.schedules.LearningRateSchedule):
    """The paper's learning rate ``mu0 / (1 + alpha p)^beta``, with ``p = step / total_steps``.

    (Ganin et al., JMLR 2016, section 5.2.2, mu_p.)  Give it to the optimizer.  ``fit`` refuses a decay
    whose ``total_steps`` is not the real length of the run.

    Args:
        total_steps: the number of training steps of the whole run, greater than 0.
        initial_learning_rate: the paper's mu0, greater than 0.  Default 0.01.
        alpha: default 10.0.
        beta: default 0.75.

    Raises:
        ValueError: ``total_steps`` or ``initial_learning_rate`` not greater than 0, ``total_steps`` no whole number,
            a negative ``alpha`` or ``beta``.
    """

    def __init__(
        self,
        total_steps: int,
        initial_learning_rate: float = 0.01,
        alpha: float = 10.0,
        beta: float = 0.75,
    ) -> None:
        where, remedy = "InverseDecay: argument", "give the number of training steps, epochs x steps per epoch"
        check_number(f"{where} `total_steps`", total_steps, whole=True, remedy=remedy)
        for name, value, usual in (
            ("initial_learning_rate", initial_learning_rate, 0.01),
            ("alpha", alpha, 10.0),
            ("beta", beta, 0.75),
        ):
            zero = name != "initial_learning_rate"
            check_number(f"{where} `{name}`", value, zero=zero, remedy=f"the paper's is {usual}")
        self.total_steps = int(total_steps)
        self.initial_learning_rate = float(initial_learning_rate)
        self.alpha = float(alpha)
        self.beta = float(beta)

    def __call__(self, step: Any) -> Any:
        progress = ops.minimum(ops.cast(step, "float32") / self.total_steps, 1.0)
        return self.initial_learning_rate / ops.power(1.0 + self.alpha * progress, self.beta)

    def get_config(self) -> dict[str, Any]:
        return {
            "total_steps": self.total_steps,
            "initial_learning_rate": self.initial_learning_rate,
            "alpha": self.alpha,
            "beta": self.beta,
        }
