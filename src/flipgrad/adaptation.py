"""From a user's labelled and unlabelled data to a run folder: what ``flipgrad adapt`` does."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.model_selection import train_test_split

from flipgrad import data, inputs, networks
from flipgrad.inputs import Domain, InputFormat
from flipgrad.recipe import Recipe, training_of
from flipgrad.runs import Run
from flipgrad.scoring import evaluate
from flipgrad.training import Reporter, run_config, seeded, train_and_record, unfinished

# Held out of each domain, for the scores of results.json: a tenth, at most this many rows.
_HELD_OUT, _MOST_HELD_OUT = 0.1, 1000


@dataclass(frozen=True)
class Places:
    """What is read, and how.

    Attributes:
        source: labelled data: a folder of images with a sub-folder for each class, a table, or arrays.
        target: unlabelled data of the same kind.
        target_test: labelled data of the target, for reporting only; None without any.
        label: the column of a table that holds the class; None to find it.
        size: side of the images in pixels; None to choose it.
        skip_bad: leave out images that cannot be read, instead of refusing them.
    """

    source: Path
    target: Path
    target_test: Path | None = None
    label: str | None = None
    size: int | None = None
    skip_bad: bool = False


def adapt(
    places: Places, recipe: Recipe, out: Path, *, resume: bool = False, reporter: Reporter | None = None
) -> list[dict[str, Any]]:
    """Trains one classifier and writes the run folder ``out``.

    Returns:
        The rows of ``results.json``: one.  ``source_accuracy`` and ``domain_accuracy`` are of rows held out of the
        training, ``target_accuracy`` is of ``target_test``, None without.

    Raises:
        InputError: data that cannot be used, or a folder that holds something else.
    """
    reporter = reporter or Reporter()
    reporter.line("Reading the data")
    form, source, target = inputs.read_domains(
        places.source,
        places.target,
        label=places.label,
        size=places.size,
        skip_bad=places.skip_bad,
        report=reporter.line,
    )
    test = None
    if places.target_test is not None:
        test = inputs.read_domain(
            places.target_test, form, labelled=True, label=places.label, skip_bad=places.skip_bad, report=reporter.line
        )
    config = {
        **run_config("adapt", {**asdict(places), **asdict(recipe)}, checksums(source, target)),
        "input": form.to_dict(),
    }
    with Run.create(out, config, resume=resume) as folder:
        if folder.done:
            return folder.rows
        for _ in unfinished(folder, [recipe.seed], [recipe.mode]):
            with seeded(recipe.seed):
                _train(recipe, form, source, target, test, folder, reporter)
        folder.finish()
        return folder.rows


def checksums(source: Domain, target: Domain) -> dict[str, str]:
    """What tells the data of a run from other data: of a few rows of each domain and of all names and labels."""
    parts = {}
    for name, domain in (("source", source), ("target", target)):
        some = np.unique(np.linspace(0, len(domain.x) - 1, 100).astype(int))
        parts[f"{name}_rows"] = np.asarray(domain.x[some])
        parts[f"{name}_ids"] = np.array("\n".join(domain.ids).encode())
    parts["source_labels"] = np.asarray(source.y)
    return data.checksums(parts)


def hold_out(domain: Domain, seed: int) -> tuple[Domain, Domain]:
    """(for training, held out); every class keeps a row for training, and the held-out rows have its shares."""
    rows = np.arange(len(domain.x))
    count = min(max(round(_HELD_OUT * len(rows)), 1), _MOST_HELD_OUT)
    if len(rows) < 2:
        return domain, domain
    strata = domain.y
    if strata is not None:
        enough = np.bincount(strata)[strata] > 1
        if not enough.all() or count < len(np.unique(strata)) or len(rows) - count < len(np.unique(strata)):
            strata = None
    train, held = train_test_split(rows, test_size=count, random_state=seed, stratify=strata)
    return domain.take(np.sort(train)), domain.take(np.sort(held))


def _train(
    recipe: Recipe,
    form: InputFormat,
    source: Domain,
    target: Domain,
    test: Domain | None,
    folder: Run,
    reporter: Reporter,
) -> None:
    source, held_source = hold_out(source, recipe.seed)
    target, held_target = hold_out(target, recipe.seed)
    preprocessing = inputs.preprocessing_layers(form, source, target)
    encoder = networks.default_encoder(form.shape, preprocessing, recipe.encoder, recipe.weights)
    missing = form.kind == "table"
    job = training_of(recipe, encoder, len(form.classes), (source.x, source.y), target.x, allow_missing=missing)

    def score() -> dict[str, Any]:
        scores = evaluate(job.model, (held_source.x, held_source.y), (held_target.x, None))
        if test is not None:
            scores["target_accuracy"] = evaluate(job.model, (held_source.x, held_source.y), (test.x, test.y))[
                "target_accuracy"
            ]
        return scores

    train_and_record(job, recipe.mode, folder, reporter, score)
