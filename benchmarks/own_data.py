"""Real shifts, from the command line: train, predict, evaluate, export and look, for each mode and seed.

    python benchmarks/own_data.py [--problems usps-mnist ...] [--modes dann ...] [--seeds 3] [--out runs/own-data]

The files are made from the data in $FLIPGRAD_DATA (MNIST, USPS, Amazon reviews) and from the breast-cancer table that
comes with scikit-learn.  Everything else is as the defaults have it.  The mode ``labelled`` is ``dann`` that is also
given, as ``--target-labels``, 100 rows of the target's training file with their labels, drawn anew for each seed.  A
run that is done is not repeated, one that was interrupted goes on.  Written beside this file, in
``results/own-data.json``: the row of each run, and what the other commands said of it; rows of other problems, modes
and seeds stay there.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).resolve().parent / "results" / "own-data.json"
MODES = ("source", "dann", "labelled")
LABELLED = 100


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
    other[250:450].write_csv(folder / "cells_b_labelled.csv")
    other[250:450].drop("class").write_csv(folder / "cells_b.csv")
    other[450:].write_csv(folder / "cells_b_test.csv")


def make_reviews(folder: Path, data: Path) -> None:
    for domain in ("books", "kitchen"):
        for part in ("train", "test"):
            name = f"{domain}_{part}.svmlight.gz"
            (folder / name).write_bytes((data / "amazon_reviews" / name).read_bytes())


# name -> (makers of the files, source, target, labelled target test set); the target is without labels in `cells` only
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


def draw_labelled(target: Path, out: Path, seed: int) -> Path:
    """The file or folder ``out`` with some rows of the target's training set and their labels."""

    def drawn(rows: int) -> np.ndarray:
        return np.sort(np.random.default_rng([seed, LABELLED]).permutation(rows)[:LABELLED])

    if target.is_dir():
        images = sorted(target.glob("*/*.png"))
        for row in drawn(len(images)):
            place = out / images[row].parent.name
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy(images[row], place)
    elif target.suffix == ".npz":
        with np.load(target) as arrays:
            chosen = drawn(len(arrays["y"]))
            np.savez(out, x=arrays["x"][chosen], y=arrays["y"][chosen])
    elif target.suffix == ".csv":
        lines = target.with_name(f"{target.stem}_labelled.csv").read_text().splitlines(keepends=True)
        out.write_text("".join(lines[row] for row in (0, *(1 + drawn(len(lines) - 1)))))
    else:
        lines = gzip.decompress(target.read_bytes()).splitlines(keepends=True)
        out.write_bytes(gzip.compress(b"".join(lines[row] for row in drawn(len(lines)))))
    return out


def train(run: Path, source: Path, target: Path, test: Path, mode: str, seed: int) -> None:
    if (run / "done").exists():
        return
    if (run / "config.json").exists():
        flipgrad("adapt", "--resume", run, "--quiet", "--no-report")
        return
    words = ["--source", source, "--target", target, "--target-test", test, "--seed", seed]
    if mode == "labelled":
        name = f"{target.name.split('.')[0]}-{LABELLED}-{seed}{''.join(target.suffixes)}"
        words += ["--target-labels", draw_labelled(target, target.with_name(name), seed)]
    else:
        words += ["--mode", mode]
    flipgrad("adapt", *words, "--out", run, "--quiet", "--no-report")


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
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
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
        known = target.with_name(f"{target.stem}_labelled.csv") if target.suffix == ".csv" else target
        if not all(path.exists() for path in (source, target, test, known)):
            for make in makers:
                make(folder, Path(os.environ["FLIPGRAD_DATA"]))
        rows = {(row["seed"], MODES.index(row["mode"])): row for row in results.get(problem, ())}
        for seed in range(arguments.seeds):
            for mode in arguments.modes:
                run = arguments.out / f"{problem}-{mode}-{seed}"
                train(run, source, target, test, mode, seed)
                (row,) = json.loads((run / "results.json").read_text())
                row = {**row, **look(run, test), "mode": mode}
                rows[seed, MODES.index(mode)] = row
                print(problem, mode, seed, row, flush=True)
        results[problem] = [rows[key] for key in sorted(rows)]
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
