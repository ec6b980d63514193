"""Loading saved models."""

from __future__ import annotations

from pathlib import Path

import keras

from flipgrad import models  # noqa: F401  (registers the classes that a saved model names)


def load(path: str | Path) -> keras.Model:
    """Loads a model saved with ``model.save("name.keras")``; no code from the file is run.

    Args:
        path: a ``.keras`` file.

    Returns:
        The model, with its weights, optimizer, objectives and the step of its schedules.
    """
    return keras.saving.load_model(path, safe_mode=True)
