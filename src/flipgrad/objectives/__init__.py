"""Objectives: terms added to the classification loss, computed from both domains of a batch."""

from flipgrad.objectives.domain_adversarial import DomainAdversarial

__all__ = ["DomainAdversarial"]
