"""One seeded training: what the experiments and the commands share."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from flipgrad import recording
from flipgrad._checks import weights_are_finite
from flipgrad._reuse import copy_state, stand_in
from flipgrad._run_state import damaged_name
from flipgrad.callbacks import BackOff, HealthMonitor, LabelFreeCheckpoint
from flipgrad.checkpoint import Checkpoint, check, restore
from flipgrad.choosing import BestEpoch
from flipgrad.data.pairing import pair_domains
from flipgrad.errors import InputError
from flipgrad.health import Measures
from flipgrad.models import DomainAdaptationModel

_LOOKS = 4  # at the health, in a training


class Reporter:
    """What a run says while it works; this one says nothing.  The command line shows progress."""

    def line(self, text: str) -> None:
        """One line of information."""

    @contextmanager
    def training(self, title: str, steps: int) -> Iterator[Callable[[int, Mapping[str, Any]], None]]:
        """Shows one training; yields the function to call with (steps done, logs)."""
        yield lambda done, logs: None


@dataclass
class Outcome:
    """How a training went.

    Attributes:
        history: name -> one value per ``log_every`` steps.
        seconds: that it took.
        diverged: the step at which the loss, or by which a weight, was NaN or infinite; None where none was.
        chosen: the epoch whose weights the model has, from 1; None where it is the last, or the training diverged.
        measures: of the held-out rows of ``Training.observed`` at the end; None without any.
    """

    history: dict[str, list[float]]
    seconds: float
    diverged: int | None
    chosen: int | None = None
    measures: Measures | None = None


@dataclass
class Training:
    """One training: a model, its labelled rows, the target's rows where it has objectives, those with labels if any.

    ``observed`` are rows on which its health is measured (``callbacks.HealthMonitor``).  Where the model has objectives
    a collapse or divergence is found and taken back (``callbacks.BackOff``) on ``held_out`` rows, ``(source x, source
    y, target x)``, which are those of ``observed`` where none are given.

    ``choosing`` are labelled rows of the target that choose the epoch whose weights are kept, instead of the last; with
    ``keep_best`` a score that needs no target labels does, on the ``held_out`` rows.

    Where ``checkpoint`` names a file, all that is needed to go on is written to it at the end of each epoch, and a
    training that finds it there goes on from it.  ``recorder`` is a ``recording.Recorder``; its time is not counted.

    ``trained`` is a model of the same kind that was trained before: its compiled step is used, and it is overwritten.
    """

    model: DomainAdaptationModel
    source: tuple[Any, ...]
    target: Any
    optimizer: Any
    batch_size: int | tuple[int, int]
    steps: int
    log_every: int
    steps_per_execution: int
    seed: int
    jit_compile: bool | str = "auto"
    allow_missing: bool = False
    target_labelled: tuple[Any, Any] | None = None
    choosing: tuple[Any, Any] | None = None
    keep_best: bool = False
    held_out: tuple[Any, Any, Any] | None = None
    checkpoint: Path | None = None
    recorder: Any = None
    trained: DomainAdaptationModel | None = None
    observed: recording.Inputs | None = None

    def run(self, title: str, reporter: Reporter) -> Outcome:
        """Trains to the end, or until the loss or a weight is NaN or infinite."""
        # Several steps in one graph loop save most of the overhead, on TensorFlow only; so does XLA where the
        # network is tiny (PyTorch would compile with a C++ compiler that few have, JAX always compiles).
        on_tensorflow = keras.backend.backend() == "tensorflow"
        self.model.compile(
            self.optimizer,
            metrics=["accuracy"] if self.model.classification_weight else [],  # none of an untrained classifier
            steps_per_execution=self.steps_per_execution if on_tensorflow else 1,
            jit_compile=self.jit_compile if on_tensorflow else "auto",
        )
        self.trained = stand_in(self.model, self.trained)
        outcome = self._fit(self.trained, title, reporter)
        if self.trained is not self.model:
            copy_state(self.trained, self.model)
        return outcome

    def _fit(self, model: DomainAdaptationModel, title: str, reporter: Reporter) -> Outcome:
        pairs = pair_domains(
            self.source,
            self.target,
            self.batch_size,
            target_labelled=self.target_labelled,
            seed=self.seed,
            allow_missing=self.allow_missing,
        )
        first = 0
        history: dict[str, list[float]] = {}
        keep = Checkpoint(self.checkpoint) if self.checkpoint else None
        epochs = self.steps // self.log_every
        if self.checkpoint and self._is_begun(lambda text: reporter.line(f"{title}: {text}")):
            first, history = _begun(self.checkpoint, model, epochs)
        elif self._best_path:
            self._best_path.unlink(missing_ok=True)  # of a training that begins anew, perhaps damaged
        best: BestEpoch | LabelFreeCheckpoint | None = None
        if self.choosing is not None:
            best = BestEpoch(self.choosing, self._best_path, history.get(BestEpoch.name, ()))
        elif self.keep_best and self.held_out is not None:
            x, y, target = self.held_out
            best = LabelFreeCheckpoint((x, y), target, path=self._best_path, restore_best=False)
        back_off, monitor = self._health(epochs, history, lambda text: reporter.line(f"{title}: {text}"))
        began = time.perf_counter()
        with reporter.training(title, self.steps) as show:
            new = model.fit(
                pairs,
                epochs=epochs,
                initial_epoch=first,
                steps_per_epoch=self.log_every,
                callbacks=[
                    *([back_off] if back_off else []),
                    _StopWhenDiverged(self.log_every, show, at_once=back_off is None),
                    *(callback for callback in (best, monitor, self.recorder, keep) if callback),
                ],
                verbose=0,
            ).history
        seconds = time.perf_counter() - began - (self.recorder.seconds if self.recorder else 0)
        if new:
            history = {name: [*history.get(name, ()), *values] for name, values in new.items()}
        # No epoch before it is kept: that would hide settings that fail, and its schedules never came to their end.
        bad = int(model.first_bad_step.value)
        if bad >= 0:
            return Outcome(history, seconds, bad + 1, measures=Measures(finite=False))
        if not weights_are_finite(model):
            return Outcome(history, seconds, len(history["loss"]) * self.log_every, measures=Measures(finite=False))
        chosen = None if best is None else best.best_epoch
        if best is not None and chosen is not None:
            best.restore()
            if self.recorder is not None:
                self.recorder.keep(chosen + 1)
        elif best is not None:
            reporter.line(f"{title}: no epoch has a score to choose it by; the last one is kept")
        # Of the last epoch, unless another was chosen or none was left to train.
        measures = monitor and monitor.measures
        if monitor is not None and (measures is None or chosen is not None):
            measures = monitor.look()
        return Outcome(history, seconds, None, None if chosen is None else chosen + 1, measures)

    def _health(
        self, epochs: int, history: Mapping[str, list[float]], report: Callable[[str], None]
    ) -> tuple[BackOff | None, HealthMonitor | None]:
        """What looks after the training; ``history`` is of its epochs so far."""
        if self.observed is None or not self.model.classification_weight:  # of no classes there is nothing to say
            return None, None
        rows = (self.observed.source_x, self.observed.source_y), self.observed.target_x
        before = [value for value in history.get("health_source_accuracy", ()) if value is not None and value >= 0]
        monitor = HealthMonitor(*rows, every=-(-epochs // _LOOKS), source_peak=max(before, default=None))
        if self.held_out is not None:
            rows = self.held_out[:2], self.held_out[2]
        can_back_off = self.model.objectives and len(rows[0][1]) and len(rows[1])
        return BackOff(*rows, report=report) if can_back_off else None, monitor

    def _is_begun(self, report: Callable[[str], None]) -> bool:
        """Whether there is a checkpoint to go on from; one that cannot be read is renamed."""
        if not self.checkpoint or not self.checkpoint.exists():
            return False
        try:
            check(self.checkpoint)
            if (self.choosing is not None or self.keep_best) and self._best_path:
                recording.read_arrays(self._best_path)
            return True
        except InputError as error:
            kept = damaged_name(self.checkpoint)
            os.replace(self.checkpoint, kept)
            report(f"{str(error).rpartition('; ')[0]}; its checkpoint is kept as {kept.name}, and it begins anew")
            return False

    @property
    def _best_path(self) -> Path | None:
        return self.checkpoint and self.checkpoint.with_suffix(".best.npz")


def _begun(checkpoint: Path, model: keras.Model, epochs: int) -> tuple[int, dict[str, list[Any]]]:
    """What ``restore`` returns; InputError where it is of another training than one of so many epochs."""
    done, history = restore(checkpoint, model)
    lengths = {len(values) for values in history.values()}
    single = not any(isinstance(value, list) for values in history.values() for value in values)
    if done > epochs or "loss" not in history or lengths != {done} or not single:
        raise InputError(
            f"{checkpoint}: expected at most {epochs} epochs and a loss of each, found {done} epochs; it is of another "
            "training: delete it"
        )
    return done, history


class _StopWhenDiverged(keras.callbacks.Callback):
    """Stops soon after the first loss that is not finite; the model itself remembers the exact step."""

    def __init__(self, steps_per_epoch: int, show: Callable[[int, Mapping[str, Any]], None], *, at_once: bool) -> None:
        super().__init__()
        self.at_once = at_once  # else at the end of the epoch, where something may have mended it
        self.steps_per_epoch = steps_per_epoch
        self.show = show
        self.done = 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.done = epoch * self.steps_per_epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        # Reading the loss waits for the device, so not every step.
        if (batch + 1) % 20 == 0:
            # The last group of an epoch may be counted beyond its end.
            self.show(self.done + min(batch + 1, self.steps_per_epoch), logs)
            if self.at_once and not np.isfinite(float(logs["loss"])):
                self.model.stop_training = True

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.show((epoch + 1) * self.steps_per_epoch, logs or {})
        if int(self.model.first_bad_step.value) >= 0 or not weights_are_finite(self.model):
            self.model.stop_training = True


def log_interval(steps: int, wanted: int = 20) -> int:
    """The number of steps between two lines of the history: a divisor of ``steps`` that gives about ``wanted``."""
    divisors = [n for n in range(1, steps + 1) if steps % n == 0]
    return min(divisors, key=lambda n: abs(steps / n - wanted))


@contextmanager
def seeded(seed: int, precision: str = "float32") -> Iterator[None]:
    """Forgets earlier models and fixes every random draw that follows; ``precision`` holds inside only."""
    keras.utils.clear_session(free_memory=False)
    gc.collect()
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    keras.utils.set_random_seed(seed)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)
