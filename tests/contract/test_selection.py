"""One of several models is picked without target labels; the source-only one is always among them."""

import inspect
import math
import warnings

import keras
import numpy as np
import pytest
from keras import layers

import flipgrad as fg
from flipgrad.errors import InputError
from flipgrad.scores import SCORES, Score


def _rows():
    """Two classes left and right; the target is the source, moved to where the source's border is in the way."""
    random = np.random.default_rng(0)
    y = np.arange(120) % 2
    x = (random.normal(scale=0.3, size=(120, 2)) + np.stack([2.0 * y - 1, 0 * y], 1)).astype("float32")
    return (x, y), x + np.float32([1, 0]), y


def _model(border, objectives=True):
    """Says 1 where the first number is above the border; exact, for it is not trained."""
    encoder = keras.Sequential([keras.Input((2,)), layers.Dense(2)], name="encoder")
    classifier = keras.Sequential([layers.Dense(2)])
    model = fg.DANN(encoder, classifier) if objectives else fg.DomainAdaptationModel(encoder, classifier)
    encoder.set_weights([np.eye(2), np.zeros(2)])
    classifier.set_weights([np.array([[-20.0, 20.0], [0.0, 0.0]]), np.array([20.0 * border, -20.0 * border])])
    return model


def test_the_model_whose_predictions_are_the_clusters_is_picked():
    source, target, _ = _rows()
    pool = {"source": _model(0.0, objectives=False), "dann": _model(0.5), "lost": _model(5.0)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = fg.select(pool, source, target, score="v_measure", guard=0.1)
    assert found.picked == "dann"
    assert found.score == "v_measure"
    assert "source accuracy 0.500 is more than 0.1 below the best" in found.left_out["lost"]
    assert set(found.scores) == set(pool)
    assert found.scores["dann"]["v_measure"] > found.scores["source"]["v_measure"]
    assert set(found.picks) <= {*SCORES, "ensv"}


def test_the_default_is_the_measured_one():
    source, target, _ = _rows()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert fg.select({"source": _model(0.0, objectives=False)}, source, target).score == "corr_c"
    assert fg.callbacks.LabelFreeCheckpoint(source, target).score.name == "corr_c"


def test_the_source_only_model_is_considered_whatever_the_guard_and_wins_ties():
    source, target, _ = _rows()
    flat = Score("flat", lambda seen: 1.0, True, "these tests")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = fg.select({"dann": _model(0.0), "source": _model(0.0, objectives=False)}, source, target, flat)
        assert found.picked == "source"
        bad = fg.select({"dann": _model(0.0), "source": _model(0.8, objectives=False)}, source, target, guard=0.0)
    assert "source" not in bad.left_out


def test_disagreement_is_said_loudly():
    source, target, _ = _rows()
    pool = {"source": _model(0.0, objectives=False), "dann": _model(1.0)}
    against = Score("against", lambda seen: -SCORES["v_measure"].function(seen), True, "these tests")
    with pytest.warns(UserWarning, match="The scores disagree"):
        found = fg.select(pool, source, target, against, guard=1.0)
    assert "Do not trust the pick" in found.warning


@pytest.mark.parametrize(("moved", "vote"), [(0.0, True), (8.0, False)])
def test_scores_that_weight_source_rows_have_no_vote_where_the_domains_lie_apart(moved, vote):
    """There the weights, and so the risk, are nothing: not a good model."""
    source, _, _ = _rows()
    pool = {"source": _model(0.0, objectives=False), "dann": _model(1.0)}
    against = Score("against", lambda seen: -SCORES["v_measure"].function(seen), True, "these tests")
    with pytest.warns(UserWarning, match="The scores disagree"):
        found = fg.select(pool, source, source[0] + np.float32([0, moved]), against, guard=1.0)
    weighted = {"importance_weighted_risk", "dev", "devn"}
    assert weighted & found.disagreement.votes.keys() == (weighted if vote else set())
    assert found.picks.keys() >= weighted


def test_no_labels_of_the_target_go_in():
    assert list(inspect.signature(fg.select).parameters) == ["candidates", "source", "target", "score", "guard"]
    source, target, y = _rows()
    with pytest.raises(InputError, match="leave the labels out"):
        fg.select({"source": _model(0.0, objectives=False)}, source, (target, y))


@pytest.mark.parametrize(
    ("pool", "message"),
    [
        (lambda: {"dann": _model(0.0)}, "expected a source-only model"),
        (lambda: {}, "expected at least one model, received none"),
        (lambda: {"source": 3}, "'source': expected a DomainAdaptationModel"),
        (lambda: [_model(0.0)], r"received DomainAdaptationModel; give \{name: model\}"),
        (lambda: _model(0.0), r"received DomainAdaptationModel; give \{name: model\}"),
        (lambda: "nowhere", "there is no such folder"),
    ],
)
def test_refusals(pool, message):
    source, target, _ = _rows()
    with pytest.raises(InputError, match=message):
        fg.select(pool(), source, target)


def test_models_of_a_run(tmp_path):
    from flipgrad.runs import Run

    source, target, _ = _rows()
    with Run.create(tmp_path / "run", {"settings": {}}) as run:
        for mode, model in (("source", _model(0.0, objectives=False)), ("dann", _model(0.5)), ("target", _model(0.4))):
            run.model_path(mode, 0).parent.mkdir(exist_ok=True)
            model.save(run.model_path(mode, 0))
            run.add_row({"mode": mode, "seed": 0})
        run.add_row({"mode": "dann", "seed": 1, "diverged": 7})
        with pytest.raises(InputError, match="the run is not done"):
            fg.select(tmp_path / "run", source, target)
        run.finish()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = fg.select(tmp_path / "run", source, target, guard=0.1)
    assert found.picked == "dann-0"
    assert set(found.scores) == {"source-0", "dann-0"}
    assert set(found.left_out) == {"target-0", "dann-1"}
    assert not math.isnan(found.scores["dann-0"]["ensv"])


def test_a_score_of_ones_own_that_is_nan_is_none():
    source, target, _ = _rows()
    with pytest.raises(InputError, match="no candidate has a mine; source: it is NaN"):
        fg.select(
            {"source": _model(0.0, objectives=False)}, source, target, Score("mine", lambda seen: math.nan, True, "")
        )
    with pytest.raises(InputError, match="`guard` must be 0 or greater and at most 1; received 10"):
        fg.select({"source": _model(0.0, objectives=False)}, source, target, guard=10)
