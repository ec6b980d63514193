"""The domain-adversarial objective of DANN."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from flipgrad._checks import expect_layer, refuse_probabilities
from flipgrad._registration import registered
from flipgrad._symbolic import symbolic_output
from flipgrad.errors import InputError
from flipgrad.layers import flip_gradient
from flipgrad.schedules import Ramp, Schedule, as_schedule


@registered
class DomainAdversarial(keras.layers.Layer):
    """Trains a discriminator to tell the domains apart and the encoder to prevent it.

    The discriminator descends on its cross-entropy at full rate; the encoder receives that gradient
    multiplied by ``-strength``.  (A factor on the loss itself would starve the discriminator.)

    Use it when the classes look alike in both domains once the style is gone.  Do not use it when the
    domains hold different classes or very different class frequencies: it aligns them all the same.

    Equation (Ganin et al., JMLR 2016, eqs. 9 and 18; the paper's G_d is ``discriminator``, lambda is
    ``strength``, d = 0 is source, d = 1 is target)::

        loss = 1/2 mean_source[softplus(a)] + 1/2 mean_target[softplus(-a)],  a = G_d(R_lambda(features))

    With two logits ``a = logit_1 - logit_0``, which makes it the usual softmax cross-entropy.  The domains
    count equally even when the halves of a batch differ in size; with equal halves this is the mean over
    the whole batch, as in the paper.

    Args:
        discriminator: Keras model, features -> one or two domain logits, without softmax or sigmoid.
        strength: a number, 0 or greater, or a schedule.  Default: the paper's ramp, ``schedules.Ramp()``.

    ``strength_scale`` is a weight, 1 unless something like ``callbacks.BackOff`` lowers it; the strength is multiplied
    by it.

    Logged: ``domain_loss`` (nats, 0.693 at chance), ``domain_accuracy`` (balanced over the domains,
    0.5 at chance), both before the step's update.

    Input shapes: ``features`` of ``(source rows, ...)`` and ``(target rows, ...)``.  Output: a scalar.

    Raises:
        ValueError: a discriminator that ends in softmax or sigmoid, or with three or more outputs.
    """

    def __init__(
        self,
        discriminator: keras.Model,
        strength: float | Schedule | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"dtype": "float32", **kwargs}, autocast=False)
        expect_layer(discriminator, "discriminator")
        self.discriminator = discriminator
        self.strength = Ramp() if strength is None else as_schedule(strength)
        # What a back-off has left of the strength; a weight, so that it is saved and never baked into a compiled step.
        self.strength_scale = self.add_weight(
            name="strength_scale", shape=(), initializer="ones", trainable=False, autocast=False
        )
        self.domain_loss = keras.metrics.Mean(name="domain_loss")
        self.domain_accuracy = keras.metrics.Mean(name="domain_accuracy")

    def build(self, feature_shape: Any) -> None:
        outputs = symbolic_output(self.discriminator, keras.KerasTensor(feature_shape), "discriminator").shape
        if len(outputs) != 2 or outputs[-1] not in (1, 2):
            raise InputError(
                "DomainAdversarial: the discriminator must give one or two domain logits per row, shape (rows, 1) "
                f"or (rows, 2); received output shape {tuple(outputs)}; end it with Dense(1)."
            )
        refuse_probabilities(self.discriminator, feature_shape, "discriminator")
        self.built = True

    def call(
        self,
        source: Any,
        target: Any,
        progress: Any,
        labels: Any = None,
        training: bool | None = None,
    ) -> Any:
        strength = self.strength(progress) * self.strength_scale.value
        features = ops.concatenate([source["features"], target["features"]], axis=0)
        logits = self.discriminator(flip_gradient(features, strength), training=training)
        logits = ops.cast(logits, "float32")
        advantage = logits[:, -1] - logits[:, 0] if logits.shape[-1] == 2 else logits[:, 0]
        rows = ops.shape(source["features"])[0]
        source_logit, target_logit = advantage[:rows], advantage[rows:]
        loss = 0.5 * (ops.mean(ops.softplus(source_logit)) + ops.mean(ops.softplus(-target_logit)))
        right = (ops.mean(_share(source_logit < 0)), ops.mean(_share(target_logit >= 0)))
        self.domain_loss.update_state(loss)
        self.domain_accuracy.update_state(0.5 * (right[0] + right[1]))
        return loss

    def load_own_variables(self, store: Any) -> None:
        if len(store.keys()):  # else of a version that had no back-off
            super().load_own_variables(store)

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "discriminator": serialize(self.discriminator),
            "strength": serialize(self.strength),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> DomainAdversarial:
        deserialize = keras.saving.deserialize_keras_object
        config = dict(config)
        discriminator = deserialize(config.pop("discriminator"))
        strength = deserialize(config.pop("strength"))
        return cls(discriminator, strength, **config)


def _share(condition: Any) -> Any:
    return ops.cast(condition, "float32")
