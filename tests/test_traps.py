"""Mistakes that other libraries made, one test each.  Each of them trained, silently, to a worse result."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

import flipgrad as fg
from flipgrad._gradients import loss_gradients

REPOSITORY = Path(__file__).resolve().parents[1]


def _of(gradients, part):
    return [gradients[weight.path] for weight in part.trainable_variables]


def test_softmax_over_one_unit(tiny):
    """A discriminator that is constant 1: no gradient at all (skada)."""
    constant = keras.Sequential([layers.Dense(1, activation="softmax")])
    with pytest.raises(ValueError, match="constant 1 and has no gradient"):
        fg.DANN(tiny.encoder(), tiny.classifier(), constant)


def test_the_default_discriminator_reaches_the_encoder(tiny):
    """Shapes alone say nothing: the default DANN's gradients are there and are not zero (skada)."""
    model = fg.DANN(tiny.encoder(), tiny.classifier(), classification_weight=0.0)
    model.compile("sgd")
    model.horizon.assign(10)
    model.step.assign(5)  # half way: the ramp is up
    gradients = loss_gradients(model, tiny.batch)
    for grad in [*_of(gradients, model.encoder), *_of(gradients, model.objectives[0])]:
        assert np.abs(grad).max() > 1e-5


def test_the_ramp_ends_with_the_run(tiny):
    """A horizon of its own leaves the ramp half way or ends it early (TLlib, AdaTime)."""
    for epochs in (1, 3):
        model = tiny.model(fg.schedules.Ramp(), compiled=tiny.quick)
        model.fit(tiny.pairs(14), epochs=epochs, verbose=0)
        assert int(model.horizon.value) == int(model.step.value) == 2 * epochs
        assert float(model._progress()) == 1.0


def test_strength_is_on_the_gradient_and_not_on_the_loss(tiny):
    """On the loss it starves the discriminator (PyKale, criteo ADA)."""
    weak, strong = tiny.model(0.01, units=(8, 1)), tiny.model(1.0, units=(8, 1))
    weak_gradients, strong_gradients = (loss_gradients(m, tiny.batch) for m in (weak, strong))
    pairs = zip(
        _of(weak_gradients, weak.objectives[0]),
        _of(strong_gradients, strong.objectives[0]),
        strict=True,
    )
    for a, b in pairs:
        assert np.abs(b).max() > 1e-3
        np.testing.assert_allclose(a, b, rtol=1e-6)
    logs = [m.evaluate(tiny.pairs(), verbose=0, return_dict=True)["domain_loss"] for m in (weak, strong)]
    assert logs[0] == pytest.approx(logs[1])


def test_the_class_loss_is_not_averaged_with_the_domain_losses(tiny):
    """The sum of eq. 9, not its mean: the classifier's gradient is that of training alone (pytorch-adapt)."""
    model = tiny.model(1.0)
    alone = fg.DomainAdaptationModel(model.encoder, model.classifier)
    alone.compile("sgd")
    x, y = tiny.batch
    expected = _of(loss_gradients(alone, (x["source"], y)), alone.classifier)
    found = _of(loss_gradients(model, (x, y)), model.classifier)
    for a, b in zip(found, expected, strict=True):
        assert np.abs(b).max() > 1e-3
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-8)
    logs = model.evaluate(tiny.pairs(), verbose=0, return_dict=True)
    assert logs["loss"] == pytest.approx(logs["classification_loss"] + logs["domain_loss"], rel=1e-5)


@pytest.mark.parametrize("scale", [50.0, 500.0])
def test_confident_logits_keep_their_gradient(tiny, scale):
    """log(p + epsilon) has none once p rounds to 0 or 1 (adapt, skada, TLlib)."""
    model = tiny.model(-1.0)
    head, discriminator = model.classifier, model.objectives[0].discriminator
    for part in (head, discriminator):
        part.set_weights([scale * w for w in part.get_weights()])
    x, _ = tiny.batch
    logits = model.predict(x["source"], verbose=0)
    wrong = logits.argmin(-1).astype("int32")  # labels of the least likely class: p is 0 in float32
    gradients = loss_gradients(model, (x, wrong))
    bias = gradients[head.trainable_variables[-1].path]
    hot = (np.eye(3)[logits.argmax(-1)] - np.eye(3)[wrong]).mean(0)
    np.testing.assert_allclose(bias, hot, atol=0.1)
    domain_bias = gradients[discriminator.trainable_variables[-1].path]
    features = [keras.ops.convert_to_numpy(model.encoder(x[d])) for d in ("source", "target")]
    kernel, offset = discriminator.get_weights()[-2:]
    a = [(f @ kernel + offset)[:, 0].astype("float64") for f in features]
    sigmoid = [0.5 * (1 + np.tanh(value / 2)) for value in a]
    expected = 0.5 * sigmoid[0].mean() - 0.5 * (1 - sigmoid[1]).mean()
    assert np.abs(domain_bias - expected).max() < 1e-4


def test_mixed_precision_scales_the_loss(tiny):
    """In float16 small gradients vanish unless the loss is scaled (adapt: .54 instead of .99)."""
    keras.config.set_dtype_policy("mixed_float16")
    model = fg.DANN(tiny.encoder(), tiny.classifier(), tiny.discriminator((8, 1)), strength=1.0)
    model.compile(keras.optimizers.SGD(1.0))
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    scale = float(model.optimizer.scale_loss(1.0))
    assert scale > 1000
    # A gradient of 1e-8 is 0 in float16; it arrives through the scaled loss.
    model.classification_weight = 1e-6
    before = model.classifier.get_weights()
    model.fit(tiny.pairs(14), verbose=0)
    moved = np.abs(model.classifier.get_weights()[0] - before[0]).max()
    assert 0 < moved < 1e-5


def test_saved_models_load_without_their_code(tiny, tmp_path):
    """In another process that only knows flipgrad (adapt's do not load)."""
    model = tiny.model(fg.schedules.Ramp(5.0))
    model.fit(tiny.pairs(14), verbose=0)
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "x.npy", tiny.xt)
    np.save(tmp_path / "logits.npy", model.predict(tiny.xt, verbose=0))
    code = (
        "import sys, numpy as np, flipgrad as fg\n"
        "model = fg.load('model.keras')\n"
        "found = model.predict(np.load('x.npy'), verbose=0)\n"
        "assert np.abs(found - np.load('logits.npy')).max() < 1e-6\n"
        "assert model.objectives[0].strength.gamma == 5.0\n"
        "assert int(model.step.value) == int(model.horizon.value) == 2\n"
        "print('loaded')\n"
    )
    assert _run(code, tmp_path).endswith("loaded")


def test_import_changes_nothing(tmp_path):
    """No dtype policy, random state, plot backend, warning filter or log level changes (skada)."""
    code = """
import json, logging, os, random, warnings
import numpy as np, matplotlib
matplotlib.use('pdf')
import keras
before = {**os.environ}
def state():
    return [str(keras.config.dtype_policy().name), keras.config.floatx(), keras.config.epsilon(),
            keras.config.image_data_format(), str(np.random.get_state()), str(random.getstate()),
            matplotlib.get_backend(), str(sorted(matplotlib.rcParams.items(), key=str)),
            str(warnings.filters), logging.getLogger().level, len(logging.getLogger().handlers),
            str(np.geterr()), str(np.get_printoptions()), {**os.environ} == before,
            keras.config.is_interactive_logging_enabled()]
import sklearn.datasets, sklearn.decomposition, sklearn.manifold, matplotlib.pyplot, PIL.Image, pooch
first = state()
import flipgrad as fg
for name in fg.__all__:
    getattr(fg, name)
from flipgrad import runs
from flipgrad.cli import main
print(json.dumps([a == b for a, b in zip(first, state())]))
"""
    same = json.loads(_run(code, tmp_path).splitlines()[-1])
    assert all(same), same


def test_training_leaves_the_global_random_state_of_numpy_alone(tiny):
    before = str(np.random.get_state())  # noqa: NPY002
    tiny.model(compiled=tiny.quick)
    np.random.seed(1)  # noqa: NPY002
    state = str(np.random.get_state())  # noqa: NPY002
    pairs = tiny.pairs()
    _ = pairs[0], fg.data.blobs(0), fg.data.moons(0)
    assert str(np.random.get_state()) == state != before  # noqa: NPY002


def test_no_exact_version_pins():
    """They kill a package a year later (pytorch-adapt, DomainBed, PyKale)."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    extras = project.get("optional-dependencies", {}).values()
    for requirement in [*project["dependencies"], *(r for extra in extras for r in extra)]:
        assert not re.search(r"==|~=|<", requirement), requirement
    assert "<" not in project["requires-python"]


def _run(code, folder):
    """Runs Python code in a new process and returns what it printed."""
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
