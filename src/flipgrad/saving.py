"""Loading saved models."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from flipgrad import layers, models, objectives, schedules  # noqa: F401  (registers what a saved model names)
from flipgrad._keras_files import check_keras_file
from flipgrad.errors import InputError


def load(path: str | Path, custom_objects: Mapping[str, Any] | None = None) -> keras.Model:
    """Loads a model saved with ``model.save("name.keras")``, on the same or another backend.

    It predicts as the saved one and goes on training with ``fit(..., initial_epoch=...)``.  No code from the file is
    run and no other file is read, even where ``keras.config.enable_unsafe_deserialization()`` was called: accepted are
    the parts of Keras that only compute, those of flipgrad, and ``custom_objects``.  Your own code is not checked,
    nor is how much memory the model takes.

    Args:
        path: a ``.keras`` file.
        custom_objects: your own classes and functions that the model uses, by the name under which they were saved
            (``"MyLayer"``, or ``"package>MyLayer"`` where registered).

    Returns:
        The model, with its weights, optimizer, objectives, the step of its schedules and its random state (but for
        that of ``Dropout`` without a seed on PyTorch, which PyTorch keeps).

    Raises:
        InputError: no such file, a damaged one, one that is no saved model, or one that names anything else.
    """
    path = Path(path)
    check_keras_file(path, custom_objects or {})
    try:
        return keras.saving.load_model(path, custom_objects=dict(custom_objects or {}), safe_mode=True)
    except Exception as error:  # Keras's own message may be long and print the file's content
        raise InputError(
            f"{path}: Keras {keras.__version__} cannot make a model of it ({type(error).__name__}); save it again with "
            "this version, and pass your own classes as custom_objects"
        ) from error
