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
    digits: dataclasses.replace(digits.PRESETS["default"], steps=12, batch_size=16, modes=("source", "dann")),
    blobs: dataclasses.replace(blobs.PRESETS["seed"], steps=40, steps_per_execution=10, modes=("domain", "dann")),
}


@pytest.fixture(autouse=True)
def no_figures(monkeypatch):
    """Only what is trained matters here."""
    for module, names in ((digits, ("draw_images_and_curves", "draw_adaptation")), (blobs, ("draw",))):
        for name in names:
            monkeypatch.setattr(module, name, lambda *given, **named: None)


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
    assert histories[0] == histories[1]


@pytest.fixture
def trained(monkeypatch):
    """What each training was made with: (its model, the model that was really trained)."""
    pairs = []

    def noted(model, before):
        pairs.append((model, stand_in(model, before)))
        return pairs[-1][1]

    monkeypatch.setattr(training, "stand_in", noted)
    return pairs


@pytest.fixture
def losses(monkeypatch):
    """One entry for each time that Python computes a loss: while it traces, and on PyTorch in each step."""
    compute, found = fg.DomainAdaptationModel.compute_loss, []

    def noted(self, *given, **named):
        found.append(self)
        return compute(self, *given, **named)

    monkeypatch.setattr(fg.DomainAdaptationModel, "compute_loss", noted)
    return found


@pytest.mark.parametrize("module", SETTINGS, ids=lambda module: module.__name__.rpartition(".")[2])
def test_each_seed_is_that_of_a_run_of_its_own(module, tmp_path, trained, losses, backend):
    settings = SETTINGS[module]
    module.run(dataclasses.replace(settings, seeds=(0, 1, 2)), tmp_path / "all")
    reused = [model is not made for made, model in trained]
    modes = len(settings.modes)
    assert reused == [False] * modes + [backend != "torch"] * 2 * modes
    calls = len(losses)
    for seed in (1, 2):
        losses.clear()
        module.run(dataclasses.replace(settings, seeds=(seed,)), tmp_path / str(seed))
        if backend != "torch":  # all three have not been traced more often than one alone
            assert len(losses) == calls
        for mode in settings.modes:
            assert_same(tmp_path / "all", tmp_path / str(seed), mode, seed)


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


def test_a_seed_interrupted_on_a_step_of_another_goes_on_bit_for_bit(tmp_path):
    settings = dataclasses.replace(SETTINGS[digits], modes=("dann",), seeds=(0, 1))
    digits.run(settings, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        digits.run(settings, tmp_path / "cut", reporter=StopAt(2, 6))
    assert (tmp_path / "cut" / "checkpoints" / "dann-1.npz").exists()
    digits.run(settings, tmp_path / "cut", resume=True)
    for seed in (0, 1):
        assert_same(tmp_path / "cut", tmp_path / "whole", "dann", seed)


def test_a_checkpoint_goes_on_on_a_step_of_another_bit_for_bit(tmp_path):
    """As where the results of a seed are trained again, and a later one was interrupted."""
    settings = dataclasses.replace(SETTINGS[digits], modes=("dann",), seeds=(1, 0))
    digits.run(settings, tmp_path / "whole")
    alone = dataclasses.replace(settings, seeds=(0,))
    with pytest.raises(KeyboardInterrupt):
        digits.run(alone, tmp_path / "cut", reporter=StopAt(1, 6))
    other = dataclasses.replace(settings, seeds=(1, 0))
    config = json.loads((tmp_path / "cut" / "config.json").read_text())
    config["settings"]["seeds"] = list(other.seeds)
    (tmp_path / "cut" / "config.json").write_text(json.dumps(config))
    digits.run(other, tmp_path / "cut", resume=True)
    assert_same(tmp_path / "cut", tmp_path / "whole", "dann", 0)


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
