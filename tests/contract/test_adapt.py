"""fg.adapt: a classifier that somebody has already, cut in two and trained further."""

import keras
import numpy as np
import pytest
from keras import layers

import flipgrad as fg


def shifted_problem(rows=256):
    """Two classes in the plane; the target is the source turned by 50 degrees."""
    random = np.random.default_rng(0)
    y = (np.arange(2 * rows) % 2).astype("int32")
    x = random.normal(scale=0.25, size=(2 * rows, 2)) + np.stack([2.0 * y - 1, np.zeros(2 * rows)], 1)
    angle = np.deg2rad(50)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    x = x.astype("float32")
    return (x[:rows], y[:rows]), ((x[rows:] @ turn.T).astype("float32"), y[rows:])


def classifier_of_somebody(ending):
    hidden = [layers.Dense(16, activation="relu", name="features")]
    if ending == "functional, softmax in the last layer":
        inputs = keras.Input((2,))
        return keras.Model(inputs, layers.Dense(2, activation="softmax")(hidden[0](inputs)))
    last = {
        "logits": [layers.Dense(2)],
        "softmax layer": [layers.Dense(2), layers.Softmax()],
        "activation layer": [layers.Dense(2), layers.Activation("softmax")],
    }
    return keras.Sequential([keras.Input((2,)), *hidden, *last[ending]])


@pytest.mark.parametrize(
    "ending", ["logits", "softmax layer", "activation layer", "functional, softmax in the last layer"]
)
def test_a_model_of_the_same_shape_comes_back_and_the_old_one_stays(ending):
    source, target = shifted_problem()
    model = classifier_of_somebody(ending)
    before = [weight.copy() for weight in model.get_weights()]
    adapted = fg.adapt(model, "features", source, target[0], epochs=1, verbose=0)
    for old, now in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, now)
    assert type(adapted) is type(model)
    assert [layer.get_config() for layer in adapted.layers if layer.weights] == [
        layer.get_config() for layer in model.layers if layer.weights
    ]
    assert any(not np.array_equal(a, b) for a, b in zip(before, adapted.get_weights(), strict=True))
    sums = adapted.predict(target[0], verbose=0).sum(-1)
    assert np.allclose(sums, 1, atol=1e-5) == (ending != "logits")


def test_it_keeps_what_the_model_knew():
    source, target = shifted_problem()
    model = classifier_of_somebody("softmax layer")
    model.compile(keras.optimizers.Adam(0.02), loss="sparse_categorical_crossentropy")
    model.fit(*source, epochs=15, verbose=0)
    adapted = fg.adapt(model, "features", source, target[0], epochs=2, verbose=0)
    accuracy = (adapted.predict(source[0], verbose=0).argmax(-1) == source[1]).mean()
    assert accuracy > 0.95


@pytest.mark.parametrize("passes", ["joint", "separate"])
def test_a_few_labels_teach_what_the_source_cannot(passes):
    """In the target the classes have changed places; only its labels can tell."""
    source, _ = shifted_problem()
    target = source[0][::-1] + np.float32([0, 4]), 1 - source[1][::-1]
    accuracies = []
    for labelled in (None, (target[0][:40], target[1][:40])):
        keras.utils.set_random_seed(0)
        model = classifier_of_somebody("softmax layer")
        options = {"target_labelled": labelled, "epochs": 30, "batch_size": 32, "encoder_rate": 1.0, "passes": passes}
        adapted = fg.adapt(model, "features", source, target[0][40:], **options, verbose=0)
        predicted = adapted.predict(target[0][40:], verbose=0).argmax(-1)
        accuracies.append((predicted == target[1][40:]).mean())
    assert accuracies[0] < 0.5
    assert accuracies[1] > 0.9


def test_the_encoder_learns_more_slowly():
    """With gradient descent the encoder's step is its share of the usual one, exactly; the heads' are the same."""
    source, target = shifted_problem()
    steps = {}
    for rate in (1.0, 0.25, 0.0):
        keras.utils.set_random_seed(1)
        encoder = keras.Sequential([keras.Input((2,)), layers.Dense(4, activation="tanh")])
        classifier = keras.Sequential([layers.Dense(2)])
        model = fg.DANN(encoder, classifier, strength=0.5, encoder_rate=rate)
        model.compile(keras.optimizers.SGD(0.1))
        before = [[w.copy() for w in part.get_weights()] for part in (encoder, classifier)]
        model.fit(fg.data.pair_domains(source, target[0], 256), epochs=1, verbose=0)
        after = [part.get_weights() for part in (encoder, classifier)]
        steps[rate] = [[b - a for a, b in zip(*parts, strict=True)] for parts in zip(before, after, strict=True)]
    for rate in (0.25, 0.0):
        for whole, part in zip(steps[1.0][0], steps[rate][0], strict=True):
            np.testing.assert_allclose(part, rate * whole, atol=1e-7)
        for whole, part in zip(steps[1.0][1], steps[rate][1], strict=True):
            np.testing.assert_allclose(part, whole, atol=1e-7)
    assert np.abs(steps[1.0][0][0]).max() > 1e-4


def test_refusals():
    source, target = shifted_problem()
    model = classifier_of_somebody("logits")
    with pytest.raises(ValueError, match="`cut`: expected the name of a layer before the last, such as features"):
        fg.adapt(model, "feature", source, target[0])
    with pytest.raises(ValueError, match="Argument `cut`"):
        fg.adapt(model, model.layers[-1].name, source, target[0])
    with pytest.raises(TypeError, match="Argument `model`: expected a Keras model, received 'model\\.keras'"):
        fg.adapt("model.keras", "features", source, target[0])
    with pytest.raises(ValueError, match="that knows its input"):
        fg.adapt(keras.Sequential([layers.Dense(2)]), "features", source, target[0])
    sigmoid = keras.Sequential([keras.Input((2,)), layers.Dense(4, name="a"), layers.Dense(1, activation="sigmoid")])
    with pytest.raises(ValueError, match="at least two class logits"):
        fg.adapt(sigmoid, "a", source, target[0])
    with pytest.raises(ValueError, match="Argument `encoder_rate`"):
        fg.adapt(model, "features", source, target[0], encoder_rate=-1)
    with pytest.raises(ValueError, match="adapt: expected finite weights"):
        fg.adapt(model, "features", (1e30 * source[0], source[1]), target[0], epochs=1, verbose=0)
    with pytest.raises(ValueError, match="Argument `target_labelled`, y: expected class numbers, received fractions"):
        fg.adapt(model, "features", source, target[0], target_labelled=(target[0][:9], target[1][:9] + 0.5))
    with pytest.raises(ValueError, match="Labels: expected classes 0 to 1"):
        fg.adapt(model, "features", source, target[0], target_labelled=(target[0][:9], target[1][:9] + 5), verbose=0)
    inputs = keras.Input((2,))
    hidden = layers.Dense(4, name="hidden")(inputs)
    around = keras.Model(inputs, layers.Dense(2)(layers.Concatenate()([hidden, inputs])))
    with pytest.raises(ValueError, match="does not cut the model in two"):
        fg.adapt(around, "hidden", source, target[0])


def test_a_list_of_inputs_is_refused_and_named_inputs_are_not():
    a, b = keras.Input((3,), name="a"), keras.Input((2,), name="b")
    hidden = layers.Dense(4, name="h")(layers.Concatenate()([a, b]))
    logits = layers.Dense(2)(hidden)
    rows = {"a": np.ones((8, 3), "float32"), "b": np.ones((8, 2), "float32")}
    y = np.arange(8) % 2
    with pytest.raises(ValueError, match="several by name, received 2 in a list"):
        fg.adapt(keras.Model([a, b], logits), "h", ([*rows.values()], y), [*rows.values()])
    adapted = fg.adapt(keras.Model({"a": a, "b": b}, logits), "h", (rows, y), rows, epochs=1, verbose=0)
    assert adapted.predict(rows, verbose=0).shape == (8, 2)
