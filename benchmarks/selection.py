"""What each label-free score would pick among the epochs of finished runs, and what that is worth on the target.

    python benchmarks/selection.py blobs=runs/blobs digits=runs/digits --out benchmarks/results/selection.json \
        --reverse benchmarks/results/reverse_validation.json

Each run holds several seeds of mode source and of an adapted mode (or is one of several folders, with commas between,
of ``flipgrad adapt --target-test``).  The epochs are those that were recorded, at most eleven beside the untrained
model; the scores see the recorded features (up to 50 principal components) and logits.  The target's labels are read
to report by, after everything has been picked.  ``--reverse`` names what ``reverse_validation.py`` wrote of them.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from flipgrad import recording
from flipgrad._guarded import EPOCHS_GUARD, MODELS_GUARD
from flipgrad.recording import Inputs, Recording
from flipgrad.report.choice import scores_by_epoch, value_of
from flipgrad.runs import Run
from flipgrad.scores import SCORES, ensv


def trainings(folders: list[Path]) -> Iterator[tuple[str, int, Inputs, Recording]]:
    """(mode, seed, rows, frames) of every training that was recorded."""
    for folder in folders:
        run = Run.open(folder)
        inputs = recording.read(run.observation_path("inputs"), Inputs)
        for row in run.rows:
            path = run.observation_path(f"{row['mode']}-{row['seed']}")
            if path.exists():
                yield row["mode"], row["seed"], inputs, recording.read(path, Recording)


def picks(inputs: Inputs, frames: Recording) -> dict[str, int]:
    """Which frame each score picks, among those that have not lost the source; the last where it has no value."""
    last = len(frames.epochs) - 1
    scored = scores_by_epoch(frames, inputs.source_y)
    chosen = {one.score.name: last if one.picked is None else one.epochs.index(one.picked) for one in scored}
    return chosen | {"ensv": by_agreement(inputs, frames)}


def by_agreement(inputs: Inputs, frames: Recording) -> int:
    """Which frame EnsV picks: its pool are the frames that have not lost the source."""
    hits = (frames.source_logits.argmax(axis=2) == inputs.source_y).mean(axis=1)
    admitted = [frame for frame in range(1, len(hits)) if hits[frame] >= hits[1:].max() - EPOCHS_GUARD - 1e-9]
    agreement = ensv({str(frame): frames.target_logits[frame] for frame in admitted})
    return max(admitted, key=lambda frame: (agreement[str(frame)], -frame))


def oracle_accuracies(inputs: Inputs, frames: Recording) -> list[float]:
    """Of each frame, on the observed rows of the target."""
    if inputs.target_y is None:
        raise SystemExit("the run has no labels of the target to report by; train it with --target-test")
    return [float((logits.argmax(axis=1) == inputs.target_y).mean()) for logits in frames.target_logits]


def table(folders: list[Path]) -> dict[str, Any]:
    """Mean and deviation over the seeds of the target accuracy: source-only, last epoch, each pick, oracle."""
    columns: dict[str, dict[str, dict[int, float]]] = {}
    for mode, seed, inputs, frames in trainings(folders):
        if mode in ("target", "domain"):
            continue
        accuracies = oracle_accuracies(inputs, frames)
        own = columns.setdefault(mode, {})
        own.setdefault("last", {})[seed] = accuracies[-1]
        if mode != "source":
            own.setdefault("oracle", {})[seed] = max(accuracies[1:])
            for name, frame in picks(inputs, frames).items():
                own.setdefault(name, {})[seed] = accuracies[frame]
    source = columns.pop("source")
    return {
        mode: {name: spread(values) for name, values in {"source_only": source["last"], **own}.items()}
        for mode, own in columns.items()
    }


class Model(NamedTuple):
    """A trained model: its mode, accuracy on the target, value by each score (greater is better), target logits."""

    mode: str
    accuracy: float
    goodness: dict[str, float]
    logits: Any


def models(folders: list[Path], risks: dict[str, float | None]) -> Iterator[tuple[int, Model]]:
    """(seed, model) of every training that is a candidate; ``risks`` are those of reverse validation, by MODE-SEED."""
    for mode, seed, inputs, frames in trainings(folders):
        if mode in ("target", "domain"):
            continue
        seen = frames.observation(-1, inputs.source_y)
        goodness = {name: score.goodness(value_of(score, seen)) for name, score in SCORES.items()}
        if risks:
            risk = risks[f"{mode}-{seed}"]
            goodness["reverse_validation"] = math.nan if risk is None else -risk
        yield seed, Model(mode, oracle_accuracies(inputs, frames)[-1], goodness, seen.target.logits)


def pooled(folders: list[Path], guard: float, risks: dict[str, float | None]) -> dict[str, Any]:
    """Target accuracy of the model that each score picks among all modes of a seed, source-only always among them."""
    by_seed: dict[int, list[Model]] = {}
    for seed, model in models(folders, risks):
        by_seed.setdefault(seed, []).append(model)
    columns: dict[str, dict[int, float]] = {}
    for seed, pool in by_seed.items():
        baseline = next(model for model in pool if model.mode == "source")
        columns.setdefault("source_only", {})[seed] = baseline.accuracy
        columns.setdefault("oracle", {})[seed] = max(model.accuracy for model in pool)
        best = max(model.goodness["source_accuracy"] for model in pool)
        admitted = [m for m in pool if m is baseline or m.goodness["source_accuracy"] >= best - guard]
        agreement = ensv({model.mode: model.logits for model in admitted})
        for model in admitted:
            model.goodness["ensv"] = agreement[model.mode]
        for name in admitted[0].goodness:
            scored = [model for model in admitted if not math.isnan(model.goodness[name])]
            picked = max(scored, key=lambda model: model.goodness[name], default=baseline)
            columns.setdefault(name, {})[seed] = picked.accuracy
    return {name: spread(values) for name, values in columns.items()}


def spread(values: dict[int, float]) -> dict[str, Any]:
    return {
        "mean": statistics.fmean(values.values()),
        "std": statistics.stdev(values.values()) if len(values) > 1 else None,
        "n": len(values),
        "by_seed": {str(seed): round(value, 4) for seed, value in sorted(values.items())},
    }


def show(columns: dict[str, Any]) -> None:
    for column, values in columns.items():
        print(f"  {column:26s} {values['mean']:.3f} ± {values['std'] or 0:.3f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="NAME=FOLDER[,FOLDER...]")
    parser.add_argument("--out", type=Path, required=True, help="results, .json")
    parser.add_argument("--reverse", type=Path, help="what reverse_validation.py wrote of runs of these names")
    given = parser.parse_args()
    reverse = json.loads(given.reverse.read_text()) if given.reverse else {}
    results = {}
    for text in given.runs:
        name, _, folders = text.partition("=")
        paths = [Path(folder) for folder in folders.split(",")]
        for mode, columns in table(paths).items():
            results[f"{name}, {mode}"] = columns
            print(f"{name}, {mode}", flush=True)
            show(columns)
        for guard in (EPOCHS_GUARD, 0.05, MODELS_GUARD):
            results[f"{name}, among models, guard {guard}"] = columns = pooled(paths, guard, reverse.get(name, {}))
            print(f"{name}, among models, guard {guard}", flush=True)
            show(columns)
    given.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
