"""Keras layers of flipgrad."""

from flipgrad.layers.backbone_preprocessing import BackbonePreprocessing
from flipgrad.layers.gradient_reversal import GradientReversal, flip_gradient
from flipgrad.layers.standardisation import Standardisation
from flipgrad.layers.table_features import TableFeatures
from flipgrad.layers.term_weights import TermWeights

__all__ = [
    "BackbonePreprocessing",
    "GradientReversal",
    "Standardisation",
    "TableFeatures",
    "TermWeights",
    "flip_gradient",
]
