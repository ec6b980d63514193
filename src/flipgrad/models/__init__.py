"""Models: the training model and the constructors of named methods."""

from flipgrad.models.adapt import adapt
from flipgrad.models.dann import DANN
from flipgrad.models.domain_adaptation import DomainAdaptationModel

__all__ = ["DANN", "DomainAdaptationModel", "adapt"]
