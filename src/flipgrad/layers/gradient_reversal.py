"""The gradient reversal layer: identity forward, minus ``strength`` times the gradient backward."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from flipgrad._checks import check_number
from flipgrad._registration import registered
from flipgrad.schedules import Constant, Schedule, as_schedule


def flip_gradient(x: Any, strength: Any = 1.0) -> Any:
    """Returns ``x`` unchanged; in the backward pass its gradient is multiplied by ``-strength``.

    The paper's pseudo-function R_lambda: ``R(x) = x``, ``dR/dx = -lambda I``
    (Ganin et al., JMLR 2016, eqs. 16 and 17), with ``strength`` for lambda.

    It is written as ``sg(x) + strength * (sg(x) - x)``, where ``sg`` stops the gradient.  The bracket is
    exactly zero for every finite ``x``, so the value is exact, and the slope is exactly ``-strength``
    on every backend.  (``sg((1 + s) x) - s x`` would be off by a rounding error; ``ops.custom_gradient``
    turns errors into NaN gradients on PyTorch.)

    Args:
        x: a floating-point tensor of any shape.
        strength: scalar number or tensor, 0 or greater; 0 stops the gradient, -1 leaves it as it is.

    Returns:
        A tensor of the shape and dtype of ``x``.
    """
    x = ops.convert_to_tensor(x)
    fixed = ops.stop_gradient(x)
    return fixed + ops.cast(strength, x.dtype) * (fixed - x)


@registered
class GradientReversal(keras.layers.Layer):
    """Gradient reversal as a layer, for models put together by hand with the functional API.

    ``DomainAdaptationModel`` reverses gradients by itself and follows the length of the run; prefer it.
    Use this layer in a model of your own, trained with ``fit`` on joined batches.

    Equation: ``R(x) = x``, ``dR/dx = -strength I`` (Ganin et al., JMLR 2016, eqs. 16 and 17).

    Args:
        strength: the factor on the reversed gradient (the paper's lambda): a number, 0 or greater, or a
            schedule from ``flipgrad.schedules``.  -1 switches the reversal off.  Default 1.0.
        total_steps: with a schedule, the number of training steps over which progress goes from 0 to 1.
            The layer counts its training calls itself, so it must be called once a step.

    Input shape: any.  Output shape: the same.

    Raises:
        ValueError: a schedule that is not constant without ``total_steps``.

    Example:
        >>> features = encoder(inputs)
        >>> reversed_features = fg.layers.GradientReversal(strength=0.3)(features)
        >>> domain_logit = discriminator(reversed_features)
    """

    def __init__(
        self,
        strength: float | Schedule = 1.0,
        total_steps: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.strength = as_schedule(strength)
        self.total_steps = total_steps
        if not isinstance(self.strength, Constant):
            where = "GradientReversal: with a schedule as `strength`, argument `total_steps`"
            check_number(where, total_steps, whole=True, remedy="give the number of training steps of the run")

    def build(self, input_shape: Any) -> None:
        # int32 and outside autocast: a bfloat16 counter stops at 256.
        self.steps = self.add_weight(
            name="steps",
            shape=(),
            initializer="zeros",
            dtype="int32",
            trainable=False,
            autocast=False,
        )

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        progress = ops.minimum(ops.cast(self.steps, "float32") / float(self.total_steps or 1), 1.0)
        if training:
            self.steps.assign_add(1)
        return flip_gradient(inputs, self.strength(progress))

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        strength = keras.saving.serialize_keras_object(self.strength)
        return {**super().get_config(), "strength": strength, "total_steps": self.total_steps}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> GradientReversal:
        strength = keras.saving.deserialize_keras_object(config["strength"])
        return cls(**{**config, "strength": strength})
