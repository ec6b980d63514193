"""Encoders and heads by name: those of the seed, of the paper, and small ones to begin with."""

from flipgrad.networks.blobs import blobs_classifier, blobs_discriminator, blobs_encoder
from flipgrad.networks.default import default_encoder
from flipgrad.networks.digits import digits_classifier, digits_encoder
from flipgrad.networks.heads import discriminator, mlp
from flipgrad.networks.mnist import mnist_classifier, mnist_discriminator, mnist_encoder

__all__ = [
    "blobs_classifier",
    "blobs_discriminator",
    "blobs_encoder",
    "default_encoder",
    "digits_classifier",
    "digits_encoder",
    "discriminator",
    "mlp",
    "mnist_classifier",
    "mnist_discriminator",
    "mnist_encoder",
]
