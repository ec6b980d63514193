"""The scikit-learn estimator: its conventions, its forms of input, and that it leaves nothing behind."""

from __future__ import annotations

import doctest
import functools
import pickle
import random
import re
import subprocess
import sys
import warnings
from pathlib import Path

import joblib
import keras
import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
import sklearn
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import flipgrad.sklearn
from flipgrad.sklearn import DomainAdaptationClassifier

pytestmark = pytest.mark.filterwarnings("ignore:Even though the `tf.config")  # of ``_quick``
PAGE = Path(__file__).resolve().parents[1] / "docs" / "sklearn.md"
EXPECTED_FAILURES = {
    "check_sample_weight_equivalence_on_dense_data": (
        "a row twice is not a row of weight 2: batches are drawn from the rows, and with more rows they are others"
    )
}

X = np.random.default_rng(0).normal(size=(60, 3))
y = (X[:, 0] > 0).astype(int)
X_TARGET = np.random.default_rng(1).normal([0, 1, 0], size=(40, 3))


@pytest.fixture(autouse=True)
def _quick(request, backend):
    """Few steps take less time than the tracing of a graph; ``compiled`` tests do as users do."""
    if backend != "tensorflow" or "compiled" in request.fixturenames:
        yield
        return
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture
def compiled():
    """Asks for compiled training."""


def tiny(**settings):
    return DomainAdaptationClassifier(**{"epochs": 2, "batch_size": 20, "random_state": 0, **settings})


class WithTarget(DomainAdaptationClassifier):
    """Adapts to its own source, so that the checks of scikit-learn train a discriminator."""

    def fit(self, X, y, *, sample_weight=None):  # noqa: N803
        return super().fit(X, y, X_target=X, sample_weight=sample_weight)


@pytest.mark.filterwarnings("ignore:No target rows")
@pytest.mark.parametrize(
    "kind", [DomainAdaptationClassifier, pytest.param(WithTarget, marks=pytest.mark.slow)], ids=["source", "dann"]
)
def test_it_is_a_scikit_learn_estimator(kind):
    results = check_estimator(
        kind(epochs=4, batch_size=200, learning_rate=0.03),
        expected_failed_checks=EXPECTED_FAILURES,
        on_skip=None,
    )
    failing = {result["check_name"] for result in results if result["status"] == "xfail"}
    assert failing == EXPECTED_FAILURES.keys()  # none is listed without need


def test_importing_it_does_not_import_keras():
    code = (
        "import sys; from sklearn.base import clone; from flipgrad.sklearn import DomainAdaptationClassifier as C; "
        "clone(C(epochs=3)); assert 'keras' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_two_fits_with_the_same_seed_predict_the_same(compiled):
    first = tiny().fit(X, y, X_TARGET).predict_proba(X_TARGET)
    keras.utils.set_random_seed(7)  # nothing outside decides
    assert np.array_equal(tiny().fit(X, y, X_TARGET).predict_proba(X_TARGET), first)
    assert not np.array_equal(first, tiny(random_state=1).fit(X, y, X_TARGET).predict_proba(X_TARGET))


def test_fit_leaves_no_global_state(compiled, backend):
    keras.config.set_dtype_policy("mixed_bfloat16")
    keras.utils.set_random_seed(7)

    def state():
        return random.getstate(), np.random.get_state()[1].tolist(), np.random.get_state()[2], torch_state()  # noqa: NPY002

    def torch_state():
        if backend != "torch":
            return None
        import torch

        return torch.get_rng_state().tolist()

    before, drawn = state(), np.array(keras.random.normal((3,)))
    keras.utils.set_random_seed(7)
    tiny().fit(X, y, X_TARGET)
    assert state() == before
    assert keras.config.dtype_policy().name == "mixed_bfloat16"
    assert np.array_equal(np.array(keras.random.normal((3,))), drawn)


def test_dann_trains_a_discriminator_and_source_does_not():
    adapted, plain = tiny().fit(X, y, X_TARGET), tiny(mode="source").fit(X, y, X_TARGET)
    assert len(adapted.history_["domain_loss"]) == 2
    assert "domain_loss" not in plain.history_
    assert not np.array_equal(adapted.predict_proba(X), plain.predict_proba(X))


def test_without_a_target_it_trains_on_the_source_and_says_so():
    with pytest.warns(UserWarning, match="No target rows") as caught:
        warned = tiny().fit(X, y)
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="No target")
        source = tiny(mode="source").fit(X, y)
    assert np.array_equal(warned.predict_proba(X), source.predict_proba(X))


@pytest.mark.parametrize("marker", [-1, "?"], ids=str)
def test_rows_with_the_unlabeled_label_are_the_target(marker):
    labels = y if marker == -1 else np.array(["no", "yes"])[y]
    order = np.random.default_rng(2).permutation(len(X))
    mixed_x = np.insert(X[order], 10, X_TARGET, axis=0)
    mixed_y = np.insert(labels[order].astype(object), 10, [marker] * len(X_TARGET)).tolist()
    mixed = tiny(unlabeled_label=marker).fit(mixed_x, mixed_y)
    assert mixed.classes_.tolist() == sorted(set(labels.tolist()))
    apart = tiny().fit(X[order], labels[order], X_TARGET)
    assert np.array_equal(mixed.predict_proba(X), apart.predict_proba(X))


def test_minus_one_is_a_class_unless_it_is_named():
    assert tiny(mode="source").fit(X, 2 * y - 1).classes_.tolist() == [-1, 1]


@pytest.mark.parametrize(
    "classes",
    [["cat", "dog"], [False, True], [-1, 1], [7, 300], ["a", "b", "c"]],
    ids=lambda classes: "-".join(map(str, classes)),
)
def test_labels_come_back_as_they_went_in(classes):
    labels = np.array(classes)[np.arange(len(X)) % len(classes)]
    fitted = tiny(mode="source", epochs=1).fit(X, labels)
    assert fitted.classes_.dtype == fitted.predict(X).dtype == labels.dtype
    assert fitted.classes_.tolist() == classes
    assert fitted.predict_proba(X).shape == (len(X), len(classes))


def test_pickled_and_loaded_it_predicts_the_same(tmp_path):
    fitted = tiny().fit(X, y, X_TARGET)
    expected = fitted.predict_proba(X)
    assert np.array_equal(pickle.loads(pickle.dumps(fitted)).predict_proba(X), expected)
    joblib.dump(fitted, tmp_path / "fitted.joblib")
    np.save(tmp_path / "x.npy", X)
    code = (
        "import sys, joblib, numpy as np; folder = sys.argv[1]; x = np.load(folder + '/x.npy'); "
        "np.save(folder + '/p.npy', joblib.load(folder + '/fitted.joblib').predict_proba(x))"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    np.testing.assert_allclose(np.load(tmp_path / "p.npy"), expected, atol=1e-6)


def test_a_keras_model_as_encoder_is_copied_with_its_weights():
    encoder = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, activation="tanh"), keras.layers.Dropout(0.5)])
    weights = [w.copy() for w in encoder.get_weights()]
    classifier = tiny(encoder=encoder, learning_rate=1e-12)
    first = classifier.fit(X, y, X_TARGET).predict_proba(X)
    kept = classifier.model_.encoder.get_weights()
    assert all(np.allclose(a, b, atol=1e-6) for a, b in zip(kept, weights, strict=True))
    assert np.array_equal(clone(classifier).fit(X, y, X_TARGET).predict_proba(X), first)
    classifier.set_params(learning_rate=0.1).fit(X, y, X_TARGET)
    assert not np.allclose(classifier.model_.encoder.get_weights()[0], weights[0], atol=1e-3)
    assert all(np.array_equal(a, b) for a, b in zip(encoder.get_weights(), weights, strict=True))


def test_an_encoder_that_does_not_know_its_input_yet():
    unbuilt = keras.Sequential([keras.layers.Dense(4, activation="tanh")])
    classifier = clone(tiny(encoder=unbuilt))
    first, second = (classifier.fit(X, y, X_TARGET).predict_proba(X) for _ in range(2))
    assert np.array_equal(first, second)


@keras.saving.register_keras_serializable("test_sklearn")
class Doubled(keras.layers.Layer):
    """A layer of a user's own."""

    def call(self, inputs):
        return 2 * inputs


def test_an_encoder_with_a_layer_of_ones_own_can_be_pickled():
    fitted = tiny(encoder=keras.Sequential([keras.layers.Dense(4), Doubled()])).fit(X, y, X_TARGET)
    assert np.array_equal(pickle.loads(pickle.dumps(fitted)).predict_proba(X), fitted.predict_proba(X))


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame], ids=["pandas", "polars"])
def test_data_frames(frame):
    def named(rows, columns="abc"):
        return frame(dict(zip(columns, rows.T, strict=True)))

    fitted = tiny().fit(named(X), y, named(X_TARGET))
    assert fitted.feature_names_in_.tolist() == ["a", "b", "c"]
    assert np.array_equal(fitted.predict_proba(named(X)), tiny().fit(X, y, X_TARGET).predict_proba(X))
    with pytest.raises(ValueError, match="X_target: The feature names should match"):
        tiny().fit(named(X), y, named(X_TARGET, "bac"))
    with pytest.raises(ValueError, match="feature names should match"):
        fitted.predict(named(X, "bac"))


def test_weights_of_rows():
    weights = np.arange(len(X)) % 3
    some = weights > 0
    fitted = tiny().fit(X, y, X_TARGET, sample_weight=weights).predict_proba(X)
    without = tiny().fit(X[some], y[some], X_TARGET, sample_weight=weights[some]).predict_proba(X)
    assert np.array_equal(fitted, without)
    twice = tiny().fit(X, y, X_TARGET, sample_weight=2 * weights).predict_proba(X)
    assert np.array_equal(fitted, twice)
    alike = tiny().fit(X[some], y[some], X_TARGET).predict_proba(X)
    assert not np.allclose(fitted, alike, atol=1e-4)


def test_columns_are_standardised_over_both_domains():
    scales = np.array([1e4, 1.0, 1e-4])
    shifted = tiny().fit(X * scales, y, X_TARGET * scales)
    layer = shifted.model_.encoder.layers[1]
    mean = (X.mean(axis=0) + X_TARGET.mean(axis=0)) / 2
    variance = ((X - mean) ** 2).mean(axis=0) / 2 + ((X_TARGET - mean) ** 2).mean(axis=0) / 2
    np.testing.assert_allclose(layer.mean, mean * scales, rtol=1e-4)
    np.testing.assert_allclose(layer.scale, np.sqrt(variance) * scales, rtol=1e-4)
    plain = tiny().fit(X, y, X_TARGET).predict_proba(X)
    np.testing.assert_allclose(shifted.predict_proba(X * scales), plain, atol=1e-3)


def test_a_column_that_never_varies_does_no_harm():
    constant = np.full((len(X), 1), 5.0)
    fitted = tiny().fit(np.hstack([X, constant]), y, np.hstack([X_TARGET, constant[: len(X_TARGET)]]))
    assert fitted.model_.encoder.layers[1].scale[3] == 1
    assert np.isfinite(fitted.predict_proba(np.hstack([X, constant + 1]))).all()


@pytest.mark.parametrize(
    ("shape", "dtype", "first"),
    [((16, 2), "float64", "Standardisation"), ((8, 8, 3), "uint8", "Rescaling"), ((8, 8), "uint8", "Reshape")],
    ids=["windows", "images", "grey images"],
)
def test_rows_of_more_axes(shape, dtype, first):
    rows = np.random.default_rng(0).integers(0, 256, (30, *shape)).astype(dtype)
    fitted = tiny(epochs=1).fit(rows, y[:30], rows[:20])
    assert type(fitted.model_.encoder.layers[1]).__name__ == first
    assert fitted.predict(rows).shape == (30,)
    with pytest.raises(ValueError, match="expected rows of shape"):
        fitted.predict(rows[:, :, :-1])
    with pytest.raises(ValueError, match="X_target: expected rows of shape"):
        tiny().fit(rows, y[:30], rows[:, :, :-1])


def test_pixels_and_numbers_together_are_numbers():
    pixels = np.random.default_rng(0).integers(0, 256, (30, 8, 8, 3)).astype("uint8")
    fitted = tiny(epochs=1).fit(pixels, y[:30], pixels.astype("float64"))
    assert type(fitted.model_.encoder.layers[1]).__name__ == "Standardisation"


class Recording(DomainAdaptationClassifier):
    """Remembers the rows that each fit was given."""

    seen: list = []  # noqa: RUF012 (shared on purpose: scikit-learn clones the estimator)

    def fit(self, X, y, X_target=None, *, sample_weight=None):  # noqa: N803
        self.seen.append((len(X), X_target))
        return super().fit(X, y, X_target, sample_weight=sample_weight)


@pytest.fixture
def recording():
    Recording.seen.clear()
    return Recording(epochs=1, batch_size=20, random_state=0)


def test_cross_validation_gives_the_whole_target_to_each_fold(recording):
    with sklearn.config_context(enable_metadata_routing=True):
        routed = recording.set_fit_request(X_target=True)
        scores = cross_val_score(routed, X, y, cv=3, params={"X_target": X_TARGET})
        assert len(scores) == 3
        search = GridSearchCV(routed, {"strength": [0.1, 1.0]}, cv=2).fit(X, y, X_target=X_TARGET)
        assert search.best_estimator_.strength == search.best_params_["strength"]
    assert [rows for rows, _ in recording.seen] == [40] * 3 + [30] * 4 + [60]
    assert all(np.array_equal(target, X_TARGET) for _, target in recording.seen)


def test_a_target_as_long_as_the_source_is_cut_as_documented(recording):
    with sklearn.config_context(enable_metadata_routing=True):
        cross_val_score(recording.set_fit_request(X_target=True), X, y, cv=3, params={"X_target": X + 1})
    assert [len(target) for _, target in recording.seen] == [40] * 3


def test_a_pipeline_transforms_the_target_too(recording):
    with sklearn.config_context(enable_metadata_routing=True):
        pipeline = make_pipeline(
            StandardScaler(), recording.set_fit_request(X_target=True), transform_input=["X_target"]
        )
        pipeline.fit(X, y, X_target=X_TARGET)
    expected = StandardScaler().fit(X).transform(X_TARGET)
    np.testing.assert_allclose(recording.seen[0][1], expected)
    assert pipeline.predict(X_TARGET).shape == (40,)


FAR = X_TARGET + np.array([0, 5, 0])
TRUTH = (FAR[:, 0] <= 0).astype(int)  # in the target the classes have changed places, so that only its labels can tell
KNOWN = np.arange(40) % 2 == 0


def test_some_labels_of_the_target_teach_what_the_source_cannot(compiled):
    labels = [number if here else None for number, here in zip(TRUTH, KNOWN, strict=True)]
    clf = tiny(epochs=40, learning_rate=0.01).fit(X, y, X_target=FAR, y_target=labels)
    without = clone(clf).fit(X, y, X_target=FAR)
    assert clf.score(FAR[~KNOWN], TRUTH[~KNOWN]) > 0.7
    assert without.score(FAR[~KNOWN], TRUTH[~KNOWN]) < 0.5


@functools.cache
def _with_and_without_labels(*numbers):
    """Probabilities where the two classes have these numbers."""
    labels = [numbers[label] if here else None for label, here in zip(TRUTH, KNOWN, strict=True)]
    fits = (tiny().fit(X, np.array(numbers)[y], X_target=FAR, **more) for more in ({"y_target": labels}, {}))
    return [fitted.predict_proba(FAR) for fitted in fits]


@pytest.mark.parametrize("names", [np.array([0, 1]), np.array(["ill", "well"]), np.array([True, False])])
@pytest.mark.parametrize("form", ["list", "nan", "pandas", "label"])
def test_in_every_form_some_labels_of_the_target_are_the_same(names, form):
    labels = [names[number] if here else None for number, here in zip(TRUTH, KNOWN, strict=True)]
    settings = {}
    if form == "nan":
        labels = np.array([np.nan if label is None else label for label in labels], dtype=object)
    elif form == "pandas":
        labels = pd.Series([None if label is None else label.item() for label in labels]).convert_dtypes()
        assert labels.isna().sum() == 20
    elif form == "label":
        settings = {"unlabeled_label": "?"}
        labels = ["?" if label is None else label for label in labels]
    fitted = tiny(**settings).fit(X, names[y], X_target=FAR, y_target=labels)
    expected, without = _with_and_without_labels(*names.argsort().tolist())
    assert fitted.classes_.tolist() == sorted(names.tolist())
    np.testing.assert_array_equal(fitted.predict_proba(FAR), expected)
    assert not np.allclose(expected, without, atol=1e-3)


def test_no_label_of_the_target_is_no_labels():
    plain, none = (tiny().fit(X, y, X_target=X_TARGET, **more) for more in ({}, {"y_target": [None] * 40}))
    np.testing.assert_array_equal(plain.predict_proba(X_TARGET), none.predict_proba(X_TARGET))


BAD_TARGET = X_TARGET.copy()
BAD_TARGET[3, 1] = np.nan


@pytest.mark.parametrize(
    ("settings", "data", "words"),
    [
        ({"mode": "coral"}, {}, "`mode`: expected 'source' or 'dann', received 'coral'"),
        ({"epochs": 0}, {}, "`epochs`: expected a positive whole number or None, received 0"),
        ({"batch_size": 1.5}, {}, "`batch_size`: expected a positive whole number, received 1.5"),
        ({"learning_rate": 0}, {}, "`learning_rate`: expected a number greater than 0, received 0"),
        ({"strength": -1}, {}, "`strength`: expected a number greater than 0"),
        ({"passes": "both"}, {}, "`passes`: expected 'joint' or 'separate'"),
        ({"encoder": "resnet"}, {}, "`encoder`: expected auto"),
        ({"encoder": keras.Sequential([keras.layers.Dense(2)]), "weights": "imagenet"}, {}, "`weights`: a Keras model"),
        ({"encoder": 3}, {}, "`encoder`: expected a name or a Keras model, received int"),
        ({"learning_rate": 1e30}, {}, "fit: the loss or a weight was NaN or infinite at step"),
        ({"unlabeled_label": -1}, {"X_target": None}, "`unlabeled_label`: expected rows with y == -1, or X_target"),
        ({"unlabeled_label": 1}, {}, "received both"),
        ({}, {"X_target": BAD_TARGET}, "X_target: Input X contains NaN"),
        ({}, {"X_target": X_TARGET[:, :2]}, "X_target: X has 2 features"),
        ({}, {"X_target": X_TARGET[:, 0]}, "X_target: Expected 2D array, got 1D array instead:$"),
        ({}, {"X_target": scipy.sparse.csr_array(X_TARGET)}, "X_target: Sparse data was passed"),
        ({}, {"X_target": X_TARGET[:0]}, "X_target: Found array with 0 sample"),
        ({}, {"y": np.zeros(60)}, r"y: expected two classes or more, received one class only \(0.0\)"),
        ({}, {"sample_weight": -np.ones(60)}, "sample_weight: expected one weight a row, none negative"),
        ({}, {"sample_weight": y}, "one class only"),
        (
            {},
            {"y_target": [0] * 39},
            r"one label or None a row of X_target \(40\), received \(39,\)",
        ),
        ({}, {"y_target": [0] * 40, "X_target": None}, r"row of X_target \(0\)"),
        ({}, {"y_target": [[0]] * 40}, r"received \(40, 1\)"),
        ({}, {"y_target": [None] * 39 + [{}]}, "y_target: expected labels of y or None, received a dict"),
        ({}, {"y_target": [True] * 40}, "y_target: expected labels of y or None, received True and 39 more"),
        ({}, {"y_target": [None] * 38 + [7, 7]}, "y_target: expected labels of y or None, received 7 and 1 more"),
    ],
    ids=lambda value: None if isinstance(value, str) else ",".join(value),
)
def test_refused_with_a_line_that_says_what(settings, data, words):
    with pytest.raises(ValueError, match=words) as caught:
        tiny(**settings).fit(**{"X": X, "y": y, "X_target": X_TARGET, **data})
    assert "\n" not in str(caught.value)


def test_verbose_shows_progress(capsys):
    tiny().fit(X, y, X_TARGET)
    assert capsys.readouterr().out == ""
    tiny(verbose=1).fit(X, y, X_TARGET)
    assert "dann: step 6 of 6, loss" in capsys.readouterr().out


def test_the_example_of_the_docstring_runs():
    assert doctest.testmod(flipgrad.sklearn).failed == 0


def test_the_page_runs_as_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 7
    names: dict = {}
    with sklearn.config_context():
        exec("\n".join(blocks).replace("epochs=20", "epochs=1"), names)
    assert (tmp_path / "model.keras").exists()
    assert names["search"].best_params_["strength"] in names["grid"]["strength"]
