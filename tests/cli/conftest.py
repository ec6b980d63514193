"""The real program, started as a user starts it."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Program = Callable[..., subprocess.CompletedProcess[str]]


def environment(**changes: str) -> dict[str, str]:
    """This environment without what would choose a backend or data files."""
    unset = {"KERAS_BACKEND", "FLIPGRAD_DATA", "PYTHONPATH"}
    return {name: value for name, value in os.environ.items() if name not in unset} | changes


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "flipgrad", *map(str, words)]


@pytest.fixture
def flipgrad(tmp_path: Path) -> Program:
    """``flipgrad("run", "blobs", ...)`` runs the program in an empty folder."""

    def call(*words: object, cwd: Path = tmp_path, **options: Any) -> subprocess.CompletedProcess[str]:
        env = environment(**options.pop("env", {}))
        return subprocess.run(command(*words), cwd=cwd, env=env, capture_output=True, text=True, timeout=500, **options)

    return call


@pytest.fixture
def started(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """The same, without waiting for the end; Ctrl-C works though pytest may itself run in the background."""

    def call(*words: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command(*words),
            cwd=tmp_path,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )

    return call


def refused(done: subprocess.CompletedProcess[str]) -> str:
    """The one line with which the program refused."""
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("flipgrad: ")
    return line.removeprefix("flipgrad: ")
