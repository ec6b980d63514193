"""Data sets, and pairs of domains for training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flipgrad.data import mnist_m
from flipgrad.data.blobs import blobs
from flipgrad.data.digits import digits
from flipgrad.data.mnist import mnist
from flipgrad.data.moons import moons
from flipgrad.data.preparation import (
    binarise,
    channel_mean,
    generate,
    mixed_test_set,
    pixel_mean,
    to_rgb,
)
from flipgrad.data.samples import DomainPair, Samples, Splits, checksums, save

if TYPE_CHECKING:
    from flipgrad.data.pairing import PairedDomains, pair_domains

__all__ = [
    "DomainPair",
    "PairedDomains",
    "Samples",
    "Splits",
    "binarise",
    "blobs",
    "channel_mean",
    "checksums",
    "digits",
    "generate",
    "mixed_test_set",
    "mnist",
    "mnist_m",
    "moons",
    "pair_domains",
    "pixel_mean",
    "save",
    "to_rgb",
]


def __getattr__(name: str) -> Any:
    # Pairing needs Keras, and with it a backend; the data sets do not.
    if name in ("PairedDomains", "pair_domains"):
        from flipgrad.data import pairing

        return getattr(pairing, name)
    raise AttributeError(f"module 'flipgrad.data' has no attribute {name!r}")
