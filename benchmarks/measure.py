"""One measurement, alone in its process: ``python benchmarks/measure.py '{"workload": "blobs"}'``.

Prints one JSON line.  ``benchmarks/speed.py`` runs it; the argument names fields of ``Case``.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flipgrad.data import Samples
    from flipgrad.models import DomainAdaptationModel


@dataclass(frozen=True)
class Case:
    """What to measure.

    Attributes:
        workload: ``mnist`` (the seed's networks and settings), ``paper`` (its network and batch of
            64 + 64), ``blobs``, or ``load``: reading the official MNIST-M.
        mode: ``dann``, or ``source``: the same number of rows in a step, all of the source.
        steps: how many, of which the first tenth is not timed.
        epochs: into how many the steps are divided, as the experiments do for their histories.
        precision: Keras dtype policy.
        backend: ``tensorflow``, ``jax`` or ``torch``.
        data: folder of the data files; None for where ``flipgrad.data`` looks by itself.
    """

    workload: str
    mode: str = "dann"
    steps: int = 300
    epochs: int = 1
    precision: str = "float32"
    backend: str = "tensorflow"
    data: str | None = None


def load(case: Case) -> dict[str, Any]:
    """Seconds to build the official MNIST-M, checksums included, and the process's peak memory."""
    from flipgrad import data

    began = time.perf_counter()
    splits = data.mnist_m.official(case.data, download=False)
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak_bytes = peak if sys.platform == "darwin" else 1024 * peak
    arrays = sum(part.x.nbytes for part in (splits.train, splits.test))
    return {"seconds": seconds, "peak_mb": peak_bytes / 1e6, "images_mb": arrays / 1e6}


def train(case: Case) -> dict[str, Any]:
    """Milliseconds per step of the public ``fit``, first tenth of the steps left out."""
    os.environ["KERAS_BACKEND"] = case.backend
    import keras

    from flipgrad import data

    keras.config.set_dtype_policy(case.precision)
    keras.utils.set_random_seed(0)
    model, optimizer, source, target, settings = WORKLOADS[case.workload](case)
    rows, several = settings.batch_size, settings.steps_per_execution
    jit = getattr(settings, "jit_compile", "auto")
    if case.backend != "tensorflow":
        several, jit = 1, "auto"
    model.compile(optimizer, metrics=["accuracy"], steps_per_execution=several, jit_compile=jit)
    if case.mode == "source":
        pairs = data.pair_domains(tuple(source), None, 2 * rows, seed=0)
    else:
        pairs = data.pair_domains(tuple(source), target.x, rows, seed=0)
    per_epoch = case.steps // case.epochs
    clock = clock_callback(per_epoch, case.steps // 10)
    model.fit(pairs, epochs=case.epochs, steps_per_epoch=per_epoch, callbacks=[clock], verbose=0)
    timed = per_epoch * case.epochs - clock.first
    if timed < case.steps // 2:
        sys.exit(f"{case.steps} steps in {case.epochs} epochs are too few to time {several} at once")
    return {
        "ms_per_step": 1000 * clock.seconds / timed,
        "steps": case.steps,
        "batch": "64" if case.mode == "source" and rows == 32 else f"{rows} + {rows}",
        "precision": case.precision,
        "backend": case.backend,
        "jit_compile": bool(model.jit_compile),
        "steps_per_execution": several,
    }


def clock_callback(per_epoch: int, skipped: int) -> Any:
    """Times all steps after the first ``skipped``, rounded up to a whole execution."""
    import keras

    class Clock(keras.callbacks.Callback):  # type: ignore[misc]
        first = 0  # steps that were not timed
        began = seconds = 0.0
        epoch = 0

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.epoch = epoch

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            done = self.epoch * per_epoch + batch + 1
            if not self.first and done >= skipped:
                float(logs["loss"])  # JAX computes behind our back; this waits for it
                self.first, self.began = done, time.perf_counter()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            # The logs of an epoch are numbers by now, so its last step is done.
            self.seconds = time.perf_counter() - self.began

    return Clock()


def blobs(case: Case) -> tuple[DomainAdaptationModel, Any, Samples, Samples, Any]:
    """The toy with its linear discriminator."""
    import keras

    from flipgrad import data
    from flipgrad.experiments import blobs as experiment

    settings = experiment.PRESETS["seed"]
    source, target = data.blobs(seed=0)
    optimizer = keras.optimizers.Adam(settings.learning_rate)
    model = experiment.build(settings, case.mode)
    return model, optimizer, source, target, settings


def images(case: Case) -> tuple[DomainAdaptationModel, Any, Samples, Samples, Any]:
    """MNIST -> the official MNIST-M, 28x28, with the settings of a preset."""
    from dataclasses import replace

    import keras

    from flipgrad import data
    from flipgrad.experiments import mnist as experiment
    from flipgrad.schedules import InverseDecay

    preset = "paper" if case.workload == "paper" else "seed"
    settings = replace(experiment.PRESETS[preset], target="official", precision=case.precision)
    folder = Path(case.data) if case.data else None
    source, target = experiment.load_domains(settings, folder)
    mean = data.channel_mean(source.train.x, target.train.x)
    optimizer = keras.optimizers.SGD(InverseDecay(case.steps, settings.learning_rate), momentum=settings.momentum)
    model = experiment.build(settings, case.mode, mean)
    return model, optimizer, source.train, target.train, settings


WORKLOADS = {"blobs": blobs, "mnist": images, "paper": images}


if __name__ == "__main__":
    asked = Case(**json.loads(sys.argv[1]))
    print(json.dumps(load(asked) if asked.workload == "load" else train(asked)))
