"""A seed trained on the compiled step of the seed before has the result of a training of its own, bit for bit."""

import dataclasses
import io
import json
import zipfile
from contextlib import contextmanager

import h5py
import keras
import numpy as np
import pytest
from keras import layers

import flipgrad as fg
from flipgrad import training
from flipgrad._reuse import stand_in
from flipgrad.experiments import blobs, digits
from flipgrad.runs import Run

# Dropout, batch normalization with statistics of each domain, momentum and both schedules; Adam, and XLA on TensorFlow.
SETTINGS = {
    "digits": dataclasses.replace(digits.PRESETS["default"], steps=8, batch_size=16, modes=("dann",), seeds=(1, 0)),
    "blobs": dataclasses.replace(
        blobs.PRESETS["seed"], steps=40, steps_per_execution=10, modes=("domain", "dann"), seeds=(1, 0)
    ),
}


pytestmark = pytest.mark.usefixtures("no_figures")


@pytest.fixture(scope="module")
def noted():
    """(models made, models really trained, losses computed by Python: in traces, and on PyTorch in each step)."""
    found = ([], [], [])
    compute = fg.DomainAdaptationModel.compute_loss

    def standing_in(model, before):
        found[0].append(model)
        found[1].append(stand_in(model, before))
        return found[1][-1]

    def computing(self, *given, **named):
        found[2].append(self)
        return compute(self, *given, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "stand_in", standing_in)
        patch.setattr(fg.DomainAdaptationModel, "compute_loss", computing)
        yield found


def run(name, folder, **changes):
    settings = dataclasses.replace(SETTINGS[name], **{k: v for k, v in changes.items() if k == "seeds"})
    rest = {k: v for k, v in changes.items() if k != "seeds"}
    {"digits": digits, "blobs": blobs}[name].run(settings, folder, **rest)
    return folder


@pytest.fixture(scope="module")
def whole(noted, no_figures, tmp_path_factory):
    """Each experiment with two seeds one after another: (folder, models made, models trained, losses computed)."""
    found = {}
    for name in SETTINGS:
        folder = run(name, tmp_path_factory.mktemp(name) / "run")
        found[name] = (folder, *(list(each) for each in noted))
        for each in noted:
            each.clear()
    return found


def saved(path):
    """Every array of a model's file, optimizer and random states included, and its configuration."""
    with zipfile.ZipFile(path) as file:
        arrays = {}
        with h5py.File(io.BytesIO(file.read("model.weights.h5"))) as weights:
            weights.visititems(lambda name, item: arrays.update({name: item[()]} if hasattr(item, "shape") else {}))
        return arrays, without_ids(json.loads(file.read("config.json")))


def without_ids(config):
    if isinstance(config, dict):
        return {name: without_ids(value) for name, value in config.items() if name != "shared_object_id"}
    return [without_ids(value) for value in config] if isinstance(config, list) else config


def assert_same(run, other, mode, seed):
    (arrays, config), (expected, expected_config) = (
        saved(each / "models" / f"{mode}-{seed}.keras") for each in (run, other)
    )
    assert config == expected_config
    assert arrays.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(arrays[name], value, err_msg=f"{mode}-{seed} {name}")
    histories = [Run.open(each).histories[mode, seed] for each in (run, other)]
    np.testing.assert_equal(histories[0], histories[1])  # NaN where the health was not looked at


@pytest.mark.parametrize("name", SETTINGS)
def test_each_seed_is_that_of_a_run_of_its_own(name, whole, noted, tmp_path, backend):
    folder, made, trained, losses = whole[name]
    modes = SETTINGS[name].modes
    reused = [a is not b for a, b in zip(made, trained, strict=True)]
    assert reused == [False] * len(modes) + [backend != "torch"] * len(modes)
    for each in noted:
        each.clear()
    alone = run(name, tmp_path / "alone", seeds=(0,))
    assert backend == "torch" or len(losses) == len(noted[2])  # two seeds have not been traced more often than one
    for mode in modes:
        assert_same(folder, alone, mode, 0)


class StopAt(training.Reporter):
    """Interrupts the training of this number, from 1, after so many steps."""

    def __init__(self, number, steps):
        self.left, self.steps = number, steps

    @contextmanager
    def training(self, title, steps):
        self.left -= 1

        def show(done, logs):
            if self.left == 0 and done >= self.steps:
                raise KeyboardInterrupt

        yield show


def test_a_seed_interrupted_on_a_step_of_another_goes_on_bit_for_bit(whole, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run("digits", tmp_path / "cut", reporter=StopAt(2, 4))
    assert (tmp_path / "cut" / "checkpoints" / "dann-0.npz").exists()
    assert_same(run("digits", tmp_path / "cut", resume=True), whole["digits"][0], "dann", 0)


def test_a_checkpoint_goes_on_on_a_step_of_another_bit_for_bit(whole, tmp_path):
    """As where the results of a seed are trained again, and a later one was interrupted."""
    with pytest.raises(KeyboardInterrupt):
        run("digits", tmp_path / "cut", seeds=(0,), reporter=StopAt(1, 4))
    config = json.loads((tmp_path / "cut" / "config.json").read_text())
    config["settings"]["seeds"] = [1, 0]
    (tmp_path / "cut" / "config.json").write_text(json.dumps(config))
    assert_same(run("digits", tmp_path / "cut", resume=True), whole["digits"][0], "dann", 0)


def model_of(strength=1.0, mean=0.0, rate=0.1, momentum=0.0, units=4, **kwargs):
    inputs = [keras.Input((3,)), fg.layers.Standardisation([mean] * 3, [1.0] * 3)]
    encoder = keras.Sequential([*inputs, layers.Dense(units)], name="encoder")
    classifier = keras.Sequential([layers.Dense(2)], name="classifier")
    model = fg.DANN(encoder, classifier, strength=strength)
    model.compile(keras.optimizers.SGD(rate, momentum=momentum), **kwargs)
    return model


@pytest.mark.parametrize(
    "change",
    [{"strength": 0.5}, {"mean": 1.0}, {"rate": 0.2}, {"momentum": 0.9}, {"units": 5}, {"metrics": ["accuracy"]}],
    ids=str,
)
def test_a_model_of_another_kind_is_trained_itself(change, backend):
    def made(**changes):
        keras.utils.clear_session(free_memory=False)
        return model_of(**changes)

    first, same, other = made(), made(), made(**change)
    assert stand_in(same, first) is (same if backend == "torch" else first)
    assert stand_in(other, first) is other
    assert stand_in(same, None) is same
