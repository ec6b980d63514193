"""Errors at construction or at the first contact with data, with the remedy in the message."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import flipgrad as fg
from flipgrad.errors import InputError


class HandWritten(layers.Layer):
    """Probabilities without a layer or an activation of that name."""

    def call(self, x):
        powers = ops.exp(x - ops.max(x, axis=-1, keepdims=True))
        return powers / ops.sum(powers, axis=-1, keepdims=True)

    def compute_output_shape(self, input_shape):
        return input_shape


class Wrapped(keras.Model):
    """A model within a model."""

    def __init__(self):
        super().__init__()
        self.inner = keras.Sequential([layers.Dense(2), layers.Softmax()])

    def build(self, input_shape):
        self.inner.build(input_shape)
        self.built = True

    def call(self, x):
        return self.inner(x)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], 2)


ENDINGS = {
    "softmax over one unit": (lambda: [layers.Dense(1, activation="softmax")], "over one unit"),
    "softmax over two units": (lambda: [layers.Dense(2, activation="softmax")], "softmax"),
    "softmax layer": (lambda: [layers.Dense(2), layers.Softmax()], "softmax"),
    "sigmoid": (lambda: [layers.Dense(1, activation="sigmoid")], "sigmoid"),
    "two sigmoids": (lambda: [layers.Dense(2, activation="sigmoid")], "sigmoid"),
    "hard sigmoid": (lambda: [layers.Dense(1, activation="hard_sigmoid")], "sigmoid"),
    "hand-written softmax": (lambda: [layers.Dense(2), HandWritten()], "softmax"),
    "wrapped softmax": (lambda: [Wrapped()], "softmax"),
    "deep": (lambda: [layers.Dense(9, "relu"), layers.Dense(2, "softmax")], "softmax"),
}


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("ending", ENDINGS)
def test_a_discriminator_of_probabilities(tiny, ending, policy):
    keras.config.set_dtype_policy(policy)
    make, message = ENDINGS[ending]
    with pytest.raises(ValueError, match=f"`discriminator`.*{message}.*Remove"):
        fg.DANN(tiny.encoder(), tiny.classifier(), keras.Sequential(make()))


@pytest.mark.parametrize(
    "make",
    [
        lambda: [layers.Dense(3, activation="softmax")],
        lambda: [layers.Dense(3), layers.Softmax()],
        lambda: [layers.Dense(3, activation="sigmoid")],
        lambda: [layers.Dense(3), HandWritten()],
    ],
)
@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_a_classifier_of_probabilities(tiny, make, policy):
    keras.config.set_dtype_policy(policy)
    with pytest.raises(ValueError, match=r"`classifier`.*expected logits"):
        fg.DANN(tiny.encoder(), keras.Sequential(make()))


@pytest.mark.parametrize(
    "make",
    [
        lambda: [layers.Dense(1)],
        lambda: [layers.Dense(2)],
        lambda: [layers.Dense(1, kernel_initializer="zeros")],
        lambda: [layers.Dense(2, kernel_initializer=keras.initializers.Constant(1e-6))],
        lambda: [layers.BatchNormalization(), layers.Dense(8, "relu"), layers.Dense(1)],
        lambda: [layers.Dense(8, "sigmoid"), layers.Dense(1)],
        lambda: [layers.Dense(1, activation="tanh")],
    ],
)
def test_logits_are_let_pass(tiny, make):
    assert fg.DANN(tiny.encoder(), tiny.classifier(), keras.Sequential(make())).built


def test_features_that_are_images(tiny):
    encoder = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(4, 3)])
    head = [layers.GlobalAveragePooling2D(), layers.Dense(3)]
    assert fg.DANN(encoder, keras.Sequential(head)).built
    with pytest.raises(ValueError, match="softmax"):
        fg.DANN(encoder, keras.Sequential([*head, layers.Softmax()]))


@pytest.mark.parametrize("units", [(3,), (8, 3), (10,)])
def test_a_discriminator_of_more_than_two_outputs(tiny, units):
    with pytest.raises(ValueError, match=r"one or two domain logits.*Dense\(1\)"):
        fg.DANN(tiny.encoder(), tiny.classifier(), tiny.discriminator(units))


def test_a_discriminator_of_more_than_one_row(tiny):
    encoder = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(4, 3)])
    head = keras.Sequential([layers.Flatten(), layers.Dense(3)])
    with pytest.raises(ValueError, match="one or two domain logits"):
        fg.DANN(encoder, head, keras.Sequential([layers.Dense(1)]))  # an image of logits


def test_a_classifier_of_one_output(tiny):
    with pytest.raises(ValueError, match=r"at least two class logits.*Dense\(2\)"):
        fg.DANN(tiny.encoder(), keras.Sequential([layers.Dense(1)]))


@pytest.mark.parametrize(
    "loss",
    [
        "sparse_categorical_crossentropy",
        "categorical_crossentropy",
        "binary_crossentropy",
        keras.losses.SparseCategoricalCrossentropy(),
        keras.losses.CategoricalCrossentropy(from_logits=False),
        keras.losses.CategoricalFocalCrossentropy(),
        keras.losses.sparse_categorical_crossentropy,
        {"class_name": "SparseCategoricalCrossentropy", "config": {"from_logits": False}},
    ],
)
def test_a_loss_of_probabilities(tiny, loss):
    model = fg.DANN(tiny.encoder(), tiny.classifier())
    with pytest.raises(ValueError, match=r"`loss`.*from_logits"):
        model.compile("sgd", loss=loss)


@pytest.mark.parametrize(
    "loss",
    [
        None,
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1),
        "mse",
        keras.losses.CategoricalHinge(),
        lambda y_true, y_pred: ops.mean(y_pred, axis=-1),
    ],
)
def test_other_losses_are_let_pass(tiny, loss):
    model = fg.DANN(tiny.encoder(), tiny.classifier())
    model.compile("sgd", loss=loss)


def test_one_hot_labels(tiny):
    model = fg.DANN(tiny.encoder(), tiny.classifier())
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss=loss, metrics=["accuracy"], **tiny.quick)
    hot = np.eye(3, dtype="float32")[tiny.ys]
    history = model.fit(fg.data.pair_domains((tiny.xs, hot), tiny.xt, 4), verbose=0).history
    assert np.isfinite(history["loss"]).all()


BAD_LABELS = pytest.mark.parametrize(
    ("labels", "received"), [((0, 3), "0 to 3"), ((-1, 2), "-1 to 2"), ((1, 255), "1 to 255")]
)


@BAD_LABELS
@pytest.mark.parametrize("as_column", [False, True])
def test_labels_outside_the_classes(tiny, labels, received, as_column):
    y = np.resize(np.array(labels), 28)
    pairs = fg.data.pair_domains((tiny.xs, y[:, None] if as_column else y), tiny.xt, 4)
    with pytest.raises(ValueError, match=f"classes 0 to 2 .*received {received}"):
        tiny.model(compiled=tiny.quick).fit(pairs, verbose=0)


@BAD_LABELS
def test_labels_outside_the_classes_wherever_they_come_from(tiny, labels, received):
    y = np.resize(np.array(labels), 28)
    match = f"classes 0 to 2 .*received {received}"
    model = tiny.model(compiled=tiny.quick)
    plain = fg.DomainAdaptationModel(tiny.encoder(), tiny.classifier())
    plain.compile("sgd", **tiny.quick)
    with pytest.raises(ValueError, match=match):
        model.evaluate(tiny.xs, y, verbose=0)
    with pytest.raises(ValueError, match=match):
        plain.fit(tiny.xs, y, verbose=0)
    before = int(model.step.value)
    with pytest.raises(ValueError, match=match):
        model.fit(tiny.pairs(), validation_data=(tiny.xs, y), verbose=0)
    assert int(model.step.value) == before  # refused before the first step


class Batches(keras.utils.PyDataset):
    """Labelled batches of four rows."""

    def __init__(self, x, y):
        super().__init__()
        self.x, self.y = x, y

    def __len__(self):
        return len(self.x) // 4

    def __getitem__(self, index):
        rows = slice(4 * index, 4 * index + 4)
        return self.x[rows], self.y[rows]


@pytest.fixture
def one_wrong(tiny):
    """Batches of the source, of which one late row has a label outside the classes."""
    y = tiny.ys.copy()
    y[17] = 3
    return Batches(tiny.xs, y)


ONE_LINE = r"^Labels: expected classes 0 to 2 [^\n]*received \d to 3[^\n]*\Z"


@pytest.mark.parametrize("compiled", [{"run_eagerly": True}, {}], ids=["eager", "graph"])
def test_a_label_outside_the_classes_in_one_batch_of_a_dataset(tiny, one_wrong, compiled):
    model = tiny.model(compiled=compiled)

    def pairs():
        return fg.data.pair_domains(one_wrong, tiny.xt, 4, seed=8)  # the wrong one comes last, when TensorFlow reads

    with pytest.raises(InputError, match=ONE_LINE):
        model.fit(pairs(), verbose=0)
    with pytest.raises(InputError, match=ONE_LINE):
        model.evaluate(pairs(), verbose=0)
    with pytest.raises(InputError, match=ONE_LINE):
        model.fit(tiny.pairs(), validation_data=pairs(), verbose=0)
    model.fit(tiny.pairs(), validation_data=(tiny.xs, tiny.ys), verbose=0)  # nothing is left behind
    model.evaluate(tiny.pairs(), verbose=0)


def test_a_value_that_is_not_finite_in_one_batch_of_a_dataset(tiny):
    x = tiny.xs.copy()
    x[17] = np.nan
    pairs = fg.data.pair_domains(Batches(x, tiny.ys), tiny.xt, 4)
    for _ in range(2):  # an error does not end the dataset
        with pytest.raises(InputError, match=r"^Argument `source`, x: expected finite[^\n]*\Z"):
            tiny.model(compiled=tiny.quick).fit(pairs, epochs=2, verbose=0)


class Pairs(Batches):
    """Batches of a pair, without ``pair_domains``."""

    def __getitem__(self, index):
        x, y = super().__getitem__(index)
        return {"source": x, "target": x}, y


@pytest.mark.parametrize("compiled", [{"run_eagerly": True}, {}], ids=["eager", "graph"])
@pytest.mark.parametrize("adapts", [True, False])
def test_a_label_outside_the_classes_in_a_dataset_of_ones_own(tiny, one_wrong, backend, adapts, compiled):
    if adapts:
        model, make = tiny.model(compiled=compiled), Pairs
    else:
        model, make = fg.DomainAdaptationModel(tiny.encoder(), tiny.classifier()), Batches
        model.compile("sgd", **compiled)
    wrong, right = make(one_wrong.x, one_wrong.y), make(tiny.xs, tiny.ys)
    error, match = InputError, ONE_LINE
    if backend == "tensorflow":  # has words of its own
        import tensorflow

        error, match = tensorflow.errors.InvalidArgumentError, "label value of 3"
    with pytest.raises(error, match=match):
        model.fit(wrong, epochs=2, verbose=0)
    assert int(model.step.value) <= 7
    with pytest.raises(error, match=match):
        model.evaluate(wrong, verbose=0)
    with pytest.raises(error, match=match):
        model.fit(right, validation_data=wrong, verbose=0)
    model.fit(right, validation_data=right, verbose=0)  # nothing is left behind
    model.evaluate(right, verbose=0)


def test_labels_to_ignore_in_a_dataset(tiny):
    model = fg.DomainAdaptationModel(tiny.encoder(), tiny.classifier())
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)
    model.compile("sgd", loss=loss)
    data = Batches(tiny.xs, np.where(np.arange(28) % 5, tiny.ys, -1))
    assert np.isfinite(model.fit(data, validation_data=data, verbose=0).history["val_loss"]).all()


def test_one_hot_labels_with_the_default_loss(tiny):
    hot = np.eye(3, dtype="float32")[tiny.ys]
    with pytest.raises(ValueError, match=r"received shape \(28, 3\).*argmax.*CategoricalCrossentropy"):
        tiny.model(compiled=tiny.quick).fit(fg.data.pair_domains((tiny.xs, hot), tiny.xt, 4), verbose=0)


def test_labels_to_ignore(tiny):
    model = tiny.model()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)
    model.compile("sgd", loss=loss, **tiny.quick)
    y = np.where(np.arange(28) % 5, tiny.ys, -1)
    history = model.fit(fg.data.pair_domains((tiny.xs, y), tiny.xt, 4), verbose=0).history
    assert np.isfinite(history["loss"]).all()


def test_samples_that_do_not_fit_the_encoder(tiny):
    wide = np.zeros((28, 5), "float32")
    with pytest.raises(ValueError, match=r"Samples: expected shape \(3,\).*received \(5,\)"):
        tiny.model().fit(fg.data.pair_domains((wide, tiny.ys), wide, 4), verbose=0)


def test_a_generator_is_no_dataset(tiny):
    batches = ((tiny.xs[:4], tiny.ys[:4]) for _ in range(3))
    with pytest.raises(ValueError, match=r"`source`.*again and again.*generator"):
        fg.data.pair_domains(batches, tiny.xt, 4)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"seed": "a"}, "`seed`"),
        ({"seed": -1}, "`seed`"),
        ({"batch_size": (4, 4, 4)}, "`batch_size`"),
        ({"batch_size": 2.5}, "`batch_size`"),
    ],
)
def test_arguments_of_pairs(tiny, arguments, match):
    with pytest.raises(ValueError, match=match):
        fg.data.pair_domains((tiny.xs, tiny.ys), tiny.xt, **{"batch_size": 4, **arguments})


@pytest.mark.parametrize("steps", [0, -1, 1.5])
def test_steps_of_an_epoch(tiny, steps):
    with pytest.raises(ValueError, match="`steps_per_epoch`"):
        tiny.model().fit(tiny.pairs(), steps_per_epoch=steps, verbose=0)


def test_train_on_batch_needs_a_horizon(tiny):
    model = tiny.model(compiled=tiny.quick)
    x, y = tiny.batch
    with pytest.raises(ValueError, match=r"horizon\.assign"):
        model.train_on_batch(x, y)
    model.horizon.assign(10)
    assert np.isfinite(model.train_on_batch(x, y)).all()
    assert int(model.step.value) == 1


def test_train_on_batch_refuses_what_fit_refuses(tiny):
    x, y = tiny.batch
    sgd = keras.optimizers.SGD(fg.schedules.InverseDecay(4))
    model = tiny.model(optimizer=sgd, compiled=tiny.quick)
    model.horizon.assign(5)
    with pytest.raises(ValueError, match=r"InverseDecay\(total_steps=5\)"):
        model.train_on_batch(x, y)
    model.horizon.assign(4)
    with pytest.raises(ValueError, match=ONE_LINE):
        model.train_on_batch(x, y + np.int32(1))
    assert int(model.step.value) == 0
    for _ in range(6):  # beyond the horizon, where progress stays at 1
        model.train_on_batch(x, y)
    assert int(model.step.value) == 6
    assert float(model._progress()) == 1.0
    with pytest.raises(ValueError, match=ONE_LINE):
        model.train_on_batch(x=x, y=y + np.int32(1))


def test_parts_of_the_wrong_type(tiny):
    with pytest.raises(TypeError, match=r"`encoder`.*received ndarray"):
        fg.DANN(np.ones(3), tiny.classifier())
    with pytest.raises(TypeError, match=r"`classifier`.*received the class Dense"):
        fg.DANN(tiny.encoder(), layers.Dense)
    with pytest.raises(TypeError, match=r"`discriminator`.*received 'mlp'"):
        fg.DANN(tiny.encoder(), tiny.classifier(), "mlp")


def test_an_encoder_of_two_outputs(tiny):
    inputs = keras.Input((3,))
    encoder = keras.Model(inputs, [layers.Dense(2)(inputs), layers.Dense(2)(inputs)])
    with pytest.raises(ValueError, match=r"`encoder`.*one tensor"):
        fg.DANN(encoder, tiny.classifier())


def test_arguments_out_of_range(tiny):
    parts = tiny.encoder(), tiny.classifier()
    with pytest.raises(ValueError, match=r"`passes`.*'together'"):
        fg.DANN(*parts, passes="together")
    for weight in (-0.1, float("nan")):
        with pytest.raises(ValueError, match="`classification_weight`"):
            fg.DANN(*parts, classification_weight=weight)
    with pytest.raises(TypeError, match="Schedule"):
        fg.DANN(*parts, strength=lambda progress: progress)


Ramp, Decay, Reversal = fg.schedules.Ramp, fg.schedules.InverseDecay, fg.layers.GradientReversal
WRONG = {
    "a class as discriminator": (lambda a, b: fg.DANN(a, b, keras.Sequential), "`discriminator`.*the class Sequential"),
    "False as discriminator": (lambda a, b: fg.DANN(a, b, False), "`discriminator`.*received False"),
    "None as encoder": (lambda a, b: fg.DANN(None, b), "`encoder`.*received None"),
    "a string as classifier": (lambda a, b: fg.DANN(a, "mlp"), "`classifier`.*received 'mlp'"),
    "an array as classifier": (lambda a, b: fg.DANN(a, np.ones((9, 9))), "`classifier`.*received ndarray"),
    "a class as strength": (lambda a, b: fg.DANN(a, b, strength=Ramp), "`strength`.*the class Ramp"),
    "an array as strength": (lambda a, b: fg.DANN(a, b, strength=np.ones((9, 9))), "`strength`.*received ndarray"),
    "a string as weight": (lambda a, b: fg.DANN(a, b, classification_weight="1"), "`classification_weight`.*'1'"),
    "infinity as weight": (lambda a, b: fg.DANN(a, b, classification_weight=np.inf), "`classification_weight`.*inf"),
    "None as passes": (lambda a, b: fg.DANN(a, b, passes=None), "`passes`.*received None"),
    "no list": (
        lambda a, b: fg.DomainAdaptationModel(a, b, fg.objectives.DomainAdversarial(fg.networks.discriminator())),
        "`objectives`.*received DomainAdversarial; give",
    ),
    "None as objectives": (lambda a, b: fg.DomainAdaptationModel(a, b, None), "`objectives`.*received None"),
    "a class as objective": (
        lambda a, b: fg.DomainAdaptationModel(a, b, [fg.objectives.DomainAdversarial]),
        "`objectives`, number 0.*the class DomainAdversarial",
    ),
    "a string as objective": (lambda a, b: fg.DomainAdaptationModel(a, b, ["dann"]), "number 0.*received 'dann'"),
    "one objective twice": (
        lambda a, b: fg.DomainAdaptationModel(a, b, 2 * [fg.objectives.DomainAdversarial(b, name="d")]),
        "`objectives`.*'d' twice; .*name=",
    ),
    "a string as constant": (lambda a, b: fg.schedules.Constant("1"), "`strength`.*received '1'"),
    "a string as gamma": (lambda a, b: Ramp("10"), "`gamma`.*received '10'"),
    "an array as gamma": (lambda a, b: Ramp(np.ones((9, 9))), "`gamma`.*received ndarray"),
    "a string as steps": (lambda a, b: Decay("10"), "`total_steps`.*received '10'"),
    "None as steps": (lambda a, b: Decay(None), "`total_steps`.*received None"),
    "a fraction as steps": (lambda a, b: Decay(2.5), "`total_steps`.*whole.*received 2.5"),
    "a class as alpha": (lambda a, b: Decay(10, alpha=int), "`alpha`.*the class int"),
    "a string as steps of a layer": (lambda a, b: Reversal(Ramp(), "10"), "`total_steps`.*received '10'"),
    "a class as source": (lambda a, b: fg.data.pair_domains(int, np.ones(3), 4), "`source`.*the class int"),
    "a class as domain": (lambda a, b: fg.DANN(a, b).encode(np.ones((1, 3)), int), "`domain`.*the class int"),
    "an array as batch size": (
        lambda a, b: fg.data.pair_domains((np.ones(9), np.ones(9)), np.ones(9), np.ones((9, 9))),
        "`batch_size`",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_the_message_is_one_line(tiny, wrong):
    make, match = WRONG[wrong]
    with pytest.raises((TypeError, ValueError), match=match) as caught:
        make(tiny.encoder(), tiny.classifier())
    assert "\n" not in str(caught.value)


def test_training_on_plain_batches_is_refused_in_one_line(tiny):
    with pytest.raises(InputError, match="pair_domains") as caught:
        tiny.model().fit(tiny.xs, tiny.ys, verbose=0)  # in a graph
    assert "\n" not in str(caught.value)


def test_the_predictor_of_an_encoder_without_input(tiny):
    model = fg.DANN(keras.Sequential([layers.Dense(4)]), tiny.classifier())
    with pytest.raises(ValueError, match=r"keras\.Input"):
        _ = model.predictor
