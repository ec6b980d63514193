"""DANN: the domain-adaptation model with one domain-adversarial objective."""

from __future__ import annotations

from typing import Any

import keras

from flipgrad.models.domain_adaptation import DomainAdaptationModel
from flipgrad.networks import discriminator as default_discriminator
from flipgrad.objectives import DomainAdversarial
from flipgrad.schedules import Schedule


def DANN(  # noqa: N802 (the method's name, and it makes a model as a class would)
    encoder: keras.Model,
    classifier: keras.Model,
    discriminator: keras.Model | None = None,
    *,
    strength: float | Schedule | None = None,
    **kwargs: Any,
) -> DomainAdaptationModel:
    """Domain-adversarial neural network (Ganin et al., JMLR 2016, algorithm 1 and eq. 9).

    The same as ``DomainAdaptationModel(encoder, classifier, [DomainAdversarial(discriminator, strength)])``.

    Args:
        encoder: Keras model, input -> features.
        classifier: Keras model, features -> class logits.
        discriminator: Keras model, features -> one or two domain logits.  Default: flatten, 100 hidden units
            with ReLU, one logit.
        strength: the factor on the reversed gradient (the paper's lambda), a number or a schedule.  Default: the
            paper's ramp from 0 to 1 over the run.
        **kwargs: ``classification_weight``, ``passes``, ``encoder_rate``, ``name``: see ``DomainAdaptationModel``.

    Example:
        >>> model = fg.DANN(encoder, classifier)
        >>> model.compile("adam", metrics=["accuracy"])
        >>> model.fit(fg.data.pair_domains((xs, ys), xt, batch_size=64), epochs=10)
        >>> logits = model.predict(xt)
    """
    objective = DomainAdversarial(default_discriminator() if discriminator is None else discriminator, strength)
    return DomainAdaptationModel(encoder, classifier, [objective], **kwargs)
