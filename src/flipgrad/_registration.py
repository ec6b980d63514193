"""The one way in which flipgrad classes are made known to Keras's loader."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import keras

Class = TypeVar("Class", bound=type)


def registered(cls: Class) -> Class:
    """Registers ``cls`` under ``flipgrad>ClassName``, the name that saved models carry."""
    register: Callable[[Class], Class] = keras.saving.register_keras_serializable(package="flipgrad")
    return register(cls)
