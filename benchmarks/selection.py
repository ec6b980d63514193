"""What each label-free score would pick among the epochs of finished runs, and what that is worth on the target.

    python benchmarks/selection.py blobs=runs/blobs digits=runs/digits --out benchmarks/results/selection.json

Each run holds several seeds of mode source and of an adapted mode (or is one of several folders, with commas between,
of ``flipgrad adapt --target-test``).  The epochs are those that were recorded, at most eleven beside the untrained
model; the scores see the recorded features (up to 50 principal components) and logits.  The target's labels are read
to report by, after everything has been picked.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flipgrad import recording
from flipgrad.recording import Inputs, Recording
from flipgrad.report.choice import GUARD, scores_by_epoch, value_of
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
    admitted = [frame for frame in range(1, len(hits)) if hits[frame] >= hits[1:].max() - GUARD - 1e-9]
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


def pooled(folders: list[Path], guard: float) -> dict[str, Any]:
    """Target accuracy of the model that each score picks among all modes of a seed, source-only always among them."""
    by_seed: dict[int, list[tuple[str, float, dict[str, float]]]] = {}
    for mode, seed, inputs, frames in trainings(folders):
        if mode not in ("target", "domain"):
            seen = frames.observation(-1, inputs.source_y)
            goodness = {name: score.goodness(value_of(score, seen)) for name, score in SCORES.items()}
            by_seed.setdefault(seed, []).append((mode, oracle_accuracies(inputs, frames)[-1], goodness))
    columns: dict[str, dict[int, float]] = {}
    for seed, models in by_seed.items():
        columns.setdefault("source_only", {})[seed] = next(accuracy for mode, accuracy, _ in models if mode == "source")
        columns.setdefault("oracle", {})[seed] = max(accuracy for _, accuracy, _ in models)
        best = max(goodness["source_accuracy"] for _, _, goodness in models)
        for name in SCORES:
            admitted = [each for each in models if each[0] == "source" or each[2]["source_accuracy"] >= best - guard]
            scored = [each for each in admitted if not math.isnan(each[2][name])]
            picked = max(scored, key=lambda each: each[2][name], default=None)
            columns.setdefault(name, {})[seed] = picked[1] if picked else columns["source_only"][seed]
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
    given = parser.parse_args()
    results = {}
    for text in given.runs:
        name, _, folders = text.partition("=")
        paths = [Path(folder) for folder in folders.split(",")]
        for mode, columns in table(paths).items():
            results[f"{name}, {mode}"] = columns
            print(f"{name}, {mode}", flush=True)
            show(columns)
        for guard in (GUARD, 0.05, 0.1):
            results[f"{name}, among models, guard {guard}"] = columns = pooled(paths, guard)
            print(f"{name}, among models, guard {guard}", flush=True)
            show(columns)
    given.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
