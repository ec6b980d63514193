"""The layers that preprocess, against NumPy and scikit-learn, on every backend."""

import json

import keras
import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OneHotEncoder, StandardScaler, normalize

from flipgrad.inputs import Classes, Domain, InputFormat, preprocessing_layers
from flipgrad.layers import Standardisation, TableFeatures, TermWeights

RANDOM = np.random.default_rng(0)
CLASSES = Classes((0, 1))


def _domain(x):
    return Domain(x, None, [""] * len(x))


def _fitted(kind, detail, source, target):
    form = InputFormat(kind, source.shape[1:], CLASSES, detail)
    return preprocessing_layers(form, _domain(source), _domain(target))


def _apply(layers, x, tmp_path=None):
    dtype = "uint8" if x.dtype == np.uint8 else "float32"
    model = keras.Sequential([keras.Input(x.shape[1:], dtype=dtype), *layers])
    result = keras.ops.convert_to_numpy(model(x))
    if tmp_path:
        model.save(tmp_path / "m.keras")
        again = keras.saving.load_model(tmp_path / "m.keras")
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(again(x)), result)
        json.dumps(model.get_config(), allow_nan=False)
        assert model.output_shape[1:] == result.shape[1:]
    return result


# Tables -------------------------------------------------------------------------------------------------

COLUMNS = [
    {"name": "a", "kind": "number"},
    {"name": "c", "kind": "category", "categories": list("uvw")},
    {"name": "b", "kind": "boolean"},
    {"name": "d", "kind": "number"},
]
TABLE = {"label": "y", "columns": COLUMNS}


def _table(rows, shift):
    x = np.stack(
        [
            RANDOM.normal(50 + shift, 3, rows),
            RANDOM.integers(0, 3, rows),
            RANDOM.integers(0, 2, rows),
            RANDOM.normal(shift, 1, rows),
        ],
        axis=1,
    ).astype("float32")
    x[::5, 0] = np.nan
    x[1::6, 1] = np.nan
    return x


def test_tables_as_scikit_learn_does(tmp_path):
    source, target = _table(40, 0), _table(40, 5)
    result = _apply(_fitted("table", TABLE, source, target), target, tmp_path)
    both = np.concatenate([source, target]).astype("float64")
    imputer, scaler = SimpleImputer().fit(both[:, [0]]), StandardScaler().fit(both[:, [0, 2, 3]])
    scaled = scaler.transform(np.concatenate([target[:, [0]], target[:, 2:]], axis=1).astype("float64"))
    at_mean = (imputer.transform(target[:, [0]].astype("float64")) - scaler.mean_[0]) / scaler.scale_[0]
    codes = OneHotEncoder(categories=[[0, 1, 2]], handle_unknown="ignore", sparse_output=False)
    one_hot = codes.fit(np.array([[0.0]])).transform(np.nan_to_num(target[:, [1]], nan=-1))
    absent = np.isnan(target[:, [0]])
    expected = np.concatenate([at_mean, absent, one_hot, scaled[:, 1:]], axis=1)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected, atol=2e-5)
    assert (result[absent[:, 0], 0] == 0).all()


def test_each_domain_weighs_the_same():
    source, target = np.full((1000, 1), 2.0, "float32"), np.array([[4.0], [6.0]], "float32")
    (layer,) = _fitted("arrays", {"dtype": "float32"}, source, target)
    np.testing.assert_allclose(layer.mean, [3.5])  # (2 + 5) / 2
    np.testing.assert_allclose(layer.scale, [np.sqrt((1.5**2 + (0.5**2 + 2.5**2) / 2) / 2)], rtol=1e-6)
    detail = {"label": "y", "columns": [{"name": "a", "kind": "number"}]}
    (features,) = _fitted("table", detail, source, target)
    assert features.columns[0]["mean"] == pytest.approx(3.5)
    assert features.columns[0]["indicator"] is False


def test_by_hand():
    layer = TableFeatures([{"mean": 10.0, "scale": 2.0, "indicator": True}, {"categories": 3}])
    x = np.array([[14, 0], [np.nan, 2], [10, np.nan], [8, 3], [9, 1.5], [9, -1]], "float32")
    expected = [
        [2, 0, 1, 0, 0],
        [0, 1, 0, 0, 1],
        [0, 0, 0, 0, 0],
        [-1, 0, 0, 0, 0],
        [-0.5, 0, 0, 0, 0],
        [-0.5, 0, 0, 0, 0],
    ]
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(layer(x)), expected)


def test_values_missing_only_when_predicting_are_at_the_mean():
    source = _table(20, 0)
    source[:, 3] = 1 + np.arange(20)
    result = _apply(_fitted("table", TABLE, source, source), np.full((1, 4), np.nan, "float32"))
    np.testing.assert_array_equal(result, [[0, 1, 0, 0, 0, 0, 0]])


def test_missing_values_of_one_domain_get_an_indicator():
    source = _table(30, 0)
    target = source.copy()
    target[3, 3] = np.nan
    (layer,) = _fitted("table", TABLE, source, target)
    assert [column.get("indicator") for column in layer.columns] == [True, None, False, True]


# Vectors, windows, images -------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(7,), (5, 3), (4, 4, 2)])
def test_arrays_by_their_last_axis(shape, tmp_path):
    source = RANDOM.normal(3, 2, (50, *shape)).astype("float32")
    target = RANDOM.normal(-1, 5, (20, *shape)).astype("float32")
    layers = _fitted("arrays", {"dtype": "float32"}, source, target)
    result = {x.shape: _apply(layers, x, tmp_path) for x in (source, target)}
    axes = tuple(range(len(shape)))
    means = [result[x.shape].mean(axis=axes) for x in (source, target)]
    squares = [np.square(result[x.shape]).mean(axis=axes) for x in (source, target)]
    np.testing.assert_allclose(np.mean(means, axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(np.mean(squares, axis=0), 1, atol=1e-5)


@pytest.mark.parametrize("unit", [1e-13, 1.0, 1e13])
def test_the_unit_does_not_matter(unit):
    """Magnetic fields of the brain are 1e-13 tesla."""
    x = RANDOM.normal(size=(50, 6, 2))
    expected = _apply(_fitted("arrays", {"dtype": "float32"}, *[x.astype("float32")] * 2), x.astype("float32"))
    scaled = (x * unit).astype("float32")
    np.testing.assert_allclose(
        _apply(_fitted("arrays", {"dtype": "float32"}, scaled, scaled), scaled), expected, atol=1e-5
    )


@pytest.mark.parametrize("value", [0.0, 0.1, 1e6, -3e-9])
def test_what_never_varies_does_not_blow_up(value):
    x = RANDOM.normal(size=(997, 2)).astype("float32")
    x[:, 1] = value
    layers = _fitted("arrays", {"dtype": "float32"}, x, x[:31])
    other = np.array([[0.0, value], [0.0, value + 1]], "float32")
    assert abs(_apply(layers, other)[:, 1]).max() <= 1.1
    detail = {"label": "y", "columns": [COLUMNS[0], COLUMNS[3]]}
    assert abs(_apply(_fitted("table", detail, x, x[:31]), other)[:, 1]).max() <= 1.1


@pytest.mark.parametrize(
    ("kind", "detail", "shape", "out"),
    [
        ("images", {"size": [4, 5]}, (4, 5, 3), (4, 5, 3)),
        ("arrays", {"dtype": "uint8"}, (4, 5), (4, 5, 1)),
        ("arrays", {"dtype": "uint8"}, (4, 5, 4), (4, 5, 4)),
    ],
)
def test_pixels(kind, detail, shape, out, tmp_path):
    x = RANDOM.integers(0, 256, (9, *shape)).astype("uint8")
    result = _apply(_fitted(kind, detail, x, x), x, tmp_path)
    assert result.shape[1:] == out
    np.testing.assert_allclose(result.ravel(), x.ravel() / 127.5 - 1, atol=1e-6)


def test_bytes_that_are_no_image_are_standardised():
    x = RANDOM.integers(0, 256, (9, 12)).astype("uint8")
    (layer,) = _fitted("arrays", {"dtype": "uint8"}, x, x)
    assert isinstance(layer, Standardisation)


# Sparse features ----------------------------------------------------------------------------------------

SPARSE = {"counts": True, "zero_based": False}


def test_counts_as_scikit_learn_does(tmp_path):
    source, target = (RANDOM.poisson(0.4, (30, 12)).astype("float32") for _ in range(2))
    source[3] = 0
    source[:, 7] = target[:, 7] = 0
    result = _apply(_fitted("sparse", SPARSE, source, target), source, tmp_path)
    both = np.concatenate([source, target])
    weights = TfidfTransformer(norm=None, smooth_idf=True).fit((both > 0).astype(float))
    expected = normalize(np.log1p(source) * weights.idf_)
    np.testing.assert_allclose(result, expected, atol=1e-6)
    assert (result[3] == 0).all()


def test_rare_words_by_hand():
    """A word in half of the source rows and in no target row, for 1000 and 4 rows: in a quarter of both."""
    source, target = np.zeros((1000, 2), "float32"), np.ones((4, 2), "float32")
    source[:500, 0] = 1
    target[:, 0] = 0
    (layer,) = _fitted("sparse", SPARSE, source, target)
    np.testing.assert_allclose(layer.idf, 1 + np.log(1005 / (1 + 1004 * np.array([0.25, 0.5]))), rtol=1e-6)


def test_other_sparse_features_keep_their_zeros(tmp_path):
    x = RANDOM.normal(5, 3, (40, 3)).astype("float32")
    x[::2] = 0
    x[:, 2] = 0
    result = _apply(_fitted("sparse", {**SPARSE, "counts": False}, x, x), x, tmp_path)
    assert ((result == 0) == (x == 0)).all()
    np.testing.assert_allclose(result.std(axis=0), [1, 1, 0], rtol=1e-5)


# In an encoder ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "float16"])
def test_rows_are_scaled_in_full_precision(policy):
    """Half precision would round 1001 to 1000 and codes above 256 to even ones before they are used."""
    keras.config.set_dtype_policy(policy)
    (layer,) = _fitted("arrays", {"dtype": "float32"}, *[np.array([[1000.0], [1002.0]], "float32")] * 2)
    np.testing.assert_allclose(_apply([layer], np.array([[1001.0], [1003.0]], "float32"))[:, 0], [0, 2], atol=1e-5)
    table = TableFeatures([{"categories": 600}])
    assert _apply([table], np.array([[515.0]], "float32"))[0].argmax() == 515
    x = np.arange(256, dtype="uint8").reshape(1, 16, 16)
    pixels = _apply(_fitted("arrays", {"dtype": "uint8"}, x, x), x)
    assert len(np.unique(pixels)) == 256


def test_a_table_trains_and_is_saved(tmp_path):
    import flipgrad as fg

    source, target = _table(40, 0), _table(30, 2)
    layers = _fitted("table", TABLE, source, target)
    encoder = keras.Sequential([keras.Input((4,)), *layers, keras.layers.Dense(8, "relu")])
    model = fg.DANN(encoder, keras.Sequential([keras.layers.Dense(2)]))
    model.compile("adam", run_eagerly=True)
    labels = (np.arange(40) % 2).astype("int32")
    pairs = fg.data.pair_domains((source, labels), target, 10, allow_missing=True)
    model.fit(pairs, epochs=1, verbose=0)
    logits = model.predict(target, verbose=0)
    assert np.isfinite(logits).all()
    model.save(tmp_path / "m.keras")
    np.testing.assert_array_equal(fg.load(tmp_path / "m.keras").predict(target, verbose=0), logits)


# Bad numbers --------------------------------------------------------------------------------------------

NUMBER = {"mean": 0.0, "scale": 1.0, "indicator": False}


@pytest.mark.parametrize(
    "make",
    [
        lambda: TableFeatures([]),
        lambda: TableFeatures([{"categories": 0}]),
        lambda: TableFeatures([{"categories": 2.0}]),
        lambda: TableFeatures([{**NUMBER, "scale": 0.0}]),
        lambda: TableFeatures([{**NUMBER, "mean": float("nan")}]),
        lambda: TableFeatures([{**NUMBER, "indicator": 1}]),
        lambda: TableFeatures([{**NUMBER, "categories": 2}]),
        lambda: TermWeights([]),
        lambda: TermWeights([-1.0]),
        lambda: TermWeights([float("inf")]),
        lambda: Standardisation([], []),
        lambda: Standardisation([0.0], [0.0]),
        lambda: Standardisation([0.0], [1.0, 2.0]),
        lambda: Standardisation([float("nan")], [1.0]),
    ],
)
def test_numbers_that_make_no_sense(make):
    with pytest.raises(ValueError, match=r"argument.* must be"):
        make()
