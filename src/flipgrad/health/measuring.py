"""Looks at held-out rows of both domains and takes the measures of a model."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special

from flipgrad._held_out import expect_model, held_out
from flipgrad.errors import InputError
from flipgrad.health import features as shape
from flipgrad.health import probes
from flipgrad.health.gradients import feature_gradients, present_strength
from flipgrad.health.label_shift import class_weights, divergence, shares
from flipgrad.health.measures import Measures
from flipgrad.models import DomainAdaptationModel
from flipgrad.observation import Observation, observe, take
from flipgrad.scores import v_measure


def measure(
    model: DomainAdaptationModel,
    source: tuple[Any, Any],
    target: Any,
    *,
    source_peak: float | None = None,
    probe: bool = True,
    raw: bool = True,
    random_state: int = 0,
) -> Measures:
    """Looks at held-out rows of both domains.  Nothing of the model changes, and no global random state.

    Args:
        model: a ``DomainAdaptationModel``, with or without objectives.
        source: ``(x, y)``, raw rows, an array or a dict of arrays, and class numbers ``(rows,)``, ``(rows, 1)`` or
            one-hot.
        target: raw rows, no labels.
        source_peak: the best source accuracy before.
        probe: whether to train the probes and clusters, which takes most of the time.
        raw: whether to train those of the raw rows too, which are the same for every model; of dicts there are none.
        random_state: of the probes.

    Raises:
        InputError: a domain without rows, a target with labels, labels that are no class numbers or not those of the
            classifier, no model of ours.
    """
    source, target = held_out(source, target)
    expect_model(model, "measure")
    seen = observe(model, source, target)
    parts = [part for view in (seen.source, seen.target) for part in vars(view).values() if part is not None]
    if not all(np.isfinite(part).all() for part in parts):
        return Measures(finite=False, rows=(len(seen.source.logits), len(seen.target.logits)), source_peak=source_peak)
    found = {**_of_predictions(seen, source_peak), **_of_features(seen), **_of_discriminator(model, seen, source[0])}
    if probe:
        found |= _of_probes(model, seen, random_state)
    if probe and raw and not isinstance(source[0], dict):
        found |= {
            "input_accuracy": _or_none(probes.input_probe, source[0], target, random_state),
            "channel_accuracy": _or_none(probes.channel_probe, source[0], target, random_state),
        }
    return Measures(rows=(len(seen.source.logits), len(seen.target.logits)), **found)


def _or_none(probe: Callable[..., float | None], *arguments: Any) -> float | None:
    """What a probe finds; None where it cannot cope with the numbers, for looking must never end a training."""
    try:
        with np.errstate(all="ignore"):
            return probe(*arguments)
    except (ValueError, ArithmeticError, np.linalg.LinAlgError):
        return None


def _of_predictions(seen: Observation, peak: float | None) -> dict[str, Any]:
    classes = seen.source.logits.shape[1]
    labels = seen.source_labels
    predicted, on_target = seen.source.logits.argmax(axis=1), seen.target.logits.argmax(axis=1)
    accuracy = float((predicted == labels).mean())
    at_source, at_target = shares(labels, classes), shares(on_target, classes)
    weights = class_weights(labels, predicted, on_target, classes)
    priors = None if weights is None else weights * at_source
    logs = special.log_softmax(seen.target.logits.astype("float64"), axis=1)
    return {
        "source_accuracy": accuracy,
        "source_peak": max(accuracy, peak or 0.0),
        "target_entropy": float(-(np.exp(logs) * logs).sum(axis=1).mean() / math.log(classes)),
        "source_shares": tuple(at_source.tolist()),
        "target_shares": tuple(at_target.tolist()),
        "target_priors": () if priors is None else tuple(priors.tolist()),
        "prior_divergence": None if priors is None else divergence(priors, at_source),
        "largest_share": float(shares(np.concatenate([predicted, on_target]), classes).max()),
        "never_predicted": tuple(np.flatnonzero((at_source > 0) & (at_target == 0)).tolist()),
    }


def _of_features(seen: Observation) -> dict[str, Any]:
    source, target = seen.source.features, seen.target.features
    both = np.concatenate([source, target])
    return {
        "class_gap": shape.class_gap(source, seen.source_labels, target, seen.target.logits.argmax(axis=1)),
        "dead_units": shape.dead_units(both),
        "feature_scale": shape.scale(both),
        "feature_spread": shape.spread(both),
        "effective_rank": shape.effective_rank(both),
    }


def _of_discriminator(model: DomainAdaptationModel, seen: Observation, x: Any) -> dict[str, Any]:
    source, target = seen.source.domain_logits, seen.target.domain_logits
    if source is None or target is None:
        return {}
    # As the encoder gives them, whatever the discriminator begins with.
    form = tuple(model.encode(take(x, slice(1))).shape[1:])
    rows = [view.features.reshape(-1, *form) for view in (seen.source, seen.target)]
    found = feature_gradients(model, rows[0], seen.source_labels, rows[1])
    return {
        "online_accuracy": float(((source < 0).mean() + (target >= 0).mean()) / 2),
        "online_loss": float((np.logaddexp(0, source).mean() + np.logaddexp(0, -target).mean()) / 2),
        "online_spread": float(np.concatenate([source, target]).std()),
        "label_gradient": found.label,
        "domain_gradient": found.domain,
        "gradient_cosine": found.cosine,
        "strength": present_strength(model),
    }


def _of_probes(model: DomainAdaptationModel, seen: Observation, random_state: int) -> dict[str, Any]:
    source, target = seen.source.features, seen.target.features
    linear = _or_none(probes.linear_probe, source, target, random_state)
    try:
        clusters = v_measure(target, seen.target.logits, random_state)
    except InputError:  # one class predicted, or constant features: there is none
        clusters = None
    found = {
        "probe_accuracy": linear,
        "proxy_a_distance": None if linear is None else probes.proxy_a_distance(linear),
        "v_measure": clusters,
    }
    if model.objectives:
        hidden = _hidden_units(model.objectives[0].discriminator)
        found["fresh_accuracy"] = _or_none(probes.fresh_discriminator, source, target, hidden, random_state)
    return found


def _hidden_units(discriminator: Any) -> tuple[int, ...]:
    """The widths of its dense layers but the last, from input to output; of one that has none, nothing."""

    def widths(layer: Any) -> list[int]:
        if hasattr(layer, "units"):
            return [layer.units]
        return [width for part in layer._flatten_layers(recursive=False, include_self=False) for width in widths(part)]

    return tuple(widths(discriminator)[:-1])
