"""The trainings of a run folder: each is run, and what came of it written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary

import keras

from flipgrad import recording
from flipgrad.choosing import BestEpoch
from flipgrad.health import records
from flipgrad.models import DomainAdaptationModel
from flipgrad.runs import Run
from flipgrad.scoring import SCORES
from flipgrad.training import Reporter, Training

# The last trained model of each mode, as long as the run is written.
_TRAINED: WeakKeyDictionary[Run, dict[str, DomainAdaptationModel | None]] = WeakKeyDictionary()


def run_config(experiment: str, settings: dict[str, Any], checksums: dict[str, str]) -> dict[str, Any]:
    """What ``config.json`` says of a run, versions and platform apart."""
    return {
        "experiment": experiment,
        "settings": settings,
        "backend": keras.backend.backend(),
        "data": checksums,
    }


def unfinished(run: Run, seeds: Sequence[int], modes: Sequence[str]) -> Iterator[tuple[str, int]]:
    """The (mode, seed) that the run has still to train, seed by seed."""
    for seed in seeds:
        for mode in modes:
            if not run.finished(mode, seed):
                yield mode, seed


def train_and_record(
    job: Training,
    mode: str,
    folder: Run,
    reporter: Reporter,
    score: Callable[[], Mapping[str, Any]],
    record: recording.Inputs | None = None,
) -> None:
    """Trains, and writes the model, the history and, last, the row.

    A training that diverges has no model, no chosen epoch, no scores, and its step under ``diverged``; others go on.

    Args:
        job: the training.
        mode: its name; with the seed of ``job`` the key of the row.
        folder: of the run.
        reporter: told of the progress.
        score: the row's scores, asked for after the training.
        record: rows that the model is observed on while it is trained; None for none.
    """
    title = f"{folder.config['experiment']} {mode}, seed {job.seed}"
    job.checkpoint = folder.checkpoint_path(mode, job.seed)
    if record is not None:
        recording.write(folder.observation_path("inputs"), record)
        path = folder.observation_path(f"{mode}-{job.seed}")
        job.recorder = recording.Recorder(record, path, job.checkpoint.with_suffix(""))
        job.observed = record
    trained = _TRAINED.setdefault(folder, {})
    job.trained = trained.get(mode)
    outcome = job.run(title, reporter)
    trained[mode] = job.trained
    path = folder.model_path(mode, job.seed)
    path.unlink(missing_ok=True)  # a link; or of a run that was interrupted between this file and its row
    if outcome.diverged is None:
        job.model.save(path)
        scores = score()
    else:
        reporter.line(f"{title}: diverged at step {outcome.diverged} of {job.steps}")
        scores = dict.fromkeys(SCORES)
    folder.add_history(mode, job.seed, outcome.history)
    chosen: dict[str, Any] = {}
    if outcome.chosen is not None:
        chosen = {"chosen_epoch": outcome.chosen}
        if BestEpoch.name in outcome.history:
            chosen[BestEpoch.name] = outcome.history[BestEpoch.name][outcome.chosen - 1]
    if outcome.measures is not None:
        records.add(folder.path, (mode, job.seed), outcome.measures, reporter.line)
    folder.add_row(
        {
            "mode": mode,
            "seed": job.seed,
            **scores,
            "diverged": outcome.diverged,
            **chosen,
            "steps": job.steps,
            "seconds": round(outcome.seconds, 1),
        }
    )
    for path in (job.checkpoint, job.checkpoint.with_suffix(".best.npz")):
        path.unlink(missing_ok=True)
    if job.recorder is not None:
        job.recorder.clean()
    with suppress(OSError):  # other checkpoints, or what a killed writing left
        job.checkpoint.parent.rmdir()
