"""Labels of the target change nothing in what is scored, kept and picked: there is no way in for them."""

import dataclasses
import inspect
import json
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

import flipgrad as fg
from flipgrad import recording, scores
from flipgrad.callbacks import BackOff, HealthMonitor, LabelFreeCheckpoint
from flipgrad.health import Measures, records
from flipgrad.health.examining import examine
from flipgrad.observation import Observation, View
from flipgrad.recording import Inputs
from flipgrad.runs import Run

PACKAGE = Path(fg.__file__).parent


KINDS = {"known": lambda y: y, "permuted": lambda y: 1 - y, "removed": lambda y: np.full_like(y, -1)}


def whole(kind, folder):
    """Trains source-only and DANN on blobs, keeps the best epoch of each, writes a run, picks; all that comes of it.

    The target's labels are there as they are on a user's disk: beside the rows, and in the run's results and
    observations.
    """
    source, target = fg.data.blobs(0, 40)
    held_source, held_target = fg.data.blobs(1, 30)
    target_labels = KINDS[kind](target.y)
    ids, classes = np.arange(60).astype(str), np.array(["a", "b"])
    held_labels = None if kind == "removed" else KINDS[kind](held_target.y)
    observed = Inputs(held_source.x, held_source.y, ids, held_target.x, ids, classes, held_labels)
    kept, health = {}, {}
    with Run.create(folder, {"experiment": "blobs", "settings": {}, "data": {}}) as run:
        np.savez(run.path / "inputs.npz", target_x=target.x, target_y=target_labels)
        recording.write(run.observation_path("inputs"), observed)
        for mode in ("source", "dann"):
            keras.utils.set_random_seed(0)
            encoder = keras.Sequential([keras.Input((2,)), layers.Dense(8, activation="relu")])
            classifier = keras.Sequential([layers.Dense(2)])
            model = fg.DANN(encoder, classifier) if mode == "dann" else fg.DomainAdaptationModel(encoder, classifier)
            model.compile(keras.optimizers.Adam(0.01))
            keep = LabelFreeCheckpoint(held_source, held_target.x, guard=0.1)
            pairs = fg.data.pair_domains(source, target.x if mode == "dann" else None, 20, seed=0)
            monitor = HealthMonitor(held_source, held_target.x, every=8, baseline=health.get("source"))
            callbacks = [*([BackOff(held_source, held_target.x)] if mode == "dann" else []), keep, monitor]
            history = model.fit(pairs, epochs=8, callbacks=callbacks, verbose=0).history
            health[mode] = monitor.measures
            kept[mode] = (keep.best_epoch, keep.table, history, model.get_weights(), monitor.verdicts)
            model.save(run.model_path(mode, 0))
            accuracy = float((model.predict(target.x, verbose=0).argmax(-1) == target_labels).mean())
            run.add_row({"mode": mode, "seed": 0, "target_accuracy": accuracy, "diverged": None})
        run.finish()
        records.write(run.path, examine(run, {}, lambda line: None))
    kept |= {"health": health, "file": (folder / "health.json").read_text()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return kept, dataclasses.asdict(fg.select(folder, held_source, held_target.x, guard=0.1))


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    return whole("known", tmp_path_factory.mktemp("known") / "run")


@pytest.mark.parametrize("labels", ["permuted", "removed"])
def test_permuted_or_removed_labels_change_nothing(known, tmp_path, labels):
    found = whole(labels, tmp_path / "run")
    np.testing.assert_equal(found, known)
    measures = found[0]["health"]["dann"]
    assert measures.online_loss is not None  # there was something to measure, and to say
    assert found[0]["dann"][-1]
    rows = json.loads((tmp_path / "run" / "results.json").read_text())  # the labels were there and did differ
    assert {row["target_accuracy"] for row in rows} != {None}
    if labels == "removed":
        assert [row["target_accuracy"] for row in rows] == [0.0, 0.0]


def test_there_is_no_field_for_labels_of_the_target_on_the_way():
    assert [field.name for field in dataclasses.fields(Observation)] == ["source", "target", "source_labels"]
    assert [field.name for field in dataclasses.fields(View)] == ["features", "logits", "domain_logits"]
    assert not [field.name for field in dataclasses.fields(Measures) if "target_accuracy" in field.name]
    for name in scores.__all__:
        function = getattr(scores, name)
        if inspect.isfunction(function):
            assert not {"target_labels", "yt", "target_y"} & set(inspect.signature(function).parameters), name


def test_nothing_here_reads_what_holds_target_labels():
    files = [path for folder in ("scores", "health", "callbacks") for path in PACKAGE.glob(f"{folder}/*.py")]
    files += [PACKAGE / f"{name}.py" for name in ("selection", "picking", "observation", "_guarded", "_held_out")]
    assert len(files) > 30
    for file in files:
        text = file.read_text()
        for word in ("target_y", "target_accuracy", "oracle_", "scoring import", "evaluate("):
            assert word not in text, (file.name, word)
