"""The predictor of a saved model alone, with its preprocessing, for use elsewhere.

Always from the saved file, under TensorFlow, in a process of its own: SavedModel export fails on PyTorch and ONNX
export on JAX.  ``python -m flipgrad.export FILE.keras OUT KIND`` is that process.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from flipgrad.errors import InputError

# What each kind needs, and how a name of it ends (a SavedModel is a folder).
KINDS = {"keras": ".keras", "savedmodel": "", "onnx": ".onnx"}
_NEEDED = {"keras": ("tensorflow",), "savedmodel": ("tensorflow",), "onnx": ("tensorflow", "tf2onnx", "onnxruntime")}
TOLERANCE = 1e-4  # of probabilities, after the export


def export(model_path: Path, out: Path, kind: str, shape: tuple[int, ...], classes: int) -> float:
    """Writes the predictor of a model, raw rows -> class probabilities, and checks what was written.

    Args:
        model_path: a ``.keras`` file of ``DomainAdaptationModel``.
        out: a new file, or for a SavedModel a new folder; appears whole or not at all.
        kind: ``"keras"``, ``"savedmodel"`` or ``"onnx"``.
        shape: of the rows that the model must take.
        classes: how many it must know.

    Returns:
        The largest difference between probabilities before and after, on rows made up for the purpose.

    Raises:
        InputError: packages that are missing, a model that cannot be exported, or one that differs by more than 1e-4.
    """
    if missing := [package for package in _NEEDED[kind] if importlib.util.find_spec(package) is None]:
        raise InputError(f'export to {kind}: {", ".join(missing)} not installed; run: pip install "flipgrad[export]"')
    folder = Path(tempfile.mkdtemp(prefix=".flipgrad-", dir=out.absolute().parent))
    temporary = folder / f"predictor{KINDS[kind]}"
    try:
        # -P: no module is taken from the current folder, which may be a stranger's.
        command = [sys.executable, "-P", "-m", "flipgrad.export", str(model_path.absolute()), str(temporary), kind]
        command += [",".join(map(str, shape)), str(classes)]
        environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            ours = "flipgrad.errors.InputError: "
            if reason.startswith(ours):
                raise InputError(reason.removeprefix(ours))
            raise InputError(f"export to {kind}: {reason[:500]}; try another format")
        difference = float(done.stdout.strip().splitlines()[-1])
        if not difference <= TOLERANCE:
            raise InputError(
                f"export to {kind}: its probabilities differ by {difference:.1e}, expected {TOLERANCE:.0e} or less; "
                "try another format"
            )
        os.replace(temporary, out)
    finally:
        shutil.rmtree(folder)
    return difference


def made_up_rows(shape: tuple[int, ...], count: int = 16) -> np.ndarray:
    """Rows to compare predictions on: whole numbers from 0 to 255 for half of them, small ones for the others."""
    random = np.random.default_rng(0)
    large = random.integers(0, 256, (count // 2, *shape))
    small = random.normal(size=(count - count // 2, *shape))
    return np.concatenate([large, small]).astype("float32")


def _export_here(model_path: Path, out: Path, kind: str, shape: tuple[int, ...], classes: int) -> float:
    from flipgrad.saving import load
    from flipgrad.trained import check_predictor

    predictor: Any = getattr(load(model_path), "predictor", None)
    check_predictor(predictor, shape, classes, model_path)
    x = made_up_rows(predictor.input_shape[1:])
    before = np.asarray(predictor(x, training=False))  # first: Keras exports only what has been called
    written = {"keras": _as_keras, "savedmodel": _as_saved_model, "onnx": _as_onnx}[kind](predictor, out)
    return float(np.abs(before - written(x)).max())


def _as_keras(predictor: Any, out: Path) -> Callable[[np.ndarray], np.ndarray]:
    import keras

    predictor.save(out)
    loaded = keras.models.load_model(out)
    return lambda x: np.asarray(loaded(x, training=False))


def _as_saved_model(predictor: Any, out: Path) -> Callable[[np.ndarray], np.ndarray]:
    import tensorflow as tf

    predictor.export(out, format="tf_saved_model", verbose=False)
    loaded = tf.saved_model.load(out)
    return lambda x: np.asarray(loaded.serve(x))


def _as_onnx(predictor: Any, out: Path) -> Callable[[np.ndarray], np.ndarray]:
    import onnxruntime

    predictor.export(out, format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda x: np.asarray(session.run(None, {name: x})[0])


if __name__ == "__main__":
    _shape = tuple(map(int, sys.argv[4].split(",")))
    print(_export_here(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], _shape, int(sys.argv[5])))
