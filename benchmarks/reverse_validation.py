"""Reverse validation of finished runs: each of their models is trained back, from the target to the source.

    python benchmarks/reverse_validation.py blobs=runs/blobs adapted=runs/adapted --out reverse.json

Of every training of modes source, dann and dann-deep in a run of ``flipgrad run`` or ``flipgrad adapt`` the saved model
labels the target's training rows; the same setting with the same seed is trained from these to the source, and is
wrong on a share of the source's observed rows, which no training has seen: the risk.  The target's labels are not read.
``selection.py --reverse`` takes what it writes.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from flipgrad import data, inputs, networks, recipe, recording
from flipgrad.adaptation import hold_out
from flipgrad.errors import InputError
from flipgrad.experiments import blobs, digits, mnist
from flipgrad.models import DomainAdaptationModel
from flipgrad.recording import Inputs
from flipgrad.runs import Run
from flipgrad.saving import load
from flipgrad.scores import reverse_validation
from flipgrad.scoring import outputs
from flipgrad.training import Reporter, Training, seeded

Rows = tuple[Any, Any]
# (mode, seed, labelled rows, unlabelled rows) -> the training
Setting = Callable[[str, int, Rows, Any], Training]


def problem(run: Run, seed: int) -> tuple[Rows, Any, Setting]:
    """(source, target, the settings of the run), as one seed of it was trained on."""
    experiment, stored = run.config["experiment"], run.config["settings"]
    if experiment == "adapt":
        return _own_data(stored)
    module: Any = {"blobs": blobs, "digits": digits, "mnist": mnist}[experiment]
    settings = module.Settings(**{name: tuple(v) if isinstance(v, list) else v for name, v in stored.items()})
    if experiment == "blobs":
        source, target = data.blobs(seed)
        return (source.x, source.y), target.x, lambda *of: blobs.training_of(settings, *of)
    if experiment == "digits":
        pair = data.digits(seed=0)
        return pair.source.train, pair.target.train.x, lambda *of: digits.training_of(settings, *of)
    mnist_rows, mnist_m = mnist.load_domains(settings, None)
    mean = data.channel_mean(mnist_rows.train.x, mnist_m.train.x)
    return mnist_rows.train, mnist_m.train.x, lambda *of: mnist.training_of(settings, *of, mean)


def _own_data(stored: dict[str, Any]) -> tuple[Rows, Any, Setting]:
    form, source, target = inputs.read_domains(Path(stored["source"]), Path(stored["target"]))
    seed = min(stored["seeds"])
    source, target = (hold_out(domain, seed)[0] for domain in (source, target))

    def setting(mode: str, seed: int, labelled: Rows, unlabelled: Any) -> Training:
        named = {each.name: stored[each.name] for each in fields(recipe.Recipe) if each.name in stored}
        layers = inputs.preprocessing_layers(form, source, target)
        encoder = networks.default_encoder(form.shape, layers, stored["encoder"], stored["weights"])
        how = recipe.Recipe(**{**named, "mode": mode, "seed": seed})
        return recipe.training_of(how, encoder, len(form.classes), labelled, unlabelled)

    return (source.x, source.y), target.x, setting


def risk(run: Run, mode: str, seed: int, trained: dict[str, DomainAdaptationModel]) -> float | None:
    """The reverse validation risk of one training; None where it labels the whole target alike or cannot go back."""
    source, target, setting = problem(run, seed)
    seen = recording.read(run.observation_path("inputs"), Inputs)

    def train(labelled: Rows, unlabelled: Any) -> Callable[[Any], np.ndarray]:
        if labelled is source:  # there: that is what the run has done
            return _classes(load(run.model_path(mode, seed)))
        with seeded(seed, run.config["settings"].get("precision", "float32")):
            job = setting(mode, seed, labelled, unlabelled)
        # Looked after, and taken back where it collapses, as the training of the run was.
        there = _classes(load(run.model_path(mode, seed)))
        job.observed = recording.sample((seen.target_x, there(seen.target_x)), (seen.source_x,), seen.classes)
        job.trained = trained.get(mode)
        if job.run("", Reporter()).diverged is not None:
            raise InputError("the training back diverged")
        trained[mode] = job.trained or job.model
        return _classes(job.model)

    try:
        return reverse_validation(train, source, target, (seen.source_x, seen.source_y))
    except InputError as error:
        print(f"  {mode}-{seed}: {error}", flush=True)
        return None


def _classes(model: DomainAdaptationModel) -> Callable[[Any], np.ndarray]:
    return lambda x: outputs(lambda batch: model(batch, training=False), x).argmax(axis=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="NAME=FOLDER")
    parser.add_argument("--out", type=Path, required=True, help="results, .json; what it holds already is kept")
    given = parser.parse_args()
    results = json.loads(given.out.read_text()) if given.out.exists() else {}
    for text in given.runs:
        name, _, folder = text.partition("=")
        run, risks = Run.open(Path(folder)), results.setdefault(name, {})
        trained: dict[str, DomainAdaptationModel] = {}
        for row in run.rows:
            key = f"{row['mode']}-{row['seed']}"
            if row["mode"] in ("target", "domain") or row["diverged"] is not None or key in risks:
                continue
            began = time.perf_counter()
            risks[key] = risk(run, row["mode"], row["seed"], trained)
            print(f"{name}, {key}: {risks[key]} ({time.perf_counter() - began:.0f} s)", flush=True)
            given.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
