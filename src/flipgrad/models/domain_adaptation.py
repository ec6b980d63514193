"""The one training model: a classifier on source labels plus objectives on both domains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops, tree

from flipgrad._checks import (
    check_labels,
    check_number,
    described,
    expect_layer,
    expect_objectives,
    refuse_probabilities,
    refuse_probability_loss,
)
from flipgrad._registration import registered
from flipgrad._symbolic import symbolic_input, symbolic_output
from flipgrad.data.pairing import PairedDomains
from flipgrad.errors import InputError
from flipgrad.layers import flip_gradient
from flipgrad.models._continuing import for_this_backend, load_random_states, save_random_states, with_backend
from flipgrad.models._encoding import (
    SHARE_OF_A_PASS,
    add_source_statistics,
    copy_statistics,
    encode_apart,
    encode_jointly,
    input_of,
    is_pair,
    stacked,
)
from flipgrad.models._labels import (
    check_every_batch,
    errors_of_batches,
    forget_labels,
    labels_of,
    note_labels,
    refuse_labels_seen,
)
from flipgrad.models._run_length import input_shape_of, prepare_batch, prepare_run, with_clock


@registered
class DomainAdaptationModel(keras.Model):
    """A classifier trained on labelled source rows and shaped by objectives on both domains.

    Minimises ``classification_weight * classification loss(source) + sum of objectives`` (Ganin et al.,
    JMLR 2016, eq. 9 with ``objectives=[DomainAdversarial(...)]``; the paper's G_f is ``encoder``, G_y is
    ``classifier``).  Without objectives it is plain training on the labelled rows.

    A training batch is ``({"source": xs, "target": xt}, ys)``, made by ``flipgrad.data.pair_domains``; the
    halves may differ in size.  Where a few rows of the target have labels, ``"target_labelled"`` holds them, their
    labels follow those of the source, and they count in both losses.  A plain array is inference: ``predict`` gives
    class logits.

    Args:
        encoder: Keras model, input -> features ``(rows, ...)``.
        classifier: Keras model, features -> class logits ``(rows, classes)``, two classes or more.
        objectives: list of objectives, such as ``objectives.DomainAdversarial``.  Default: none.
        classification_weight: factor on the classification loss, 0 or greater; 0 trains the objectives alone.
        passes: ``"joint"`` encodes both domains in one pass, so that batch normalization sees them mixed;
            ``"separate"`` encodes each domain by itself and keeps moving statistics for each; ``predict`` uses
            the target's.  The first ``fit`` starts the source's from those that the encoder has by then.

        encoder_rate: factor on the gradient that reaches the encoder through the features, 0 or greater.  With gradient
            descent it makes the encoder's learning rate that share of the rest's (Adam and its kin undo it).

    Logged: ``loss`` (all terms), ``classification_loss``, the metrics given to ``compile`` (source rows), and
    those of each objective, with the objective's name in front where two objectives share a metric's name.

    Raises:
        TypeError: an encoder, classifier or objective that is no Keras model or layer.
        ValueError: a classifier that gives probabilities or fewer than two outputs, an unknown ``passes``, an
            encoder whose inputs are named exactly ``source`` and ``target``, two objectives of one name, a negative
            weight.
    """

    def __init__(
        self,
        encoder: keras.Model,
        classifier: keras.Model,
        objectives: Sequence[keras.layers.Layer] = (),
        *,
        classification_weight: float = 1.0,
        passes: str = "joint",
        encoder_rate: float = 1.0,
        **kwargs: Any,
    ) -> None:
        # Each part casts for itself; no autocast here, or moving statistics would pass through bfloat16.
        super().__init__(**kwargs, autocast=False)
        expect_layer(encoder, "encoder")
        expect_layer(classifier, "classifier")
        expect_objectives(objectives)
        if passes not in ("joint", "separate"):
            raise InputError(
                f"Argument `passes`: expected 'joint' or 'separate', received {described(passes)}; give one of them."
            )
        remedy = "1 is the paper's, 0 trains the objectives alone"
        check_number("Argument `classification_weight`", classification_weight, zero=True, remedy=remedy)
        check_number("Argument `encoder_rate`", encoder_rate, zero=True, remedy="a tenth of the rest's is 0.1")
        self.encoder = encoder
        self.classifier = classifier
        self.objectives = list(objectives)
        self.classification_weight = float(classification_weight)
        self.passes = passes
        self.encoder_rate = float(encoder_rate)
        self.classification_tracker = keras.metrics.Mean(name="classification_loss")
        # Counters are weights, so that they are saved, restored and never baked into a compiled step.
        # int32 outside autocast: a bfloat16 counter stops at 256.
        self.step = self._counter("step", 0)
        self.horizon = self._counter("horizon", 0)
        self.first_bad_step = self._counter("first_bad_step", -1)
        self.label_range = self._counter("label_range", 0, (2,))
        self.source_statistics: list[Any] = []
        inputs = input_of(encoder)
        if inputs is not None:
            self.build(tree.map_structure(lambda tensor: tuple(tensor.shape), inputs))

    def _counter(self, name: str, value: int, shape: tuple[int, ...] = ()) -> Any:
        return self.add_weight(
            name=name,
            shape=shape,
            initializer=keras.initializers.Constant(value),
            dtype="int32",
            trainable=False,
            autocast=False,
        )

    # Building ---------------------------------------------------------------------------------------

    def build(self, input_shape: Any = None) -> None:
        """Builds encoder, classifier and every objective from the shape of the encoder's input.

        Args:
            input_shape: shape of a plain batch, first dimension None; needed only where the encoder does not
                know its inputs.
        """
        if getattr(self, "built", False):
            return
        if is_pair(input_shape):
            input_shape = input_shape["source"]
        if is_pair(input_of(self.encoder)):
            raise InputError(
                "Argument `encoder`: expected inputs of other names, received 'source' and 'target', which is how a "
                "training batch names the two domains; rename the inputs."
            )
        symbolic = input_of(self.encoder)
        if symbolic is None:
            symbolic = symbolic_input(input_shape)
        features = symbolic_output(self.encoder, symbolic, "encoder")
        feature_shape = (None, *features.shape[1:])
        output_shape = tuple(symbolic_output(self.classifier, features, "classifier").shape)
        self.classes = output_shape[-1]
        if len(output_shape) != 2 or self.classes < 2:
            raise InputError(
                f"Argument `classifier`: expected at least two class logits a row, received {output_shape}; "
                "end it with Dense(number of classes), Dense(2) for two classes."
            )
        refuse_probabilities(self.classifier, feature_shape, "classifier")
        for objective in self.objectives:
            objective.build(feature_shape)
        if self.passes == "separate" and self.objectives:  # else no pass is the source's alone
            self.source_statistics = add_source_statistics(self, self.encoder)
            copy_statistics(self.encoder, self.source_statistics)
        self._symbolic_input: Any = lambda: symbolic  # Keras would wrap a dict, and JAX refuses the wrapper
        self.built = True

    # The forward pass -------------------------------------------------------------------------------

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Class logits of a plain batch; per-row tensors of a pair.

        Returns:
            For a plain batch: float32 class logits ``(rows, classes)``.  For a pair: ``{"logits": of the labelled
            rows, "source": {"features": ...}, "target": {"features": ...}}``, with ``logits`` in the last two
            where an objective sets ``needs_logits``; only ``logits`` where there is no objective.  Labelled rows of
            the target come last in ``logits`` and among the target.
        """
        if not is_pair(inputs):
            return ops.cast(
                self.classifier(self._slowed(self.encoder(inputs, training=training)), training=training),
                "float32",
            )
        source, target, known = inputs["source"], inputs["target"], inputs.get("target_labelled")
        if not self.objectives:
            return {"logits": self(source if known is None else stacked(source, known), training=training)}
        if known is not None:
            target = stacked(target, known)
        if self.passes == "separate":
            domains = [(source, self.source_statistics), (target, [])]
            (source, target), losses = encode_apart(self.encoder, domains, training)
            for loss in losses:
                self.add_loss(SHARE_OF_A_PASS * loss)
        else:
            source, target = encode_jointly(self.encoder, source, target, training)
        source, target = self._slowed(source), self._slowed(target)
        outputs: dict[str, Any] = {"source": {"features": source}, "target": {"features": target}}
        # How many of the target's last rows have labels, and so are classified with the source's.
        labelled = 0 if known is None else ops.shape(tree.flatten(known)[0])[0]
        unlabelled = ops.shape(target)[0] - labelled
        if any(getattr(objective, "needs_logits", False) for objective in self.objectives):
            logits = ops.cast(self.classifier(stacked(source, target), training=training), "float32")
            rows = ops.shape(source)[0]
            outputs["source"]["logits"], outputs["target"]["logits"] = logits[:rows], logits[rows:]
            outputs["logits"] = logits[:rows]
            if known is not None:
                outputs["logits"] = stacked(outputs["logits"], logits[rows + unlabelled :])
        else:
            classified = source if known is None else stacked(source, target[unlabelled:])
            outputs["logits"] = ops.cast(self.classifier(classified, training=training), "float32")
        return outputs

    def _slowed(self, features: Any) -> Any:
        """The features, whose gradient goes on to the encoder multiplied by ``encoder_rate``."""
        return features if self.encoder_rate == 1 else flip_gradient(features, -self.encoder_rate)

    def encode(self, x: Any, domain: str = "target", training: bool | None = False) -> Any:
        """Features of rows of one domain; with separate passes, by that domain's moving statistics.

        Args:
            x: a plain batch.
            domain: ``"source"`` or ``"target"``; matters with ``passes="separate"`` only.
            training: as in any layer.
        """
        if domain not in ("source", "target"):
            raise InputError(
                f"Argument `domain`: expected 'source' or 'target', received {described(domain)}; give one of them."
            )
        if self.passes == "joint" or not self.objectives:
            return self.encoder(x, training=training)
        twins = self.source_statistics if domain == "source" else []
        (features,), _ = encode_apart(self.encoder, [(x, twins)], training)
        return features

    # Training ---------------------------------------------------------------------------------------

    def compile(self, optimizer: Any = "rmsprop", loss: Any = None, **kwargs: Any) -> None:
        """As ``keras.Model.compile``; ``loss`` defaults to sparse cross-entropy from logits.

        Raises:
            ValueError: a cross-entropy that expects probabilities.
        """
        if loss is None:
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        refuse_probability_loss(loss)
        super().compile(optimizer=optimizer, loss=loss, **kwargs)

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        **kwargs: Any,
    ) -> Any:
        """As ``keras.Model.fit``, with the schedules spread over the real length of this run.

        ``initial_epoch=0`` starts the schedules at progress 0, a greater one continues them.  The length
        must be known: ``epochs`` times the length of ``x`` or ``steps_per_epoch``.

        Args:
            x: what ``flipgrad.data.pair_domains`` returned, or anything that yields
                ``({"source": xs, "target": xt}, ys)``; for a model without objectives, whatever Keras takes.
            y: labels, when ``x`` is an array.
            batch_size: rows of a step, when ``x`` is an array.
            epochs: number of the last epoch, as in Keras.
            verbose: as in Keras.
            **kwargs: the other arguments of ``keras.Model.fit``.

        Raises:
            ValueError: unknown length, samples that do not fit the encoder, labels outside the classifier's
                classes (of ``validation_data`` too), a learning-rate decay of another length than the run.  Labels
                are looked at before the first step where they are arrays, batch by batch where they come through
                ``pair_domains``, and at the end of the epoch where they come from another dataset (TensorFlow
                refuses those by itself, in words of its own).
        """
        self._initial_epoch = None  # Keras leaves it set after a resume, which would skip epochs here.
        self._build_for(x)
        if isinstance(x, PairedDomains):
            steps = kwargs.pop("steps_per_epoch", None)
            x = x if steps is None else x.with_steps(steps)
            kwargs["shuffle"] = False
        run, pairs = prepare_run(self, x, y, batch_size, epochs, kwargs), x
        callbacks = kwargs.pop("callbacks", None)
        kwargs["callbacks"] = with_clock(callbacks, run)
        if isinstance(x, PairedDomains):
            x = x.for_backend()
        with errors_of_batches(self, pairs, kwargs.get("validation_data")):
            return super().fit(x, y, batch_size=batch_size, epochs=epochs, verbose=verbose, **kwargs)

    def train_on_batch(self, x: Any, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """As ``keras.Model.train_on_batch``, after ``model.horizon.assign(number of steps)``.

        The schedules go from progress 0 to 1 over that number and stay at 1 beyond it; ``model.step.assign(0)`` begins
        a new run.

        Raises:
            ValueError: objectives, whose schedules need that number, and no horizon; labels outside the classifier's
                classes; a learning-rate decay of another length than the horizon.
        """
        self._build_for(x)
        prepare_batch(self, y)
        return super().train_on_batch(x, y, *args, **kwargs)

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """As ``keras.Model.predict``: class logits ``(rows, classes)``."""
        self._build_for(x)
        return super().predict(x, *args, **kwargs)

    def _build_for(self, x: Any) -> None:
        """Builds an encoder that does not know its input, outside of any compiled function."""
        if not self.built:
            self.build(input_shape_of(x))

    def evaluate(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """As ``keras.Model.evaluate``; labels outside the classifier's classes are refused, as in ``fit``."""
        self._build_for(x)
        check_labels(labels_of(x, y), self.classes, self.loss)
        if "_use_cached_eval_dataset" not in kwargs:  # not from within fit, which has done this
            check_every_batch(self, x)
            forget_labels(self)
        with errors_of_batches(self, x):
            result = super().evaluate(x, y, *args, **kwargs)
        refuse_labels_seen(self)
        return result

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Classification loss plus every objective; on a plain batch the classification loss alone."""
        pair = is_pair(x)
        if training and self.objectives and not pair:
            raise InputError(
                "Argument `x` of fit: a model with objectives trains on pairs of domains, received a plain batch; "
                "make the pairs with flipgrad.data.pair_domains((xs, ys), xt, batch_size=...)."
            )
        note_labels(self.label_range, y, self.loss)
        logits = y_pred["logits"] if isinstance(y_pred, dict) else y_pred
        total = super().compute_loss(x, y, logits, sample_weight, training)
        regularisation = sum(ops.sum(loss) for loss in self.losses)
        classification = total - regularisation
        rows = ops.shape(logits)[0]
        self.classification_tracker.update_state(classification, sample_weight=rows)
        total = self.classification_weight * classification + regularisation
        if pair and self.objectives:
            progress = self._progress()
            # Those of the target follow; an objective sees none of them.
            labels = y[: ops.shape(y_pred["source"]["features"])[0]] if "target_labelled" in x else y
            for objective in self.objectives:
                loss = objective(y_pred["source"], y_pred["target"], progress, labels=labels, training=training)
                total += ops.cast(loss, total.dtype)  # float64 where Keras is told so
        if training:
            self._count_step(total)
        return total

    def _progress(self) -> Any:
        horizon = ops.maximum(ops.cast(self.horizon.value, "float32"), 1.0)
        return ops.minimum(ops.cast(self.step.value, "float32") / horizon, 1.0)

    def _count_step(self, loss: Any) -> None:
        fine = ops.logical_or(ops.isfinite(loss), self.first_bad_step >= 0)
        self.first_bad_step.assign(ops.where(fine, self.first_bad_step.value, self.step.value))
        self.step.assign_add(1)

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:
        """The metrics of ``compile`` on source logits; those of the objectives on pairs only."""
        logits = y_pred["logits"] if isinstance(y_pred, dict) else y_pred
        results = dict(super().compute_metrics(x, y, logits, sample_weight))
        own = [(o, metric) for o in self.objectives for metric in o.metrics]
        names = [metric.name for _, metric in own]
        for name in names:
            results.pop(name, None)
        if self.classification_weight == 0:
            results.pop("classification_loss")
        if is_pair(x):
            for objective, metric in own:
                twice = names.count(metric.name) > 1
                name = f"{objective.name}_{metric.name}" if twice else metric.name
                results[name] = metric.result()
        return results

    # After training ---------------------------------------------------------------------------------

    @property
    def predictor(self) -> keras.Model:
        """A functional model, raw input -> class probabilities, sharing this model's weights."""
        inputs = input_of(self.encoder)
        if inputs is None:
            if not self.built:
                raise InputError(
                    "predictor: expected an encoder that knows its input, received one that has seen none yet; train "
                    "the model, or begin the encoder with keras.Input(shape=...)."
                )
            inputs = tree.map_structure(lambda t: keras.Input(t.shape[1:], dtype=t.dtype), self._symbolic_input())
        logits = self.classifier(self.encoder(inputs))
        return keras.Model(inputs, keras.layers.Softmax(dtype="float32")(logits), name="predictor")

    def save_own_variables(self, store: Any) -> None:
        """The model's own weights, and the random state of all its layers, which Keras leaves out."""
        super().save_own_variables(store)
        save_random_states(self, store)

    def load_own_variables(self, store: Any) -> None:
        super().load_own_variables(load_random_states(self, store))

    def get_compile_config(self) -> dict[str, Any] | None:
        return with_backend(super().get_compile_config())

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles a loaded model as the saved one was, and gives the optimizer its slots."""
        self.compile(**keras.saving.deserialize_keras_object(for_this_backend(config)))
        if self.optimizer is not None and self.built:
            self.optimizer.build(self.trainable_variables)

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        return {
            "name": self.name,
            "encoder": serialize(self.encoder),
            "classifier": serialize(self.classifier),
            "objectives": [serialize(objective) for objective in self.objectives],
            "classification_weight": self.classification_weight,
            "passes": self.passes,
            "encoder_rate": self.encoder_rate,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> DomainAdaptationModel:
        def part(value: Any) -> Any:
            return keras.saving.deserialize_keras_object(value, custom_objects=custom_objects)

        config = dict(config)
        encoder, classifier = part(config.pop("encoder")), part(config.pop("classifier"))
        return cls(encoder, classifier, [part(o) for o in config.pop("objectives")], **config)
