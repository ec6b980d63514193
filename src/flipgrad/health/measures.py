"""The numbers that a diagnosis is made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from flipgrad.errors import InputError

FEWEST = 8  # rows of a domain below which a half of them tells a probe nothing
LOOK = 200  # rows of each domain, about, that a training is looked at with before its last epoch
_MOST = 1e300  # whole numbers beyond it are no floats


@dataclass(frozen=True)
class Measures:
    """What held-out rows of both domains tell of a model; None where there is nothing to tell.  No target labels.

    Attributes:
        finite: whether all features and logits are finite numbers; if not, all others are None.
        rows: of source and target that were looked at.
        source_accuracy: share of source rows classified rightly.
        source_peak: the best of them in the training so far.
        online_accuracy: of the model's own discriminator, balanced over the domains; chance 0.5.
        online_loss: its loss on these rows, nats; ln 2 = 0.693 for one that knows nothing.
        online_spread: standard deviation of its logit over all rows; 0 where it says the same of each.
        fresh_accuracy: of a new discriminator of the same shape, see ``probes.fresh_discriminator``.
        probe_accuracy: of a logistic regression on the features, see ``probes.linear_probe``.
        proxy_a_distance: from it, 0 to 2.
        input_accuracy: of boosted trees on the raw rows, see ``probes.input_probe``.
        channel_accuracy: of a logistic regression on the means of the raw channels.
        class_gap: see ``features.class_gap``.
        dead_units: share of units that are the same for every row.
        feature_scale: root mean square of the features.
        feature_spread: how much rows differ, as a share of the scale.
        effective_rank: of the centred features of both domains, in dimensions.
        target_entropy: mean entropy of the target's predictions, as a share of ``ln classes``.
        v_measure: between the target's predictions and its clusters, see ``scores.v_measure``.
        source_shares: share of source rows of each class, by label.
        target_shares: share of target rows of each class, by prediction.
        target_priors: share of target rows of each class, estimated by ``label_shift.class_weights``; empty where most
            target rows are predicted as classes that no source row is.
        prior_divergence: total variation between ``target_priors`` and ``source_shares``; None where there are none.
        largest_share: of all rows, the share of the class that is predicted most.
        never_predicted: class numbers that the source rows have and that no target row is predicted as.
        label_gradient: norm of the classification loss's gradient at the features.
        domain_gradient: norm of the domain loss's, before it is reversed and scaled.
        gradient_cosine: between the two at the source rows.
        strength: of the reversed gradient at this moment, times the back-offs.
    """

    finite: bool = True
    rows: tuple[int, int] = (0, 0)
    source_accuracy: float | None = None
    source_peak: float | None = None
    online_accuracy: float | None = None
    online_loss: float | None = None
    online_spread: float | None = None
    fresh_accuracy: float | None = None
    probe_accuracy: float | None = None
    proxy_a_distance: float | None = None
    input_accuracy: float | None = None
    channel_accuracy: float | None = None
    class_gap: float | None = None
    dead_units: float | None = None
    feature_scale: float | None = None
    feature_spread: float | None = None
    effective_rank: float | None = None
    target_entropy: float | None = None
    v_measure: float | None = None
    source_shares: tuple[float, ...] = ()
    target_shares: tuple[float, ...] = ()
    target_priors: tuple[float, ...] = ()
    prior_divergence: float | None = None
    largest_share: float | None = None
    never_predicted: tuple[int, ...] = ()
    label_gradient: float | None = None
    domain_gradient: float | None = None
    gradient_cosine: float | None = None
    strength: float | None = None

    @property
    def push(self) -> float | None:
        """The reversed gradient that reaches the features, as a share of the label gradient."""
        if self.strength is None or self.domain_gradient is None or not self.label_gradient:
            return None
        return self.strength * self.domain_gradient / self.label_gradient

    @classmethod
    def from_dict(cls, values: Any) -> Measures:
        """Reads what ``asdict`` gave, perhaps from a stranger's file; unknown names are left out.

        Raises:
            InputError: no dict, or a value of another kind.
        """
        if not isinstance(values, Mapping):
            raise InputError(f"measures: expected a table of names and values, received {type(values).__name__}")
        return cls(
            **{field.name: _checked(field.name, values[field.name]) for field in fields(cls) if field.name in values}
        )


_WHOLE = ("rows", "never_predicted")
_SHARES = ("source_shares", "target_shares", "target_priors")


def _checked(name: str, value: Any) -> Any:
    """A value of this measure, as ``Measures`` holds it."""
    if name == "finite":
        expected, fits = "true or false", isinstance(value, bool)
    elif name in _WHOLE or name in _SHARES:
        expected = {"rows": "two whole numbers", "never_predicted": "whole numbers"}.get(name, "numbers")
        kinds = (int,) if name in _WHOLE else (int, float)
        fits = isinstance(value, (list, tuple)) and all(_is_number(each, kinds) for each in value)
        fits = fits and (name != "rows" or len(value) == 2)
        if fits:
            return tuple(value if name in _WHOLE else map(float, value))
    else:
        expected, fits = "a number or null", value is None or _is_number(value, (int, float))
        if fits and value is not None:  # as float: whole numbers of any size overflow where they are divided
            return float(value)
    if not fits:
        raise InputError(f"measures: {name}: expected {expected}, found something else")
    return value


def _is_number(value: Any, kinds: tuple[type, ...]) -> bool:
    return type(value) in kinds and abs(value) < _MOST
