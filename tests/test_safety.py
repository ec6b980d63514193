"""Loading a model from a stranger runs nothing, reads no other file, unpacks no bomb; each attack is a real one."""

import base64
import errno
import io
import json
import os
import pickle
import stat
import sys
import warnings
import zipfile
import zlib
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras import layers

import flipgrad as fg
from flipgrad.cli import _errors, _tables
from flipgrad.cli.evaluate import evaluate
from flipgrad.errors import InputError
from flipgrad.inputs import Classes, InputFormat
from flipgrad.runs import Run
from flipgrad.trained import Trained


@pytest.fixture
def good(tmp_path):
    """The path of a good model."""
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2, activation="relu")])
    model.save(tmp_path / "good.keras")
    return tmp_path / "good.keras"


@pytest.fixture
def marker(tmp_path):
    """A folder that an attack makes; it must not be there in the end."""
    path = tmp_path / "ran"
    yield path
    assert not path.exists()


def repacked(good, name="bad.keras", weights=None, edit=None):
    """A copy of a good model with other weights (bytes) or an edited configuration."""
    with zipfile.ZipFile(good) as archive, zipfile.ZipFile(good.with_name(name), "w") as other:
        for member in archive.namelist():
            content = archive.read(member)
            if member == "config.json" and edit:
                config = json.loads(content)
                edit(config)
                content = json.dumps(config).encode()
            other.writestr(member, weights if weights and member.endswith(".h5") else content)
    return good.with_name(name)


def with_layer(good, **described):
    """A copy of a good model whose last layer is described so."""

    def edit(config):
        layer = config["config"]["layers"][-1]
        layer.pop("build_config", None)
        layer.update({"registered_name": None, **described})

    return repacked(good, edit=edit)


def with_activation(good, activation):
    def edit(config):
        config["config"]["layers"][-1]["config"]["activation"] = activation

    return repacked(good, edit=edit)


def refused(path, match, **arguments):
    with pytest.raises(InputError, match=match) as caught:
        fg.load(path, **arguments)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert len(message) < len(str(path)) + 300
    return message


# Code ------------------------------------------------------------------------------------------------------------


def lambda_model(good, marker):
    """A model with code in it, made by Keras itself."""
    path = good.with_name("lambda.keras")
    code = f"lambda x: [__import__('os').makedirs({str(marker)!r}, exist_ok=True), x][1]"
    layer = layers.Lambda(eval(code))
    keras.Sequential([keras.Input((3,)), layer]).save(path)
    os.rmdir(marker)
    return path


def test_a_lambda(good, marker):
    path = lambda_model(good, marker)
    keras.saving.load_model(path, safe_mode=False)
    os.rmdir(marker)  # the attack is a real one
    refused(path, "'keras.layers.Lambda', which is no part of Keras that only computes")


def test_a_lambda_where_safe_mode_is_switched_off(good, marker):
    path = lambda_model(good, marker)
    keras.config.enable_unsafe_deserialization()
    try:
        keras.saving.load_model(path, safe_mode=True)
        os.rmdir(marker)  # the argument does not help
        refused(path, "Lambda")
    finally:
        keras.utils.clear_session()


def test_code_in_place_of_an_argument(good, marker):
    def activation(x):
        return x

    code = {"class_name": "__lambda__", "config": {"value": "code"}}
    refused(with_activation(good, code), "__lambda__")
    spec = {"class_name": "__typespec__", "spec_name": "Evil", "module": "os", "config": [], "registered_name": None}
    refused(with_activation(good, spec), "__typespec__")


@pytest.fixture
def evil_module(tmp_path, marker, monkeypatch):
    """The name of a module that makes the marker when it is imported."""
    (tmp_path / "evil_module.py").write_text(f"import os\nos.mkdir({str(marker)!r})\nrun = os.mkdir\n")
    monkeypatch.syspath_prepend(tmp_path)
    return "evil_module"


@pytest.mark.parametrize("registered", [None, "Evil", "flipgrad>Evil"])
def test_a_module_path(good, evil_module, registered):
    """As in CVE-2025-1550."""
    found = refused(with_layer(good, module=evil_module, class_name="Evil", registered_name=registered), "Evil")
    assert (evil_module in found) is (registered is None)
    function = {"module": evil_module, "class_name": "function", "config": "run", "registered_name": registered}
    refused(with_activation(good, function), "'run'")
    assert evil_module not in sys.modules


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "system"),
        ("builtins", "eval"),
        ("keras.utils", "get_file"),  # as in CVE-2025-8747
        ("keras.saving", "load_model"),
        ("keras.config", "enable_unsafe_deserialization"),
        ("keras.src.utils.python_utils", "func_load"),
        ("keras.layers", "Lambda"),
        ("keras.activations", "deserialize"),
        ("builtins", "deserialize"),
        ("keras.activations", "ReLU"),
        (["keras"], "layers"),
        (None, "relu"),
    ],
)
def test_a_function_that_does_not_compute(good, module, name):
    function = {"module": module, "class_name": "function", "config": name, "registered_name": name}
    refused(with_activation(good, function), f"'{name}'")


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("keras.src.layers.core.lambda_layer", "Lambda"),
        ("keras.src.layers", "Lambda"),
        ("keras.layers", "JaxLayer"),
        ("keras.layers", "FlaxLayer"),
        ("keras.src.export.tfsm_layer", "TFSMLayer"),
        ("keras", "Variable"),
        ("keras.utils", "PyDataset"),
        ("keras.callbacks", "CSVLogger"),
        ("keras_hub.models", "Backbone"),
        (None, "Dense"),  # the loader of old files would take it
        ("keras.layers", None),
        ("keras.layers", 7),
    ],
)
def test_a_class_that_does_not_only_compute(good, module, name):
    refused(with_layer(good, module=module, class_name=name), "which is no part of Keras")


def test_a_pickle(good, marker):
    """PyTorch's modules are pickled into the configuration."""

    class Evil:
        def __reduce__(self):
            return (os.mkdir, (str(marker),))

    content = pickle.dumps(Evil())
    pickle.loads(content)
    os.rmdir(marker)  # the attack is a real one
    config = {"module": base64.b64encode(content).decode(), "name": "evil"}
    refused(
        with_layer(good, module="keras.layers", class_name="TorchModuleWrapper", config=config), "TorchModuleWrapper"
    )


def test_a_saved_program(good, marker, backend):
    """As in CVE-2026-1462: a TensorFlow program in a folder, which may write files."""
    if backend != "tensorflow":
        pytest.skip("only TensorFlow makes the program")
    import tensorflow as tf

    class Program(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((None, 3))])
        def __call__(self, x):
            tf.io.write_file(str(marker), "ran")
            return {"y": x}

    folder = str(good.with_name("program"))
    program = Program()
    tf.saved_model.save(program, folder, signatures=program.__call__)
    layers.TFSMLayer(folder, call_endpoint="serving_default")(tf.zeros((1, 3)))
    marker.unlink()  # the attack is a real one
    config = {"name": "evil", "filepath": folder, "call_endpoint": "serving_default", "call_training_endpoint": None}
    refused(with_layer(good, module="keras.layers", class_name="TFSMLayer", config=config), "TFSMLayer")


def test_what_somebody_else_has_registered(good, marker):
    @keras.saving.register_keras_serializable("stranger")
    class Evil(layers.Layer):
        def __init__(self, **kwargs):
            os.mkdir(marker)
            super().__init__(**kwargs)

    def attack():
        return with_layer(good, module="keras.layers", class_name="Dense", registered_name="stranger>Evil", config={})

    try:
        refused(attack(), "'stranger>Evil'")
        refused(with_activation(good, "stranger>Evil"), "names 'stranger>Evil'")
        refused(attack(), "'stranger>Evil'", custom_objects={"stranger>Evil": layers.Dense})  # another class
        assert not marker.exists()
        fg.load(attack(), custom_objects={"Evil": Evil})  # asked for; and the attack is a real one
        os.rmdir(marker)
    finally:
        keras.saving.get_custom_objects().pop("stranger>Evil")


def test_a_vocabulary_from_another_file(good, tmp_path):
    (tmp_path / "secret.txt").write_text("a\nb\n")
    config = {"name": "lookup", "vocabulary": str(tmp_path / "secret.txt"), "output_mode": "int"}
    refused(with_layer(good, module="keras.layers", class_name="StringLookup", config=config), "vocabulary")


def test_a_configuration_without_end_or_of_another_kind(good):
    def nested(config):
        layer = config["config"]["layers"][-1]
        for _ in range(150):
            layer = {"module": "keras", "class_name": "Sequential", "config": {"name": "a", "layers": [layer]}}
        config["config"]["layers"][-1] = layer

    def replaced(content):
        with zipfile.ZipFile(good) as archive, zipfile.ZipFile(good.with_name("bad.keras"), "w") as other:
            for member in archive.namelist():
                other.writestr(member, content if member == "config.json" else archive.read(member))
        return good.with_name("bad.keras")

    refused(replaced(b"[" * 10**6), "damaged")
    refused(replaced(b"hello"), "damaged")
    refused(replaced(b"\xff\xfe\xfd"), "damaged")
    refused(replaced(b"[1, 2]"), "config.json: expected an object, found list")
    refused(replaced(b" " * (32 * 2**20 + 1)), "larger than 32 MiB")
    refused(repacked(good, edit=nested), "cannot make a model")


# Archives --------------------------------------------------------------------------------------------------------


def with_member(good, name, content=b"", **attributes):
    path = good.with_name("bad.keras")
    path.write_bytes(good.read_bytes())
    info = zipfile.ZipInfo("x")
    info.filename = info.orig_filename = name
    for attribute, value in attributes.items():
        setattr(info, attribute, value)
    with zipfile.ZipFile(path, "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a name that is there twice
        archive.writestr(info, content)
    return path


OUTSIDE = ["../evil", "assets/../../evil", "/etc/evil", "assets\\..\\evil", "C:evil", "assets/\0.txt"]


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_member_that_leads_out(good, name):
    refused(with_member(good, name), "leads out of the archive")
    assert not (good.parent.parent / "evil").exists()


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_a_link_or_a_device(good, kind):
    path = with_member(good, "assets/link", b"/etc/passwd", create_system=3, external_attr=(kind | 0o777) << 16)
    refused(path, "is a link or a device")


def test_a_member_that_is_there_twice(good):
    refused(with_member(good, "config.json", b"{}"), "is there twice")


def test_a_member_that_does_not_belong_there(good):
    refused(with_member(good, "evil.py"), "found 'evil.py'")
    refused(with_member(good, "model.weights.npz"), "found 'model.weights.npz'")


def test_an_encrypted_member(good):
    path = with_member(good, "assets/secret", b"x")
    content = bytearray(path.read_bytes())
    place = content.rindex(b"PK\x01\x02")  # the last entry of the directory
    content[place + 8] |= 1
    path.write_bytes(content)
    refused(path, "is encrypted")


def test_a_member_of_ten_gigabytes(good):
    """10 GiB of zeros, packed into 10 MiB by repeating what one MiB of them packs into."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    once = packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH)
    path = good.with_name("bomb.keras")
    with zipfile.ZipFile(good) as archive, zipfile.ZipFile(path, "w") as bomb:
        bomb.writestr("config.json", archive.read("config.json"))
        bomb.writestr("model.weights.h5", once * 10240 + packer.flush(zlib.Z_FINISH))
        info = bomb.getinfo("model.weights.h5")
        info.compress_type, info.file_size = zipfile.ZIP_DEFLATED, 10 * 2**30
    assert path.stat().st_size < 20 * 2**20
    with zipfile.ZipFile(path) as bomb, bomb.open("model.weights.h5") as member:
        assert member.read(2**26) == bytes(2**26)  # the attack is a real one
    refused(path, "would unpack to 10240 MiB; do not trust it")


# Weights ---------------------------------------------------------------------------------------------------------


def with_weights(good, edit):
    """A copy of a good model after ``edit(file, group of the layer's weights)``."""
    with zipfile.ZipFile(good) as archive:
        content = io.BytesIO(archive.read("model.weights.h5"))
    with h5py.File(content, "a") as file:
        edit(file, file["layers/dense/vars"])
    return repacked(good, weights=content.getvalue())


@pytest.fixture
def secret(tmp_path):
    """A file whose content an attack would read."""
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["x"] = np.ones((3, 2), "float32")
    return str(tmp_path / "secret.h5")


def test_weights_from_another_file(good, secret):
    def external_link(file, group):
        del group["0"]
        group["0"] = h5py.ExternalLink(secret, "x")

    def soft_link(file, group):
        del group["1"]
        group["1"] = h5py.SoftLink("/layers/dense/vars/0")

    def linked_group(file, group):
        file["other"] = h5py.ExternalLink(secret, "/")

    def external_storage(file, group):
        del group["0"]
        group.create_dataset("0", (3, 2), "float32", external=[(secret, 0, 24)])

    def virtual(file, group):
        del group["0"]
        layout = h5py.VirtualLayout((3, 2), "float32")
        layout[:] = h5py.VirtualSource(secret, "x", (3, 2))
        group.create_virtual_dataset("0", layout)

    for edit in (external_link, soft_link, linked_group):
        refused(with_weights(good, edit), "a link")
    for edit in (external_storage, virtual):
        refused(with_weights(good, edit), "stored in another file")


def test_weights_that_are_none(good):
    def replaced(value=None, **arguments):
        def edit(file, group):
            del group["0"]
            group.create_dataset("0", data=value, **arguments)

        return with_weights(good, edit)

    refused(replaced(shape=(10**6, 10**6), dtype="float32", chunks=(1000, 1000)), "not stored as it is")
    refused(replaced(shape=(10**6, 10**6), dtype="float32"), "not stored as it is")
    refused(replaced(np.zeros((3, 2), "float32"), compression="gzip"), "not stored as it is")
    refused(replaced("text"), "no numbers")
    refused(replaced(np.zeros(2, [("a", "f4"), ("b", "f4")])), "no numbers")
    refused(repacked(good, weights=b"no HDF5"), "damaged")


def test_other_weights_are_refused(good):
    def smaller(file, group):
        del group["0"]
        group["0"] = np.zeros((2, 2), "float32")

    refused(with_weights(good, smaller), "cannot make a model")


# Files that are none ---------------------------------------------------------------------------------------------


def test_files_that_are_no_models(good, tmp_path):
    refused(tmp_path / "missing.keras", "no such file")
    (tmp_path / "folder.keras").mkdir()
    refused(tmp_path / "folder.keras", "found a folder")
    (tmp_path / "empty.keras").touch()
    refused(tmp_path / "empty.keras", "0 bytes")
    (tmp_path / "text.keras").write_text("hello")
    refused(tmp_path / "text.keras", "not a zip archive")
    (tmp_path / "model.h5").write_bytes(good.read_bytes())
    refused(tmp_path / "model.h5", r"named \*\.keras")
    with zipfile.ZipFile(tmp_path / "other.keras", "w") as archive:
        archive.writestr("metadata.json", "{}")
    refused(tmp_path / "other.keras", "config.json is missing")


def test_every_cut_and_many_flips_are_refused_or_harmless(good):
    content = good.read_bytes()
    path = good.with_name("damaged.keras")
    for size in range(0, len(content), 997):
        path.write_bytes(content[:size])
        refused(path, "not a zip archive")
    random = np.random.default_rng(0)
    messages = []
    for place in random.integers(0, len(content), 60):
        flipped = bytearray(content)
        flipped[place] ^= 1 << random.integers(8)
        path.write_bytes(flipped)
        try:
            fg.load(path)
        except InputError as error:
            messages.append(str(error))
    assert len(messages) > 30
    assert not any("\n" in message for message in messages)


# Good files ------------------------------------------------------------------------------------------------------


class Own(layers.Layer):
    """A layer of the user's own that is not registered."""

    def call(self, x):
        return x


def own_activation(x):
    return x


def test_own_classes_are_given_by_name(tmp_path):
    model = keras.Sequential([keras.Input((3,)), Own(), layers.Dense(2, activation=own_activation)])
    model.save(tmp_path / "own.keras")
    refused(tmp_path / "own.keras", "'Own'", custom_objects={"own_activation": own_activation})
    refused(tmp_path / "own.keras", "'own_activation'", custom_objects={"Own": Own})
    loaded = fg.load(tmp_path / "own.keras", custom_objects={"Own": Own, "own_activation": own_activation})
    x = np.ones((2, 3), "float32")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))


def _operations():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(3, 3, padding="same", kernel_regularizer="l2", kernel_constraint="max_norm")(inputs)
    x = keras.ops.mean(keras.ops.concatenate([keras.ops.relu(x) + 1.0, inputs], axis=-1), axis=(1, 2))[:, :3]
    model = keras.Model(inputs, layers.Dense(3, activation=keras.ops.relu)(x))
    rate = keras.optimizers.schedules.CosineDecay(0.1, 10)
    metrics = ["accuracy", keras.metrics.TopKCategoricalAccuracy(2), keras.metrics.categorical_accuracy]
    model.compile(keras.optimizers.AdamW(rate), keras.losses.categorical_crossentropy, metrics=metrics)
    return model


def _recurrent():
    cells = layers.StackedRNNCells([layers.LSTMCell(3), layers.GRUCell(2)])
    both = layers.Bidirectional(layers.LSTM(4, return_sequences=True))
    return keras.Sequential([keras.Input((5, 3)), both, layers.TimeDistributed(layers.Dense(2)), layers.RNN(cells)])


def _images():
    random = [layers.RandomFlip(seed=1), layers.RandomRotation(0.1), layers.GaussianNoise(0.1)]
    scale = [layers.Rescaling(1 / 255), layers.Resizing(4, 4), layers.Normalization()]
    return keras.Sequential([keras.Input((8, 8, 3)), *random, *scale, layers.Flatten(), fg.layers.GradientReversal()])


def _reduced():
    policy = keras.dtype_policies.DTypePolicy("mixed_bfloat16")
    start = keras.initializers.RandomNormal(seed=keras.random.SeedGenerator(1))
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, dtype=policy, kernel_initializer=start)])
    model.compile(keras.optimizers.SGD(0.1, use_ema=True), keras.losses.Huber())
    return model


def _whole_bfloat16():
    return keras.Sequential([keras.Input((4,)), layers.Dense(3, dtype="bfloat16")])


def _backbone():
    return keras.applications.ConvNeXtTiny(weights=None, input_shape=(32, 32, 3), classes=3)  # with a private layer


def _words():
    return keras.Sequential([keras.Input((1,), dtype="string"), layers.StringLookup(vocabulary=["a", "b"])])


@pytest.mark.filterwarnings("ignore:Skipping variable loading")
@pytest.mark.parametrize("make", [_operations, _recurrent, _images, _reduced, _whole_bfloat16, _backbone, _words])
def test_good_models_load(make, backend, tmp_path):
    if make is _words and backend != "tensorflow":
        pytest.skip("only TensorFlow has strings")
    model = make()
    model.save(tmp_path / "model.keras")
    loaded = fg.load(tmp_path / "model.keras")
    for a, b in zip(loaded.weights, model.weights, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(a.value), keras.ops.convert_to_numpy(b.value))


def test_a_good_model_packed_again_loads(good):
    small = good.with_name("small.keras")
    with zipfile.ZipFile(good) as archive, zipfile.ZipFile(small, "w", zipfile.ZIP_DEFLATED) as other:
        for member in archive.namelist():
            other.writestr(member, archive.read(member))
    fg.load(small)


# Run folders -----------------------------------------------------------------------------------------------------


def form_of(shape=(3,), classes=("a", "b", "c")):
    return InputFormat("arrays", shape, Classes(classes), {"dtype": "float32"})


@pytest.fixture
def trained(tmp_path, tiny):
    """A done run of adapt with a model of three inputs and three classes."""
    config = {"settings": {}, "experiment": "adapt", "input": form_of().to_dict()}
    with Run.create(tmp_path / "run", config) as run:
        tiny.model().save(run.model_path("dann", 0))
        run.add_row({"mode": "dann", "seed": 0, "diverged": None})
        run.finish()
    return Trained.open(tmp_path / "run")


def test_a_model_that_does_not_go_with_its_config(trained, good):
    assert trained.predictor().output_shape == (None, 3)
    other = Trained(trained.run, trained.form, good)  # no model of flipgrad
    others = [other, *(Trained(trained.run, form, trained.model_path) for form in (form_of((4,)), form_of((3, 1))))]
    for each in [*others, Trained(trained.run, form_of(classes=("a", "b")), trained.model_path)]:
        with pytest.raises(InputError, match="do not belong together; restore the folder"):
            each.predictor()


@pytest.fixture
def labelled(tmp_path, tiny):
    np.savez(tmp_path / "rows.npz", x=tiny.xs, y=np.array(["a", "b", "c"])[tiny.ys])
    return str(tmp_path / "rows.npz")


def test_evaluate_draws_nothing_behind_a_link(trained, labelled, tmp_path, capsys):
    (tmp_path / "elsewhere").mkdir()
    (trained.run.path / "figures").symlink_to(tmp_path / "elsewhere")
    evaluate(str(trained.run.path), labelled)
    said = capsys.readouterr()
    assert "28 rows: accuracy" in said.out
    assert "figures: expected a folder, found a link or a file" in said.err.replace("\n", "")
    assert os.listdir(tmp_path / "elsewhere") == []
    (trained.run.path / "figures").unlink()
    evaluate(str(trained.run.path), labelled)
    assert "Confusion matrix:" in capsys.readouterr().out
    assert os.listdir(trained.run.path / "figures") == ["confusion.png"]

    # A second time the figure is kept, and that is said.
    before = (trained.run.path / "figures" / "confusion.png").stat().st_mtime_ns
    evaluate(str(trained.run.path), labelled)
    said = capsys.readouterr()
    assert "Confusion matrix:" not in said.out
    (line,) = said.err.splitlines()
    assert line.endswith("confusion.png: exists and is kept; no figure is drawn without --figure")
    evaluate(str(trained.run.path), labelled, quiet=True)
    said = capsys.readouterr()
    assert "28 rows: accuracy" in said.out
    assert said.err == ""
    assert (trained.run.path / "figures" / "confusion.png").stat().st_mtime_ns == before


def test_evaluate_prints_the_scores_though_the_figure_cannot_be_written(trained, labelled, tmp_path, capsys):
    with pytest.raises(OSError, match="too long"):  # with the ending of a temporary file
        evaluate(str(trained.run.path), labelled, figure=str(tmp_path / f"{'x' * 248}.png"))
    assert "28 rows: accuracy" in capsys.readouterr().out


def test_an_error_line_holds_nothing_that_a_terminal_obeys():
    assert _errors.one_line(InputError("a\x1b[31mb\x07\u202e\n\tc\x85d")) == "a[31mb c d"
    assert len(str(_errors.bad("--x", "y", "z" * 10**6, "w"))) < 300
    remedies = {
        errno.EDQUOT: "free some space or choose another place",
        errno.EACCES: "check the permissions or choose another place",
        errno.ENOENT: "check the name or choose another place",
    }
    for number, remedy in remedies.items():
        assert _errors.one_line(OSError(number, "No", "x")) == f"x: No; {remedy}"


def test_tables_of_odd_rows():
    rows = [{"mode": "dann", "seed": 0, "[red]": 0.5}, {"mode": "source", "seed": 0, "[red]": "x", "diverged": 3}]
    table = _tables.results_table(rows)
    assert "[red]" in [str(column.header) for column in table.columns]
    assert "at step 3" in _tables.diverged_line(rows)
    assert "or use float32" in _tables.diverged_line(rows)
    assert _tables.diverged_line(rows, has_precision=False).endswith("lower the learning rate or the strength.")
    assert len(list(_tables.remarks("mnist", rows, Path("out")))) == 6
    assert _tables.results_table([]).row_count == 0


def test_no_two_classes_have_one_name():
    assert Classes(("a\n", "b")).names == ["a\\n", "b"]
    names = Classes(("'a\\n'", "a\n", "a\\n")).names
    assert len(set(names)) == 3
    assert all(name.isprintable() for name in names)
