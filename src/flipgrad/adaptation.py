"""From a user's labelled and unlabelled data to a run folder: what ``flipgrad adapt`` does."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import MISSING, asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from flipgrad import inputs, networks, recording
from flipgrad._comparison_text import save_comparison
from flipgrad._run_files import key_of
from flipgrad._run_state import lacking, lacks, trainings
from flipgrad.errors import InputError
from flipgrad.inputs import Domain, InputFormat
from flipgrad.models import DomainAdaptationModel
from flipgrad.picking import pick_training
from flipgrad.recipe import Recipe, training_of
from flipgrad.runs import Run
from flipgrad.scoring import SCORES, evaluate
from flipgrad.training import Reporter, Training, seeded
from flipgrad.training_runs import run_config, train_and_record

# Held out of each domain, for the scores of results.json: a tenth, at most this many rows.
_HELD_OUT, _MOST_HELD_OUT = 0.1, 1000


@dataclass(frozen=True)
class Places:
    """What is read, and how.

    Attributes:
        source: labelled data: a folder of images with a sub-folder for each class, a table, or arrays.
        target: unlabelled data of the same kind.
        target_labels: labelled data of the target to learn from, which may be little; None without any.
        target_test: labelled data of the target, for reporting only; None without any.
        label: the column of a table that holds the class; None to find it.
        size: side of the images in pixels; None to choose it.
        skip_bad: leave out images that cannot be read, instead of refusing them.
    """

    source: Path
    target: Path
    target_labels: Path | None = None
    target_test: Path | None = None
    label: str | None = None
    size: int | None = None
    skip_bad: bool = False


# Of the settings that config.json of an earlier version may not name yet.
_DEFAULTS = {
    field.name: field.default for kind in (Places, Recipe) for field in fields(kind) if field.default is not MISSING
}


@dataclass(frozen=True)
class _Rows:
    """The data of a run, the same for all of its trainings."""

    form: InputFormat
    source: Domain
    target: Domain
    held_source: Domain
    held_target: Domain
    known: Domain | None
    test: Domain | None
    seed: int  # of what is held out


def adapt(
    places: Places,
    recipe: Recipe,
    out: Path,
    *,
    modes: Sequence[str] = (),
    seeds: Sequence[int] = (),
    resume: bool = False,
    reporter: Reporter | None = None,
) -> list[dict[str, Any]]:
    """Trains a classifier, or one for each mode and seed, and writes the run folder ``out``.

    Args:
        places: the data.
        recipe: the settings.
        out: the run folder.
        modes: one or several in place of that of the recipe.
        seeds: one or several in place of that of the recipe.  The held-out rows are the same for all, drawn by the
            first, so that no training has seen what they are compared on.
        resume: go on with the unfinished run in ``out``.
        reporter: told of the progress.

    Returns:
        The rows of ``results.json``, one for each training.  ``source_accuracy`` and ``domain_accuracy`` are of rows
        held out of the training, ``target_accuracy`` is of ``target_test``, None without.  Of several trainings one
        is picked, see ``picking``.

    Raises:
        InputError: data that cannot be used, or a folder that holds something else.
    """
    reporter = reporter or Reporter()
    modes, seeds = tuple(modes) or (recipe.mode,), tuple(seeds) or (recipe.seed,)
    recipes = [replace(recipe, mode=mode, seed=seed) for seed in seeds for mode in modes]
    rows, sums = _read(places, seeds[0], reporter)
    config = {**run_config("adapt", _settings(places, recipes), sums), "input": rows.form.to_dict()}
    with ExitStack() as stack:

        def create() -> Run:
            run = Run.create(out, config, resume=resume, defaults=_DEFAULTS, report=reporter.line)
            return stack.enter_context(run)

        folder: Run | None = None
        for each in recipes:
            if folder is None or lacks(folder, each.mode, each.seed):
                folder = _train_one(each, rows, folder, create, reporter)
            if folder.done:
                return _result(folder)
        assert folder is not None
        if len(recipes) > 1:
            reporter.line("Comparing the trainings")
            pick_training(folder, (rows.held_source.x, rows.held_source.y), rows.held_target.x)
            save_comparison(folder)
        folder.finish()
        return _result(folder)


def finished(out: Path) -> list[dict[str, Any]] | None:
    """What ``adapt`` returned of a run that is done and whole; None of any other.  The data are not looked at."""
    run = Run.open(out)
    return _result(run) if run.done and lacking(run) is None else None


def _result(run: Run) -> list[dict[str, Any]]:
    wanted = list(trainings(run.config))
    return [row for row in run.rows if key_of(row) in wanted]


def _settings(places: Places, recipes: Sequence[Recipe]) -> dict[str, Any]:
    """What ``config.json`` says of the trainings: ``mode`` and ``seed`` of one, ``modes`` and ``seeds`` of several."""
    settings = {**asdict(places), **asdict(recipes[0])}
    if len(recipes) == 1:
        return settings
    lists = {f"{name}s": list(dict.fromkeys(getattr(each, name) for each in recipes)) for name in ("mode", "seed")}
    return {name: value for name, value in settings.items() if name not in ("mode", "seed")} | lists


def _train_one(recipe: Recipe, rows: _Rows, folder: Run | None, create: Callable[[], Run], reporter: Reporter) -> Run:
    """Trains one mode with one seed and writes its model, history and row; returns the run folder."""
    with seeded(recipe.seed):
        job = _training(recipe, rows)
        folder = folder or create()  # only now, so that a recipe that cannot be trained leaves no folder behind
        if not folder.done and lacks(folder, recipe.mode, recipe.seed):
            scores = partial(_scores, job.model, rows)
            train_and_record(job, recipe.mode, folder, reporter, scores, observed(rows))
    return folder


def _read(places: Places, seed: int, reporter: Reporter) -> tuple[_Rows, dict[str, str]]:
    """(the rows, their checksums)."""
    reporter.line("Reading the data")
    form, source, target = inputs.read_domains(
        places.source,
        places.target,
        label=places.label,
        size=places.size,
        skip_bad=places.skip_bad,
        report=reporter.line,
    )
    options: dict[str, Any] = {"label": places.label, "skip_bad": places.skip_bad, "report": reporter.line}
    known = _read_labelled("target labels", places.target_labels, form, options)
    test = _read_labelled("target test", places.target_test, form, options)
    if known is not None and test is not None:
        _refuse_rows_learnt_from(known, test, reporter.line)
    sums = checksums(source=source, target=target, labelled=known, test=test)
    source, held_source = hold_out(source, seed)
    target, held_target = hold_out(target, seed)
    return _Rows(form, source, target, held_source, held_target, known, test, seed), sums


def _training(recipe: Recipe, rows: _Rows) -> Training:
    """The training of a recipe on the rows; make it inside ``seeded``."""
    preprocessing = inputs.preprocessing_layers(rows.form, rows.source, rows.target)
    return training_of(
        recipe,
        networks.default_encoder(rows.form.shape, preprocessing, recipe.encoder, recipe.weights),
        len(rows.form.classes),
        (rows.source.x, rows.source.y),
        rows.target.x,
        target_labelled=None if rows.known is None else (rows.known.x, rows.known.y),
        allow_missing=rows.form.kind == "table",
        split_seed=rows.seed,
        held_out=(rows.held_source.x, rows.held_source.y, rows.held_target.x),
    )


def _read_labelled(role: str, path: Path | None, form: InputFormat, options: dict[str, Any]) -> Domain | None:
    """Labelled rows of the target, if there are any; an error says which of the files it is about."""
    if path is None:
        return None
    try:
        return inputs.read_domain(path, form, labelled=True, **options)
    except InputError as error:
        said = str(error).removeprefix("input").removeprefix(", ").removeprefix(": ")
        raise InputError(f"{role} ({path.name}): {said}") from None


def _refuse_rows_learnt_from(known: Domain, test: Domain, report: Callable[[str], None]) -> None:
    """Raises InputError where all rows of the target test are among those learnt from; says so where some are."""
    learnt = {_bytes_of(known.x, row) for row in range(len(known))}
    twice = sum(_bytes_of(test.x, row) in learnt for row in range(len(test)))
    if twice == len(test):
        raise InputError(
            "target test: expected rows that are not learnt from, received only rows of the target labels; keep some "
            "labelled rows apart."
        )
    if twice:
        report(f"target test: {twice} of {len(test)} rows are among the target labels: its accuracy is too high")


def _bytes_of(x: Any, row: int) -> bytes:
    return np.ascontiguousarray(x[np.array([row])]).tobytes()


def checksums(**domains: Domain | None) -> dict[str, str]:
    """The SHA-256 of the rows, names and labels of each domain, a thousand rows at a time."""
    return {name: _checksum(domain) for name, domain in domains.items() if domain is not None}


def _checksum(domain: Domain) -> str:
    digest = hashlib.sha256(repr((tuple(domain.x.shape), str(domain.x.dtype))).encode())
    for begin in range(0, len(domain), 1000):
        digest.update(np.ascontiguousarray(domain.x[begin : begin + 1000]).tobytes())
    digest.update("\n".join(domain.ids).encode(errors="surrogateescape"))
    digest.update(b"" if domain.y is None else domain.y.tobytes())
    return digest.hexdigest()


def hold_out(domain: Domain, seed: int) -> tuple[Domain, Domain]:
    """(for training, held out): rows drawn at random, but one of each class stays for training; maybe none is left."""
    order = np.random.default_rng(seed).permutation(len(domain))
    # The first row of each class, in this order, stays.
    kept = [0] if domain.y is None else np.unique(domain.y[order], return_index=True)[1]
    free = np.delete(order, kept)
    count = min(max(round(_HELD_OUT * len(order)), 1), _MOST_HELD_OUT, len(free))
    held = np.sort(free[:count])
    return domain.take(np.setdiff1d(order, held)), domain.take(held)


def observed(rows: _Rows) -> recording.Inputs | None:
    """Rows to look at while training: those held out; of the target those of the test set where there is one."""
    source, test = rows.held_source, rows.test
    shown, labels = (rows.held_target, None) if test is None else (test, test.y)
    classes = rows.form.classes.names
    return recording.sample((source.x, source.y, source.ids), (shown.x, shown.ids), classes, target_y=labels)


def _scores(model: DomainAdaptationModel, rows: _Rows) -> dict[str, Any]:
    """The scores of a row of ``results.json``; None where there are no rows to compute one from."""
    if not len(rows.held_source) or not len(rows.held_target):
        return dict.fromkeys(SCORES)
    source = rows.held_source.x, rows.held_source.y
    scores = evaluate(model, source, (rows.held_target.x, None))
    if rows.test is not None:
        tested = evaluate(model, source, (rows.test.x, rows.test.y))
        scores.update({name: tested[name] for name in ("target_accuracy", "target_recall")})
    return scores
