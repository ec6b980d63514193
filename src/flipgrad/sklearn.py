"""Domain adaptation as a scikit-learn classifier.  Keras is imported by the first ``fit`` only."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.extmath import softmax
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from flipgrad._estimator_rows import checked_weights, labelled_rows, split_domains
from flipgrad.errors import InputError

if TYPE_CHECKING:
    import keras

__all__ = ["DomainAdaptationClassifier"]

# Pixels stay as they are, in a quarter of the memory; everything else becomes float32, which networks compute in.
_DTYPES = [np.float32, np.uint8]
_SETTINGS = ("weights", "epochs", "batch_size", "learning_rate", "strength", "passes")


class DomainAdaptationClassifier(ClassifierMixin, BaseEstimator):
    """Classifier trained on labelled source rows for unlabelled target rows of another distribution.

    Use it where the rows to be classified look different from those with labels.  ``predict`` is for target rows.

    Parameters
    ----------
    mode : {"dann", "source"}, default="dann"
        "dann" adapts to the target by domain-adversarial training (Ganin et al., JMLR 2016); "source" trains on the
        source alone, to compare with.
    encoder : str or keras.Model, default="auto"
        The network from rows to features.  "auto" takes "mlp" for vectors, "cnn1d" for windows `(steps, channels)` and
        "cnn" for images `(height, width, channels)`; or the name of a model of `keras.applications`; or a Keras model
        of your own, of which every `fit` trains a copy that begins with its weights.
    weights : str or None, default=None
        Of an encoder of `keras.applications`: None for random ones, "imagenet", or a file.
    epochs : int or None, default=None
        Passes over the larger domain.  None for about 3,000 steps, at least 5 passes and at most 200.
    batch_size : int, default=64
        Rows of each domain in a step.
    learning_rate : float, default=0.001
        Of Adam, at the beginning; it decays as in the paper.
    strength : float, default=0.1
        How much the domains are pressed together at the end, greater than 0 (the paper's lambda).
    passes : {"separate", "joint"}, default="separate"
        Whether batch normalization sees each domain by itself or both mixed.
    standardize : bool, default=True
        Make mean 0 and variance 1 of every column (of the last axis, if there are more), by the statistics of source
        and target, each weighing the same; pixels of type uint8 go to -1..1 instead.  It is part of the trained
        network.  The models of `keras.applications` scale by themselves.
    unlabeled_label : object, default=None
        Rows of `X` with this `y` are the target.  None: there is no such label.
    random_state : int, RandomState instance or None, default=None
        Of initial weights, order of the rows and dropout.  With an int two fits on one machine give equal predictions
        (on a CPU, and where Keras's operations on a GPU are deterministic).
    verbose : int, default=0
        Greater than 0 shows progress.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels.
    model_ : flipgrad.DomainAdaptationModel
        The trained Keras model; `model_.save("model.keras")` keeps it without pickle.
    history_ : dict
        Name -> one value an epoch: losses, accuracy on the source, accuracy of the discriminator.
    n_features_in_ : int
        Columns seen during fit; the second axis of `X`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, where `X` is a data frame and all of its names are strings.

    Notes
    -----
    Rows are computed with in float32.  `fit` leaves the random states of Python, NumPy and PyTorch and Keras's
    settings as they were; it is not safe to run two fits in two threads of a process.

    References
    ----------
    Ganin et al., "Domain-Adversarial Training of Neural Networks", JMLR 17 (2016).

    Examples
    --------
    >>> from flipgrad.data import moons
    >>> from flipgrad.sklearn import DomainAdaptationClassifier
    >>> source, target = moons(seed=0, samples=200)
    >>> clf = DomainAdaptationClassifier(epochs=20, random_state=0)
    >>> clf.fit(source.x, source.y, X_target=target.x)
    DomainAdaptationClassifier(epochs=20, random_state=0)
    >>> clf.predict_proba(target.x).shape
    (200, 2)
    """

    classes_: np.ndarray
    model_: Any
    history_: dict[str, list[float]]

    def __init__(
        self,
        mode: str = "dann",
        encoder: str | keras.Model = "auto",
        *,
        weights: str | None = None,
        epochs: int | None = None,
        batch_size: int = 64,
        learning_rate: float = 0.001,
        strength: float = 0.1,
        passes: str = "separate",
        standardize: bool = True,
        unlabeled_label: Any = None,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.mode = mode
        self.encoder = encoder
        self.weights = weights
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.strength = strength
        self.passes = passes
        self.standardize = standardize
        self.unlabeled_label = unlabeled_label
        self.random_state = random_state
        self.verbose = verbose

    def fit(
        self,
        X: Any,  # noqa: N803
        y: Any,
        X_target: Any = None,  # noqa: N803
        *,
        y_target: Any = None,
        sample_weight: Any = None,
    ) -> DomainAdaptationClassifier:
        """Trains on labelled source rows and on target rows, of which some or none have labels.

        Parameters
        ----------
        X : array-like or data frame of shape (n_samples, n_features) or (n_samples, ...)
            Source rows: numbers, none missing; with `unlabeled_label` target rows too.
        y : array-like of shape (n_samples,)
            Labels: whole numbers, strings or booleans.
        X_target : array-like or data frame of shape (n_target_samples, n_features) or (n_target_samples, ...)
            Target rows, with the same columns in the same order.  Without any, "dann" trains on the source alone and
            warns.
        y_target : array-like of shape (n_target_samples,), default=None
            Labels of some target rows, which join the classification loss, each of weight 1; None, NaN or, where it is
            set, `unlabeled_label` for the others.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights in the classification loss; only their ratios count.  Rows of weight 0 are left out altogether.

        Returns
        -------
        self : DomainAdaptationClassifier

        Raises
        ------
        ValueError
            Data or parameters that cannot be used, or a training that diverges.
        """
        X, y = validate_data(self, X, y, dtype=_DTYPES, allow_nd=True)  # noqa: N806
        target = None if X_target is None else self._checked_rows(X_target, "X_target", X.shape[1:])
        weights = checked_weights(sample_weight, len(X))
        (X, y, *weighted), target = split_domains(X, y, weights, target, self.unlabeled_label)  # noqa: N806
        check_classification_targets(y)
        classes, numbers = np.unique(y, return_inverse=True)
        if len(classes) < 2:
            raise InputError(f"y: expected two classes or more, received one class only ({y[0]}).")
        known = labelled_rows(target, y_target, classes, self.unlabeled_label)
        self.model_, self.history_ = self._train((X, numbers.astype("int32"), *weighted), target, known, len(classes))
        self.classes_ = classes
        return self

    def predict(self, X: Any) -> np.ndarray:  # noqa: N803
        """The most probable class of each row: `(n_samples,)`."""
        numbers = self._logits(X).argmax(axis=1)
        labels: np.ndarray = self.classes_[numbers]
        return labels

    def predict_proba(self, X: Any) -> np.ndarray:  # noqa: N803
        """Probabilities in the order of `classes_`: float32 `(n_samples, n_classes)`."""
        probabilities: np.ndarray = softmax(self._logits(X), copy=False)
        return probabilities

    def decision_function(self, X: Any) -> np.ndarray:  # noqa: N803
        """Logits `(n_samples, n_classes)`; of two classes their difference `(n_samples,)`, above 0 for the second."""
        logits = self._logits(X)
        return logits[:, 1] - logits[:, 0] if len(self.classes_) == 2 else logits

    def _train(self, source: tuple[np.ndarray, ...], target: Any, known: Any, classes: int) -> tuple[Any, Any]:
        from flipgrad._estimator import train

        mode = self.mode
        if mode == "dann" and target is None:
            warnings.warn(
                "No target rows, so this trains on the source alone: pass fit(X, y, X_target=...) or set "
                "unlabeled_label, or choose mode='source' to silence this.",
                stacklevel=3,
            )
            mode = "source"
        settings = {name: getattr(self, name) for name in _SETTINGS}
        seed = check_random_state(self.random_state).randint(np.iinfo(np.int32).max)
        return train(
            {**settings, "mode": mode, "seed": seed},
            self.encoder,
            classes,
            source,
            target,
            known,
            standardize=self.standardize,
            verbose=self.verbose,
        )

    def _logits(self, X: Any) -> np.ndarray:  # noqa: N803
        check_is_fitted(self, "classes_")
        rows = self._checked_rows(X, "X", self.model_.encoder.input_shape[1:])
        from flipgrad.scoring import outputs

        return outputs(lambda batch: self.model_(batch, training=False), rows)

    def _checked_rows(self, X: Any, name: str, shape: tuple[int, ...]) -> np.ndarray:  # noqa: N803
        """Rows as an array of the columns seen by fit."""
        try:
            rows: np.ndarray = validate_data(self, X, reset=False, dtype=_DTYPES, allow_nd=True)
        except (ValueError, TypeError) as error:
            if name == "X":
                raise
            said = str(error).partition("array=")[0]  # scikit-learn prints rows of data there
            raise InputError(f"{name}: {' '.join(said.split())}") from error
        if rows.shape[1:] != shape:
            raise InputError(f"{name}: expected rows of shape {shape}, as in fit, received {rows.shape[1:]}.")
        return rows

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    def __getstate__(self) -> dict[str, Any]:
        """For pickle: the model as the bytes of its ``.keras`` file."""
        state = dict(super().__getstate__())
        if "model_" in state:
            from flipgrad._estimator import to_bytes

            state["model_"] = to_bytes(state["model_"])
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "model_" in state:
            from flipgrad._estimator import from_bytes

            state = {**state, "model_": from_bytes(state["model_"])}
        super().__setstate__(state)
