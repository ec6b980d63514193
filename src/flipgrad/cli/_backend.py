"""Which backend Keras runs on, and a start of Keras that says nothing when nothing is wrong."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from flipgrad.cli._errors import listed, one_of
from flipgrad.errors import InputError

BACKENDS = ("tensorflow", "jax", "torch")  # in the order in which they are tried

# What TensorFlow's C++ prints on every start, whatever TF_CPP_MIN_LOG_LEVEL says: the line about
# absl, and lines of level I (information) and W (warning).  Levels E and F, and all else, stay.
_CHATTER = re.compile(
    rb"WARNING: All log messages before absl::InitializeLog\(\)"
    rb"|[IW]\d{4} \d\d:\d\d:\d\d|[IW]0000 00:00:\d+|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+: [IW] "
    rb"|To enable the following instructions: "
)


def choose(option: str | None) -> str:
    """The backend to use, which is installed.

    ``option`` (from --backend or from the run to resume) goes first, then $KERAS_BACKEND, then the
    configuration file of Keras, then whatever is installed.

    Raises:
        InputError: no such backend, or it is not installed; the message names what to install.
    """
    variable = os.environ.get("KERAS_BACKEND")
    for name, value in (("--backend", option), ("$KERAS_BACKEND", variable)):
        if value:
            return _installed_or_refused(name, one_of(name, value, BACKENDS))
    # Keras writes that file itself when it first starts, so it may name one that is not there.
    candidates = [configured] if (configured := _configured()) in BACKENDS else []
    for backend in (*candidates, *BACKENDS):
        if _installed(backend):
            return backend
    raise InputError(
        f"no backend: expected {listed(BACKENDS)}, found none installed; "
        'for example: pip install "flipgrad[tensorflow]"'
    )


def start(backend: str) -> None:
    """Imports Keras on this backend, and computes one number so that the first words come here."""
    os.environ["KERAS_BACKEND"] = backend
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _without_chatter():
        import keras

        keras.ops.convert_to_numpy(keras.ops.zeros(1) + 1)
        keras.utils.set_random_seed(0)  # this imports TensorFlow, where it is installed, on every backend


def _installed(backend: str) -> bool:
    return importlib.util.find_spec(backend) is not None


def _installed_or_refused(option: str, backend: str) -> str:
    if _installed(backend):
        return backend
    others = [other for other in BACKENDS if _installed(other)]
    remedy = f", or choose {listed(others)}" if others else ""
    raise InputError(f'{option}: {backend} is not installed; run: pip install "flipgrad[{backend}]"{remedy}')


def _configured() -> str | None:
    """The backend in Keras' configuration file; None without one."""
    home = os.environ.get("KERAS_HOME") or Path.home() / ".keras"
    with suppress(OSError, ValueError, AttributeError, RuntimeError):
        return str(json.loads((Path(home) / "keras.json").read_text()).get("backend"))
    return None


@contextmanager
def _without_chatter() -> Iterator[None]:
    """Holds standard error back, C++ and all, and then gives out what is not chatter.

    When the block fails everything is given out.
    """
    try:
        sys.stderr.flush()
        kept = os.dup(2)
    except (OSError, ValueError, AttributeError):  # standard error is closed: nothing to hold back
        yield
        return
    with tempfile.TemporaryFile() as held:
        failed = True
        os.dup2(held.fileno(), 2)
        try:
            yield
            failed = False
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            held.seek(0)
            for line in held.read().splitlines(keepends=True):
                if failed or not _CHATTER.match(line):
                    os.write(2, line)
