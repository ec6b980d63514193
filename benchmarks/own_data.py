"""Real shifts, from the command line: train, predict, evaluate, export and look, for each mode and seed.

    python benchmarks/own_data.py [--problems usps-mnist ...] [--seeds 3] [--out runs/own-data]

The files are made from the data in $FLIPGRAD_DATA (MNIST, USPS, Amazon reviews) and from the breast-cancer table that
comes with scikit-learn.  Everything else is as the defaults have it.  A run that is done is not repeated, one that was
interrupted goes on.  Written beside this file, in ``results/own-data.json``: the row of each run, and what the other
commands said of it.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).resolve().parent / "results" / "own-data.json"
MODES = ("source", "dann")


def make_digits(folder: Path, name: str, x: np.ndarray, y: np.ndarray) -> None:
    """``name.npz``, and the same images as ``name/CLASS/NUMBER.png``."""
    from PIL import Image

    np.savez(folder / f"{name}.npz", x=x, y=y)
    for number, (pixels, label) in enumerate(zip(x, y, strict=True)):
        place = folder / name / str(label)
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(place / f"{number:05}.png")


def make_usps(folder: Path, data: Path) -> None:
    """USPS, brought from 16 x 16 to the 28 x 28 pixels of MNIST."""
    from PIL import Image

    usps = np.load(data / "usps" / "usps.npz")
    for part in ("train", "test"):
        images = [Image.fromarray(pixels).resize((28, 28), Image.Resampling.BILINEAR) for pixels in usps[f"x_{part}"]]
        make_digits(folder, f"usps_{part}", np.stack([np.asarray(image) for image in images]), usps[f"y_{part}"])


def make_mnist(folder: Path, data: Path) -> None:
    for part, name in (("train", "train"), ("test", "t10k")):
        packed = [data / "mnist" / f"{name}-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1")]
        x, y = (np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8) for path in packed)
        make_digits(folder, f"mnist_{part}", x[16:].reshape(-1, 28, 28), y[8:])


def make_cells(folder: Path, data: Path) -> None:
    """Cell measurements from two laboratories; the second reads ten of 32 columns half as large again, and has gaps."""
    import polars as pl
    from sklearn.datasets import load_breast_cancer

    cells = load_breast_cancer()
    names = [name.replace(" ", "_") for name in cells.feature_names]
    table = pl.DataFrame(cells.data, schema=names)
    middle = pl.when(pl.col("mean_concavity") < 0.1).then(pl.lit("middle")).otherwise(pl.lit("high"))
    concave = pl.when(pl.col("mean_concavity") < 0.03).then(pl.lit("low")).otherwise(middle)
    table = table.with_columns(concave.alias("concavity"), (pl.col("mean_area") > 600).alias("large"))
    table = table.drop("mean_concavity").with_columns(pl.Series("class", cells.target_names[cells.target]))
    table = table[np.random.default_rng(0).permutation(len(table))]
    gap = pl.Series(np.random.default_rng(1).random(len(table)) < 0.3)
    scaled = [pl.col(name) * 1.5 for name in names if name.startswith("worst_")]
    gaps = [pl.when(~gap).then(pl.col(name)).alias(name) for name in ("mean_texture", "concavity")]
    other = table.with_columns(*scaled, *gaps)
    table[:250].write_csv(folder / "cells_a.csv")
    other[250:450].drop("class").write_csv(folder / "cells_b.csv")
    other[450:].write_csv(folder / "cells_b_test.csv")


def make_reviews(folder: Path, data: Path) -> None:
    for domain in ("books", "kitchen"):
        for part in ("train", "test"):
            name = f"{domain}_{part}.svmlight.gz"
            (folder / name).write_bytes((data / "amazon_reviews" / name).read_bytes())


# name -> (makers of the files, source, target, labelled target test set)
PROBLEMS = {
    "cells": ([make_cells], "cells_a.csv", "cells_b.csv", "cells_b_test.csv"),
    "reviews": (
        [make_reviews],
        "books_train.svmlight.gz",
        "kitchen_train.svmlight.gz",
        "kitchen_test.svmlight.gz",
    ),
    "usps-mnist": ([make_usps, make_mnist], "usps_train.npz", "mnist_train.npz", "mnist_test.npz"),
    "mnist-usps": ([make_usps, make_mnist], "mnist_train.npz", "usps_train.npz", "usps_test.npz"),
    "usps-mnist-folders": ([make_usps, make_mnist], "usps_train", "mnist_train", "mnist_test"),
    "mnist-usps-folders": ([make_usps, make_mnist], "mnist_train", "usps_train", "usps_test"),
}


def flipgrad(*words: Any) -> str:
    """What the command printed."""
    command = [sys.executable, "-m", "flipgrad", *map(str, words)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def train(run: Path, source: Path, target: Path, test: Path, mode: str, seed: int) -> None:
    if (run / "done").exists():
        return
    if (run / "config.json").exists():
        flipgrad("adapt", "--resume", run, "--quiet")
        return
    words = ["--source", source, "--target", target, "--target-test", test, "--mode", mode, "--seed", seed]
    flipgrad("adapt", *words, "--out", run, "--quiet")


def look(run: Path, test: Path) -> dict[str, Any]:
    """What predict, evaluate, export and info make of a run."""
    for old in ("predictions.csv", "predictor.onnx"):
        (run.parent / old).unlink(missing_ok=True)
    flipgrad("predict", run, test, "-o", run.parent / "predictions.csv", "--quiet")
    evaluated = json.loads(flipgrad("evaluate", run, test, "--json"))
    exported = flipgrad("export", run, "--format", "onnx", "-o", run.parent / "predictor.onnx")
    about = json.loads(flipgrad("info", run, "--json"))
    return {
        "predicted": sum(1 for _ in (run.parent / "predictions.csv").open()) - 1,
        "evaluated": {name: evaluated[name] for name in ("accuracy", "balanced_accuracy", "rows")},
        "onnx_difference": float(exported.split("at most ")[1].split()[0]),
        "state": about["run"]["state"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", nargs="+", choices=PROBLEMS, default=list(PROBLEMS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("runs/own-data"))
    arguments = parser.parse_args()
    if "FLIPGRAD_DATA" not in os.environ:
        parser.error("set FLIPGRAD_DATA to the folder that holds mnist/, usps/ and amazon_reviews/")
    folder = arguments.out / "files"
    folder.mkdir(parents=True, exist_ok=True)
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for problem in arguments.problems:
        makers, *names = PROBLEMS[problem]
        source, target, test = (folder / name for name in names)
        if not all(path.exists() for path in (source, target, test)):
            for make in makers:
                make(folder, Path(os.environ["FLIPGRAD_DATA"]))
        rows = []
        for seed in range(arguments.seeds):
            for mode in MODES:
                run = arguments.out / f"{problem}-{mode}-{seed}"
                train(run, source, target, test, mode, seed)
                (row,) = json.loads((run / "results.json").read_text())
                rows.append({**row, **look(run, test)})
                print(problem, mode, seed, rows[-1], flush=True)
        results[problem] = rows
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
