"""Class names come back as they went in; formats from strangers are refused or hold."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flipgrad.errors import InputError
from flipgrad.inputs import Classes, InputFormat
from flipgrad.inputs.classes import classes_of

VALUES = {
    "int": st.integers(-(2**70), 2**70),
    "float": st.floats(allow_nan=False, allow_infinity=False),
    "str": st.text(),
    "bool": st.booleans(),
}
LABELS = st.sampled_from(list(VALUES)).flatmap(
    lambda kind: st.lists(VALUES[kind], min_size=2).filter(lambda v: len(set(v)) > 1)
)


@given(LABELS)
def test_labels_come_back_as_they_went_in(labels):
    classes = Classes(tuple(sorted(set(labels))))
    again = Classes.from_dict(json.loads(json.dumps(classes.to_dict())))
    assert again == classes
    decoded = again.decode(again.encode(labels))
    assert decoded == labels
    assert {type(value) for value in decoded} == {type(labels[0])}
    assert again.encode(labels).dtype == np.int32
    assert all(name.isprintable() for name in again.names)


@pytest.mark.parametrize(
    ("values", "labels", "numbers"),
    [
        ((-1, 1), np.array([1, -1], "int8"), [1, 0]),
        ((-1, 1), np.array([1.0, -1.0]), [1, 0]),
        ((-1, 1), ["1", " -1"], [1, 0]),
        ((0.5, 2.0), ["2", ".5"], [1, 0]),
        ((False, True), ["TRUE", "false"], [1, 0]),
        (("1", "a"), np.array(["a", "1"]), [1, 0]),
    ],
)
def test_equal_labels_of_another_type_are_known(values, labels, numbers):
    np.testing.assert_array_equal(Classes(values).encode(labels), numbers)


@pytest.mark.parametrize(
    ("values", "labels", "message"),
    [
        (("cat", "dog"), ["cat", "dgo"], r"classes 'cat', 'dog', received .* 'dgo'; did you mean 'dog'\?"),
        (("cat", "dog"), ["x", "cat", "y", "x"], r"in 3 of 4 rows: 'x', 'y'; correct"),
        ((0, 1), [2, 0], r"in 1 of 2 rows: 2"),
        ((0, 1), ["one"], r"'one'"),
        ((0, 1), [[0]], r"\[0\]"),
        (("0", "1"), [0], r"in 1 of 1 rows: 0"),
    ],
)  # fmt: skip
def test_unknown_labels_are_named(values, labels, message):
    with pytest.raises(InputError, match=message) as error:
        Classes(values).encode(labels)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("numbers", [[-1], [2], [0, 5]])
def test_unknown_numbers(numbers):
    with pytest.raises(InputError, match="expected 0 to 1"):
        Classes((0, 1)).decode(numbers)


@pytest.mark.parametrize(
    "values", [(), (1,), (2, 1), (1, 1), (1, "a"), (0, True), (float("nan"), 1.0), (None, None), [0, 1]]
)
def test_what_cannot_be_classes(values):
    with pytest.raises(InputError, match="classes: expected"):
        Classes(values)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["a"] * 9, "at least two classes, received one only"),
        (
            [i / 7 for i in range(50)] * 4,
            "50 different values in 200 rows, numbers with fractions: .* not for regression",
        ),
        ([f"row {i}" for i in range(50)], "50 different values in 50 rows, nearly one a row"),
        (list(range(100)), "nearly one a row"),
    ],
)
def test_what_is_no_class(labels, message):
    with pytest.raises(InputError, match=f"source, y: .*{message}"):
        classes_of(labels, "source, y")


def test_many_classes_are_allowed():
    assert len(classes_of([i % 100 for i in range(1000)], "")) == 100
    assert len(classes_of([float(i % 100) for i in range(1000)], "")) == 100
    assert classes_of([0.5, 1.5], "").type == "float"


# Formats ------------------------------------------------------------------------------------------------

CLASSES = {"type": "str", "values": ["a", "b"]}
GOOD = {
    "images": ([8, 9, 3], {"size": [8, 9]}),
    "arrays": ([5], {"dtype": "float32"}),
    "sparse": ([7], {"counts": True, "zero_based": False}),
    "table": (
        [2],
        {
            "label": "y",
            "columns": [{"name": "n", "kind": "number"}, {"name": "c", "kind": "category", "categories": ["u"]}],
        },
    ),
}


def _described(good, **changed):
    shape, detail = GOOD[good]
    return {"kind": good, "shape": shape, "classes": CLASSES, "detail": detail, **changed}


@pytest.mark.parametrize("kind", GOOD)
def test_formats_come_back(kind):
    described = json.loads(json.dumps(_described(kind)))
    form = InputFormat.from_dict(described)
    assert form.to_dict() == described
    assert InputFormat.from_dict(form.to_dict()) == form


TABLE = GOOD["table"][1]


def _column(column):
    return _described("table", shape=[1], detail={**TABLE, "columns": [column]})


@pytest.mark.parametrize(
    "described",
    [
        None,
        [],
        {},
        _described("arrays", kind="pickle"),
        _described("arrays", kind=["arrays"]),
        _described("arrays", shape="5"),
        _described("arrays", shape=[]),
        _described("arrays", shape=[-5]),
        _described("arrays", shape=[True]),
        _described("arrays", shape=[2.0]),
        _described("arrays", shape=[10**30]),
        _described("arrays", classes={"type": "int", "values": ["a", "b"]}),
        _described("arrays", classes={"type": "int", "values": [True, 2]}),
        _described("arrays", classes={"type": "eval", "values": [1, 2]}),
        _described("arrays", classes={"type": [], "values": [1, 2]}),
        _described("arrays", classes={"type": "int", "values": {"0": 1}}),
        _described("arrays", classes=[1, 2]),
        _described("arrays", detail={"dtype": "object"}),
        _described("arrays", detail={"dtype": []}),
        _described("arrays", detail=[]),
        _described("arrays", more=1),
        _described("images", detail={"size": [9, 8]}),
        _described("images", shape=[8, 9, 4]),
        _described("images", shape=[10**6, 9, 3], detail={"size": [10**6, 9]}),
        _described("sparse", detail={"counts": 1, "zero_based": False}),
        _described("table", shape=[3]),
        _described("table", detail={**TABLE, "label": None}),
        _described("table", detail={**TABLE, "label": "n"}),
        _described("table", detail={**TABLE, "columns": [1, 2]}),
        _described("table", detail={**TABLE, "columns": [{"name": [], "kind": "number"}] * 2}),
        _described("table", detail={**TABLE, "columns": [{"name": "n", "kind": "number"}] * 2}),
        _column({"name": "n", "kind": {}}),
        _column({"name": "n", "kind": "category"}),
        _column({"name": "n", "kind": "category", "categories": [1]}),
        _column({"name": "n", "kind": "category", "categories": ["a"] * 2}),
        _column({"name": "n", "kind": "category", "categories": list(map(str, range(101)))}),
    ],
)  # fmt: skip
def test_hostile_formats_are_refused(described):
    with pytest.raises(InputError) as error:
        InputFormat.from_dict(described)
    assert "\n" not in str(error.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.sampled_from(["name", "kind", "size", "label", "columns"]), inner)
    ),
    max_leaves=8,
)


@given(st.sampled_from(list(GOOD)), st.sampled_from(["kind", "shape", "classes", "detail"]), JSON)
def test_anything_in_a_format_is_refused_or_holds(kind, part, value):
    described = _described(kind, **{part: value})
    try:
        form = InputFormat.from_dict(described)
    except InputError:
        return
    assert form.to_dict() == described
