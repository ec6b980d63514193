"""Arrays from .npz files: what was written is read, and every refusal."""

import io
import pickle
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from flipgrad.errors import InputError
from flipgrad.inputs import arrays, read_domain, read_domains

X = np.arange(24, dtype="float32").reshape(6, 4)
Y = np.array([0, 1, 2, 0, 1, 2])


@pytest.fixture
def read(make):
    """Reads arrays as source and target."""

    def read(x=X, y=Y, target=X, **options):
        return read_domains(make.arrays("s.npz", x=x, y=y), make.arrays("t.npz", x=target), **options)

    return read


def test_what_was_written_is_read(read, heard):
    form, source, target = read(report=heard.append)
    assert (form.kind, form.shape, form.detail) == ("arrays", (4,), {"dtype": "float32"})
    np.testing.assert_array_equal(source.x, X)
    np.testing.assert_array_equal(form.classes.decode(source.y), Y)
    assert target.y is None
    assert target.ids == list("012345")
    assert heard == []


@pytest.mark.parametrize("shape", [(6, 1), (6, 5, 3), (6, 8, 8), (6, 8, 8, 3), (6, 2, 2, 2, 2)])
@pytest.mark.parametrize(
    ("dtype", "kept"),
    [("uint8", "uint8"), ("float64", "float32"), ("float16", "float32"), ("int64", "float32"), (bool, "float32")],
)
def test_any_shape_and_type_of_numbers(read, shape, dtype, kept):
    x = (np.arange(np.prod(shape)) % 200).reshape(shape).astype(dtype)
    form, source, target = read(x, target=x)
    assert form.shape == shape[1:]
    assert form.detail == {"dtype": kept}
    assert source.x.dtype == target.x.dtype == kept
    np.testing.assert_array_equal(source.x, x)


@pytest.mark.parametrize("labels", [[5, -2], ["cat", "dög"], [True, False], [0.5, 1.0], [b"a", b"\xc3\xa4"]])
def test_labels_come_back_as_they_went_in(read, labels):
    for y in (np.array(labels * 3), np.array(labels * 3)[:, None]):
        form, source, _ = read(y=y)
        expected = [label.decode() if isinstance(label, bytes) else label for label in labels * 3]
        assert form.classes.decode(source.y) == expected
        assert form.classes.type == type(expected[0]).__name__


def test_other_arrays_are_ignored_and_said_so(make, heard):
    source = make.arrays("s.npz", x=X, y=Y, z=Y)
    target = make.arrays("t.npz", x=X, y=Y + 7)
    assert read_domains(source, target, report=heard.append)[2].y is None
    assert heard == ["source: ignored the arrays 'z'", "target: ignored the arrays 'y' (labels are not used here)"]


def test_two_scales_are_reported(read, heard):
    form, source, _ = read(x=X.astype("uint8"), target=X / 255, report=heard.append)
    assert form.detail == {"dtype": "float32"}
    assert source.x.dtype == np.float32
    assert heard == ["x is uint8 in the source and float32 in the target; make sure that both have one scale"]


def test_read_again_as_the_format_says(read, make):
    form, *_ = read(y=np.array(list("abcabc")))
    again = read_domain(make.arrays("e.npz", x=X.astype("uint8"), y=np.array(list("aabbcc"))), form, labelled=True)
    np.testing.assert_array_equal(again.x, X)
    assert again.y.tolist() == [0, 0, 1, 1, 2, 2]
    assert read_domain(make.folder / "e.npz", form, labelled=False).y is None
    pixels, *_ = read(X.astype("uint8"), target=X.astype("uint8"))
    assert read_domain(make.arrays("p.npz", x=X), pixels, labelled=False).x.dtype == np.uint8
    for x in (X / 2, X + 250, X - 1, X > 3, np.full_like(X, np.nan)):
        with pytest.raises(InputError, match="input, x: expected pixels of type uint8, 0 to 255, as in training"):
            read_domain(make.arrays("p.npz", x=x), pixels, labelled=False)
    with pytest.raises(InputError, match=r"rows of shape \(4,\), as in training, received \(3,\)"):
        read_domain(make.arrays("p.npz", x=X[:, :3]), form, labelled=False)
    with pytest.raises(InputError, match=r"input, y: expected the classes 'a', 'b', 'c', .* 'd'"):
        read_domain(make.arrays("p.npz", x=X, y=np.array(list("abcabd"))), form, labelled=True)


def _with(value):
    x = X.copy()
    x[[2, 4], 1] = value
    return x


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"x": _with(np.nan)}, "source, x: expected finite numbers, .* in 2 of 6 rows, first in row 2"),
        ({"target": _with(-np.inf)}, "target, x: expected finite numbers, .* in 2 of 6 rows"),
        ({"target": _with(1).astype("float64") * 1e39}, "target, x: .*beyond float32"),
        ({"target": X[:, :3]}, r"rows of one shape, received \(4,\) and \(3,\)"),
        ({"y": Y[:5]}, r"one label a row, received x of shape \(6, 4\) and y of shape \(5,\)"),
        ({"y": np.eye(6)}, r"y of shape \(6, 6\); of one-hot labels save y.argmax"),
        ({"x": X[:0], "y": Y[:0]}, r"none of them empty, received the shape \(0, 4\)"),
        ({"x": X[:, :0], "target": X[:, :0]}, r"received the shape \(6, 0\)"),
        ({"x": X[:, 0]}, r"received the shape \(6,\); one number a row is x\[:, None\]"),
        ({"x": np.float32(3)}, r"received the shape \(\)"),
        ({"x": X.astype(str)}, "source, x: expected numbers, received <U"),
        ({"x": X.astype(complex)}, "source, x: expected numbers, received complex128"),
        ({"x": X.astype(object)}, "objects, which could run code"),
        ({"y": Y.astype(object)}, "objects, which could run code"),
        ({"y": np.array([0, 1, np.nan, 0, 1, np.nan])}, "y: expected a label in every row, received none in 2 of 6"),
        ({"y": Y.astype("datetime64[s]")}, "source, y: expected whole numbers, texts or booleans"),
        ({"y": np.array([b"\xff", b"a"] * 3)}, "texts in UTF-8"),
        ({"y": np.zeros(6)}, "one only"),
        ({"x": np.ones((60, 4)), "y": np.arange(60) / 7}, "not for regression"),
    ],
)  # fmt: skip
def test_bad_arrays(read, changed, message):
    with pytest.raises(InputError, match=message) as error:
        read(**changed)
    assert "\n" not in str(error.value)


def test_missing_arrays(make):
    good = make.arrays("g.npz", x=X, y=Y)
    with pytest.raises(InputError, match="source: expected the arrays 'x', 'y', received 'x'; save the labels as y"):
        read_domains(make.arrays("s.npz", x=X), good)
    with pytest.raises(InputError, match="target: expected the arrays 'x', received 'images'; save the rows as x"):
        read_domains(good, make.arrays("t.npz", images=X))


class _Evil:
    def __reduce__(self):
        return (open, ("/tmp/flipgrad-was-here", "w"))


def test_no_pickle_is_loaded(make, monkeypatch):
    loaded = []
    monkeypatch.setattr(pickle, "load", lambda *_: loaded.append(1))
    evil = np.array([_Evil()] * 6, dtype=object)
    with pytest.raises(InputError, match="objects"):
        read_domains(make.arrays("s.npz", x=evil, y=Y), make.arrays("t.npz", x=X))
    content = pickle.dumps(_Evil())
    with pytest.raises(InputError):
        read_domains(make.text("p.npz", content), make.folder / "t.npz")
    assert not loaded


def _zip(make, name, **members):
    with zipfile.ZipFile(make.folder / name, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in members.items():
            archive.writestr(f"{member}.npy", content)
    return make.folder / name


def _npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def test_arrays_that_say_they_are_huge(make):
    lie = _npy(X).replace(b"(6, 4)", b"(6000000, 400000)")
    with pytest.raises(InputError, match=r"source, x.npy: expected at most 8 GiB unpacked"):
        read_domains(_zip(make, "s.npz", x=lie, y=_npy(Y)), make.arrays("t.npz", x=X))
    lie = _npy(X).replace(b"(6, 4)", b"(6, 400)")
    with pytest.raises(InputError, match="damaged"):
        read_domains(_zip(make, "s.npz", x=lie, y=_npy(Y)), make.folder / "t.npz")


def test_a_bomb_is_not_unpacked(make, monkeypatch):
    monkeypatch.setattr(arrays, "MOST_BYTES", 1000)
    bomb = make.arrays("s.npz", x=np.zeros((6, 100)), y=Y)
    with pytest.raises(InputError, match=r"source, x.npy: expected at most"):
        read_domains(bomb, bomb)


def test_damaged_arrays(make):
    whole = make.arrays("t.npz", x=X, y=Y).read_bytes()
    single = io.BytesIO()
    np.save(single, X)
    for content in (whole[:100], whole[:-30], whole[:60] + b"?" * 40 + whole[100:], b"?" * 50, single.getvalue()):
        with pytest.raises(InputError, match="source"):
            read_domains(make.text("s.npz", content), make.folder / "t.npz")


@given(
    arrays_of.arrays(
        st.sampled_from(["f4", "f8", "i2", "u1", "?"]),
        arrays_of.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
    ),
    arrays_of.arrays(st.sampled_from(["f4", "i8", "U3", "S2", "?"]), arrays_of.array_shapes(min_side=0, max_side=4)),
)
def test_any_arrays_come_back_or_are_refused(make, x, y):
    path = make.arrays("any.npz", x=x, y=y)
    try:
        form, source, target = read_domains(path, path)
    except InputError:
        return
    np.testing.assert_array_equal(source.x, x.astype("float32"))
    np.testing.assert_array_equal(target.x, source.x)
    meant = y.astype(str) if y.dtype.kind == "S" else y
    assert form.classes.decode(source.y) == meant.ravel().tolist()


@given(st.binary(max_size=300), st.integers(0, 500), st.integers(0, 50))
def test_any_bytes_are_arrays_or_refused(make, content, begin, length):
    whole = make.arrays("t.npz", x=X, y=Y).read_bytes()
    path = make.text("any.npz", whole[:begin] + content + whole[begin + length :])
    try:
        _, source, _ = read_domains(path, path)
    except InputError:
        return
    np.testing.assert_array_equal(source.x, X)  # the checksums inside hold
