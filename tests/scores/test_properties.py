"""What must not change a score, its range, and what is refused."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flipgrad import scores
from flipgrad.data import blobs
from flipgrad.errors import InputError
from flipgrad.observation import Observation, View
from flipgrad.scores import SCORES


def seen(seed=0, rows=60, classes=3, shift=0.5):
    """An observation of features in clusters and logits that follow them for the most part."""
    random = np.random.default_rng(seed)

    def view(offset):
        y = np.arange(rows) % classes
        features = 20 * np.eye(classes, 5)[y] + random.normal(size=(rows, 5)) + offset
        logits = 3 * np.eye(classes)[y] + random.normal(size=(rows, classes))
        return View(features.astype("float32"), logits.astype("float32"), None), y

    (source, labels), (target, _) = view(0.0), view(shift)
    return Observation(source, target, labels)


def values(observation):
    return {name: score.function(observation) for name, score in SCORES.items()}


def changed(observation, source=lambda v: v, target=lambda v: v, labels=lambda y: y):
    return Observation(source(observation.source), target(observation.target), labels(observation.source_labels))


def test_the_registry():
    assert list(SCORES) == [score.name for score in SCORES.values()]
    assert {name for name, score in SCORES.items() if not score.higher_is_better} == {
        *("entropy", "importance_weighted_risk", "dev", "devn")
    }
    assert all(score.reference for score in SCORES.values())
    assert scores.get("snd") is SCORES["snd"]
    own = scores.Score("own", lambda seen: 1.0, True, "mine")
    assert scores.get(own) is own
    assert SCORES["snd"].goodness(2.0) == 2.0
    assert SCORES["entropy"].goodness(2.0) == -2.0
    with pytest.raises(InputError, match=r"one of source_accuracy, v_measure.*received 'accuracy'"):
        scores.get("accuracy")


def test_equal_observations_have_equal_scores():
    assert values(seen()) == values(seen())


def test_classes_have_no_order():
    order = np.array([2, 0, 1])  # new column k was order[k]

    def renumbered(view):
        return View(view.features, view.logits[:, order], None)

    other = changed(seen(), renumbered, renumbered, lambda y: np.argsort(order)[y])
    assert values(other) == pytest.approx(values(seen()))


def test_rows_have_no_order():
    rows = np.random.default_rng(1).permutation(60)

    def shuffled(view):
        return View(view.features[rows], view.logits[rows], None)

    other, known = values(changed(seen(), target=shuffled)), values(seen())
    halves = {"importance_weighted_risk", "dev", "devn"}  # which rows are held out depends on the order
    assert {n: v for n, v in other.items() if n not in halves} == pytest.approx(
        {n: v for n, v in known.items() if n not in halves}
    )


def test_a_number_added_to_the_logits_of_a_row_changes_nothing():
    def moved(view):
        return View(view.features, view.logits + 100 * np.arange(60, dtype="float32")[:, None], None)

    assert values(changed(seen(), moved, moved)) == pytest.approx(values(seen()), rel=1e-3)


def test_size_and_place_of_the_features_do_not_matter_to_clusters_and_weights():
    def scaled(view):
        return View(7 * view.features, view.logits, None)

    other, known = values(changed(seen(), scaled, scaled)), values(seen())
    for name in ("v_measure", "ami", "rank_me", "dev", "devn", "importance_weighted_risk"):
        assert other[name] == pytest.approx(known[name], rel=1e-4), name


@pytest.mark.parametrize("size", [1e-3, 1e4, 1e30])
def test_finite_for_logits_of_any_size(size):
    def scaled(view):
        return View(view.features, view.logits * size, None)

    assert np.isfinite(list(values(changed(seen(), scaled, scaled)).values())).all()


def test_the_better_model_has_the_better_score():
    """Right and sure on clusters, against the same features with half of the predictions at random."""
    good = seen()
    random = np.random.default_rng(2)

    def spoilt(view):
        rows = random.permutation(60)[:40]
        logits = view.logits.copy()
        logits[rows] = random.normal(size=(40, 3))
        return View(view.features, logits, None)

    bad = values(changed(good, spoilt, spoilt))
    known = values(good)
    for name, score in SCORES.items():
        if name not in ("rank_me", "snd"):  # the one looks at features only, the other at how dense they lie
            assert score.goodness(known[name]) > score.goodness(bad[name]), name


logits_of_any_kind = st.integers(0, 10_000).map(
    lambda seed: np.random.default_rng(seed).normal(size=(5 + seed % 30, 2 + seed % 4)) * 10.0 ** (seed % 5 - 2)
)


@settings(max_examples=60, deadline=None)
@given(logits_of_any_kind)
def test_ranges(logits):
    rows, classes = logits.shape
    if len(set(logits.argmax(1))) == 1:
        with pytest.raises(InputError, match="for all"):
            scores.entropy(logits)
        return
    slack = 1e-9
    assert 0 <= scores.entropy(logits) <= math.log(classes) + slack
    assert 0 <= scores.information_maximisation(logits) <= math.log(classes) + slack
    assert 1 / min(rows, classes) - slack <= scores.bnm(logits) <= 1 + slack
    assert 1 / math.sqrt(classes) - slack <= scores.corr_c(logits) <= 1 + slack
    assert 0 <= scores.snd(logits) <= math.log(rows - 1) + slack
    assert 1 - slack <= scores.rank_me(logits) <= min(rows, classes) + slack
    assert 0 <= scores.v_measure(logits, logits) <= 1 + slack
    assert scores.ami(logits, logits) <= 1 + slack


# What is refused ----------------------------------------------------------------------------------------------------

TARGET = ["v_measure", "ami", "bnm", "information_maximisation", "entropy", "corr_c", "snd"]
ON_SOURCE = ["source_accuracy", "importance_weighted_risk", "dev", "devn"]


def refused(name, observation, match):
    with pytest.raises(InputError, match=match) as caught:
        SCORES[name].function(observation)
    assert "\n" not in str(caught.value)


def emptied(view):
    return View(view.features[:0], view.logits[:0], None)


def with_nan(view):
    return View(np.where(view.features > 0, view.features, np.nan), view.logits * np.nan, None)


@pytest.mark.parametrize("name", SCORES)
def test_no_rows_and_nan(name):
    refused(name, changed(seen(), emptied, emptied, lambda y: y[:0]), r"at least one row.*received float32 \(0, ")
    refused(name, changed(seen(), with_nan, with_nan), "NaN or infinity")


@pytest.mark.parametrize("name", TARGET)
def test_a_collapsed_model(name):
    def one_class(view):
        return View(view.features, view.logits + np.float32([0, 99, 0]), None)

    refused(name, changed(seen(), target=one_class), "two classes or more, received class 1 for all 60 rows")


@pytest.mark.parametrize("name", TARGET)
def test_fewer_rows_than_classes(name):
    refused(name, changed(seen(), target=lambda v: View(v.features[:2], v.logits[:2])), "2 rows of 3 classes")


def test_collapsed_features():
    def constant(view):
        return View(np.zeros_like(view.features), view.logits)

    refused("v_measure", changed(seen(), target=constant), "features have collapsed")
    refused("ami", changed(seen(), target=constant), "features have collapsed")
    refused("rank_me", changed(seen(), target=constant), "all 0")


@pytest.mark.parametrize("name", ON_SOURCE)
def test_labels_that_do_not_fit(name):
    refused(name, changed(seen(), labels=lambda y: y + 1), "classes 0 to 2, received 1 to 3")
    refused(name, changed(seen(), labels=lambda y: y[:-1]), r"each of 60 rows, received int64 \(59,\)")
    refused(name, changed(seen(), labels=lambda y: y + 0.5), "whole class numbers")
    refused(name, changed(seen(), labels=lambda y: np.eye(3)[y]), "argmax")


def test_other_arguments_that_do_not_fit():
    logits, features = seen().target.logits, seen().target.features
    for match, call in {
        "two class logits": lambda: scores.source_accuracy(logits[:, :1], np.zeros(60)),
        "(60,)": lambda: scores.entropy(logits[:, 0]),
        "greater than 0, received 0": lambda: scores.snd(logits, temperature=0),
        "received 59 and 60": lambda: scores.v_measure(features[:-1], logits),
        "one width": lambda: scores.importance_weights(features, features[:, :2]),
        "4 source": lambda: scores.importance_weights(features[:3], features),
        "from one model or more": lambda: scores.ensv({}),
        "the same rows": lambda: scores.ensv({"a": logits, "b": logits[:-1]}),
        "pool['a']": lambda: scores.ensv({"a": logits * np.nan}),
        "hold out some": lambda: scores.reverse_validation(None, None, None, (features[:0], [])),
        "class 0 for the whole target": lambda: scores.reverse_validation(
            lambda *_: lambda x: np.zeros(len(x)), blobs(0)[0], blobs(0)[1].x, blobs(1)[0]
        ),
        "one class number a row": lambda: scores.reverse_validation(
            lambda *_: lambda x: np.zeros((len(x), 2)), blobs(0)[0], blobs(0)[1].x, blobs(1)[0]
        ),
    }.items():
        with pytest.raises(InputError) as caught:
            call()
        assert match in str(caught.value)
        assert "\n" not in str(caught.value)


def test_one_predicted_class_is_no_matter_to_accuracy_and_ensv():
    logits = np.tile([1.0, 0.0], (4, 1))
    assert scores.source_accuracy(logits, [0, 0, 1, 1]) == 0.5
    assert scores.ensv({"a": logits, "b": logits}) == {"a": 1.0, "b": 1.0}
