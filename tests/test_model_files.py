"""``info`` of a saved model: what it is and whether it loads, from the texts in it alone."""

import json
import math
import os
import zipfile

import keras
import pytest
from keras import layers

import flipgrad as fg
from flipgrad import _model_files
from flipgrad.cli.info import info
from flipgrad.errors import InputError


@pytest.fixture
def good(tmp_path):
    model = keras.Sequential([keras.Input((3,), name="first"), layers.Dense(2, name="last")], name="small")
    model.compile("adam")
    model.save(tmp_path / "good.keras")
    return tmp_path / "good.keras"


def repacked(good, **members):
    """A copy of a good model with other members; None takes one away."""
    changed = {name.replace("_", ".", 1): content for name, content in members.items()}
    with zipfile.ZipFile(good) as archive, zipfile.ZipFile(good.with_name("bad.keras"), "w") as other:
        contents = {name: archive.read(name) for name in archive.namelist()} | changed
        for name, content in contents.items():
            if content is not None:
                other.writestr(name, content)
    return good.with_name("bad.keras")


def test_a_model_of_flipgrad(tiny, tmp_path, monkeypatch):
    model = tiny.model()
    model.save(tmp_path / "model.keras")
    expected = sum(math.prod(weight.shape) for weight in model.weights)
    for builds in ("load_model", "deserialize_keras_object"):  # none of it is built
        monkeypatch.setattr(keras.saving, builds, None)
    found = _model_files.describe(tmp_path / "model.keras")
    assert (found["keras"], found["class"]) == (keras.__version__, "flipgrad>DomainAdaptationModel")
    assert [layer["class"] for layer in found["layers"]["encoder"]] == ["InputLayer", "Dense"]
    assert [layer["class"] for layer in found["layers"]["classifier"]] == ["InputLayer", "Dense"]
    name = model.objectives[0].name
    assert found["layers"]["objectives"] == [{"name": name, "class": "flipgrad>DomainAdversarial"}]
    assert found["refused"] is None
    assert found["weights"] == expected


def test_a_model_of_keras_and_models_inside_it(good):
    found = _model_files.describe(good)
    assert found["name"] == "small"
    assert found["layers"] == {"model": [{"name": "first", "class": "InputLayer"}, {"name": "last", "class": "Dense"}]}
    assert found["weights"] == 8  # without the optimizer's
    inner = keras.Sequential([keras.Input((3,), name="second"), layers.Dense(4, name="deep")], name="inner")
    keras.Sequential([keras.Input((3,), name="first"), inner, layers.Dense(2, name="last")]).save(good)
    names = [layer["name"] for layer in _model_files.describe(good)["layers"]["model"]]
    assert names == ["first", "inner", "second", "deep", "last"]


def test_the_verdict_is_that_of_load(good, tmp_path, monkeypatch):
    (tmp_path / "evil_module.py").write_text("import os\nos.mkdir('ran')\nclass Evil: pass\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    config = {"module": "evil_module", "class_name": "Evil", "config": {"name": "x"}, "registered_name": None}
    for bad in (
        {"config_json": json.dumps(config)},
        {"config_json": json.dumps({"class_name": "Lambda", "module": "keras.layers", "config": {}})},
        {"model_weights.h5": b"no HDF5"},
        {"model_weights.h5": None},
        {"other_py": b"import os"},
    ):
        path = repacked(good, **bad)
        found = _model_files.describe(path)
        with pytest.raises(InputError) as caught:
            fg.load(path)
        assert str(caught.value) == f"{path}: {found['refused']}"
        assert found["weights"] is None
    assert not os.path.exists("ran")


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ({"config_json": None}, "config.json is missing"),
        ({"config_json": b"{"}, "damaged"),
        ({"config_json": b"[" * 100_000}, "damaged"),
        ({"config_json": b"[]"}, "expected an object"),
        ({"metadata_json": b"\xff"}, "damaged"),
        ({"config_json": b" " * (33 * 2**20)}, "larger than 32 MiB"),
        ({"../evil": b""}, "leads out of the archive"),
    ],
)
def test_a_hostile_file_gives_one_line(good, members, why):
    path = repacked(good, **members)
    with pytest.raises(InputError, match=why) as caught:
        _model_files.describe(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < len(str(path)) + 300


@pytest.mark.parametrize(
    "config", [{}, {"config": 5}, {"config": {"layers": [5, {}, {"config": []}, {"class_name": 7}], "encoder": []}},
               {"config": {"encoder": {}, "classifier": 5, "objectives": {"a": 1}}}, {"class_name": ["x"]}]
)  # fmt: skip
def test_odd_configurations_are_described(good, config, capsys):
    path = repacked(good, config_json=json.dumps(config))
    info(str(path))
    assert "flipgrad.load" in capsys.readouterr().out
    info(str(path), as_json=True)
    assert json.loads(capsys.readouterr().out)["file"] == str(path)


def test_nothing_that_a_terminal_obeys(good, capsys):
    config = {"class_name": "\x1b[31m[red]x" * 50, "config": {"layers": [{"config": {"name": "\x07[bold]y"}}] * 3000}}
    path = repacked(good, config_json=json.dumps(config), metadata_json=json.dumps({"keras_version": "\x1b]0;a"}))
    info(str(path))
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert "\x07" not in said
    assert "[bold]y" in said
    assert said.count("[bold]y") == 2000
    assert "more are not listed" in said
    assert "flipgrad.load refuses it: names" in said
