"""What goes into the model: several inputs, unequal halves, weights of samples, unbuilt encoders."""

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

import flipgrad as fg
from flipgrad._gradients import loss_gradients
from flipgrad.errors import InputError
from flipgrad.inputs._decoding import ImageRows


def _two_inputs(names=("image", "size")):
    inputs = {names[0]: keras.Input((3,), name=names[0]), names[1]: keras.Input((2,), name=names[1])}
    joined = layers.Concatenate()([inputs[names[0]], inputs[names[1]]])
    return keras.Model(inputs, layers.Dense(4, "tanh")(joined), name="encoder")


def _rows(count, shift=0.0, names=("image", "size")):
    random = np.random.default_rng(count)
    shapes = (3, 2)
    return {n: random.normal(shift, 1, (count, k)).astype("float32") for n, k in zip(names, shapes, strict=True)}


@pytest.mark.parametrize("passes", ["joint", "separate"])
def test_several_inputs(tiny, tmp_path, passes):
    model = fg.DANN(_two_inputs(), tiny.classifier(), passes=passes)
    model.compile("sgd", metrics=["accuracy"])
    xs, xt = _rows(28), _rows(20, 1.0)
    before = model.encoder.get_weights()[0]
    pairs = fg.data.pair_domains((xs, tiny.ys), xt, batch_size=4)
    history = model.fit(pairs, validation_data=(xs, tiny.ys), verbose=0).history
    assert np.isfinite([history["domain_loss"], history["val_loss"]]).all()
    assert (model.encoder.get_weights()[0] != before).all()
    logits = model.predict(xt, verbose=0)
    assert logits.shape == (20, 3)
    assert model.predictor.predict(xt, verbose=0).shape == (20, 3)
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(fg.load(tmp_path / "model.keras").predict(xt, verbose=0), logits)


def test_inputs_named_source_and_target_are_refused(tiny):
    with pytest.raises(ValueError, match="rename the inputs"):
        fg.DANN(_two_inputs(("source", "target")), tiny.classifier())


def test_inputs_of_which_one_is_named_source_are_not_mistaken_for_a_pair(tiny):
    names = ("source", "size")
    model = fg.DANN(_two_inputs(names), tiny.classifier())
    model.compile("sgd", **tiny.quick)
    pairs = fg.data.pair_domains((_rows(8, 0.0, names), tiny.ys[:8]), _rows(8, 1.0, names), 4)
    model.fit(pairs, verbose=0)
    assert model.predict(_rows(5, 0.0, names), verbose=0).shape == (5, 3)


def test_the_halves_may_differ_in_size(tiny):
    model = tiny.model(compiled=tiny.quick)
    pairs = tiny.pairs((4, 10))
    assert len(pairs) == 7
    x, y = pairs[0]
    assert (len(x["source"]), len(x["target"]), len(y)) == (4, 10, 4)
    assert np.isfinite(model.fit(pairs, verbose=0).history["loss"]).all()


def test_the_smaller_half_counts_as_much(tiny):
    """Ten copies of every target row change no gradient: the domains are averaged one by one."""
    model = tiny.model(1.0)
    (x, y) = tiny.batch
    once = loss_gradients(model, (x, y))
    often = loss_gradients(model, ({**x, "target": np.repeat(x["target"], 10, axis=0)}, y))
    for path, grad in once.items():
        np.testing.assert_allclose(often[path], grad, rtol=1e-4, atol=1e-7)


def test_sample_weights_scale_the_classification_loss(tiny):
    """They weigh source rows; weights of 0 leave the domain loss alone."""
    model, domain_only = tiny.model(0.5), tiny.model(0.5, classification_weight=0.0)
    x, y = tiny.batch
    none = loss_gradients(model, (x, y, np.zeros(len(y), "float32")))
    expected = list(loss_gradients(domain_only, (x, y)).values())
    for found, wanted in zip(none.values(), expected, strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-7)
    pairs = fg.data.pair_domains((tiny.xs, tiny.ys, np.ones(28, "float32")), tiny.xt, 4)
    model.compile("sgd", **tiny.quick)
    assert np.isfinite(model.fit(pairs, verbose=0).history["loss"]).all()


def test_an_encoder_without_an_input_is_built_by_the_data(tiny):
    encoder = keras.Sequential([layers.Dense(4, "tanh")])
    model = fg.DANN(encoder, tiny.classifier())
    assert not model.built
    model.compile("sgd")
    history = model.fit(tiny.pairs(), verbose=0).history
    assert model.built
    assert np.isfinite(history["loss"]).all()
    assert model.predict(tiny.xt, verbose=0).shape == (20, 3)


def test_a_first_call_on_a_plain_array_leaves_nothing_unbuilt(tiny):
    """Otherwise the optimizer refuses the objectives' weights."""
    encoder = keras.Sequential([layers.Dense(4, "tanh")])
    model = fg.DANN(encoder, tiny.classifier())
    model(tiny.xs)
    model.compile("sgd", **tiny.quick)
    model.fit(tiny.pairs(), verbose=0)
    assert model.objectives[0].trainable_variables


def test_without_objectives_it_takes_what_keras_takes(tiny):
    model = fg.DomainAdaptationModel(tiny.encoder(), tiny.classifier())
    model.compile("adam", metrics=["accuracy"])
    history = model.fit(tiny.xs, tiny.ys, batch_size=4, epochs=3, verbose=0).history
    assert int(model.step.value) == int(model.horizon.value) == 21
    assert history["loss"][-1] < history["loss"][0]
    with_target = model.fit(tiny.pairs(), verbose=0).history  # the target is there and not needed
    assert "domain_loss" not in with_target


def test_a_batch_of_ones_own(tiny):
    """Any data in the form of a pair trains, not only what pair_domains makes."""

    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 3

        def __getitem__(self, index):
            return {"source": tiny.xs[:4], "target": tiny.xt[:4]}, tiny.ys[:4]

    model = tiny.model()
    history = model.fit(Batches(), epochs=2, verbose=0).history
    assert int(model.step.value) == int(model.horizon.value) == 6
    assert np.isfinite(history["domain_loss"]).all()


@keras.saving.register_keras_serializable("flipgrad_tests")
class Subclassed(keras.Model):
    """An encoder or a head that knows neither its input nor the shape of its output beforehand."""

    def __init__(self, units, activation=None, **kwargs):
        super().__init__(**kwargs)
        self.units, self.activation = units, activation
        self.dense = layers.Dense(units, activation=activation)

    def call(self, x):
        return self.dense(x)

    def get_config(self):
        return {"units": self.units, "activation": self.activation}


@pytest.mark.parametrize("passes", ["joint", "separate"])
def test_subclassed_models(tiny, tmp_path, passes):
    model = fg.DANN(Subclassed(4, "tanh"), Subclassed(3), Subclassed(1), passes=passes)
    model.compile("sgd", metrics=["accuracy"])
    history = model.fit(tiny.pairs(), epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    logits = model.predict(tiny.xt, verbose=0)
    probabilities = model.predictor.predict(tiny.xt, verbose=0)
    np.testing.assert_allclose(probabilities.argmax(-1), logits.argmax(-1))
    model.save(tmp_path / "model.keras")
    with pytest.raises(InputError, match=r"flipgrad_tests>Subclassed.*custom_objects"):
        fg.load(tmp_path / "model.keras")
    loaded = fg.load(tmp_path / "model.keras", custom_objects={"Subclassed": Subclassed})
    np.testing.assert_array_equal(loaded.predict(tiny.xt, verbose=0), logits)
    loaded.fit(tiny.pairs(), epochs=1, verbose=0)


def test_a_subclassed_head_on_a_functional_encoder(tiny):
    model = fg.DANN(tiny.encoder(), Subclassed(3))
    assert model.classes == 3
    with pytest.raises(ValueError, match="softmax"):
        fg.DANN(tiny.encoder(), Subclassed(3, "softmax"))


@pytest.mark.parametrize("first", ["predict", "evaluate", "train_on_batch"])
def test_an_encoder_without_input_may_be_used_before_fit(tiny, first):
    model = fg.DANN(keras.Sequential([layers.Dense(4)]), tiny.classifier())
    model.compile("sgd")
    model.horizon.assign(7)
    if first == "predict":
        assert model.predict(tiny.xt, verbose=0).shape == (20, 3)
    elif first == "evaluate":
        assert np.isfinite(model.evaluate(tiny.xs, tiny.ys, verbose=0)).all()
    else:
        assert np.isfinite(model.train_on_batch(*tiny.batch)).all()
    assert np.isfinite(model.fit(tiny.pairs(), verbose=0).history["loss"]).all()


class TwoInputs(keras.Model):
    """A subclassed encoder of two inputs."""

    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(4, "tanh")

    def call(self, x):
        return self.dense(keras.ops.concatenate([x["image"], x["size"]], axis=-1))


def test_the_predictor_of_a_subclassed_encoder_of_two_inputs(tiny):
    model = fg.DANN(TwoInputs(), tiny.classifier())
    model.compile("sgd")
    xs, xt = _rows(28), _rows(20, 1.0)
    model.fit(fg.data.pair_domains((xs, tiny.ys), xt, 4), verbose=0)
    probabilities = model.predictor.predict(xt, verbose=0)
    np.testing.assert_array_equal(probabilities.argmax(-1), model.predict(xt, verbose=0).argmax(-1))


def test_an_image_that_vanishes_during_the_training_is_named(tmp_path):
    for number in range(40):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / f"{number}.png")
    images = ImageRows(tmp_path, [f"{number}.png" for number in range(40)], (8, 8))
    x = np.zeros((40, 8, 8, 3), "uint8")

    class Remove(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                for path in tmp_path.iterdir():
                    path.unlink()

    encoder = keras.Sequential([keras.Input((8, 8, 3)), layers.Flatten(), layers.Dense(4)])
    model = fg.DANN(encoder, keras.Sequential([layers.Dense(2)]))
    model.compile("sgd")
    pairs = fg.data.pair_domains((x, np.arange(40) % 2), images, 8)
    with pytest.raises(InputError, match=r"\.png") as caught:
        model.fit(pairs, epochs=3, callbacks=[Remove()], verbose=0)
    assert "\n" not in str(caught.value)
