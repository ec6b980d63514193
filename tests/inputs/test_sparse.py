"""Sparse counts from svmlight files: what was written is read, and every refusal."""

import gzip

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from sklearn.datasets import dump_svmlight_file

from flipgrad.errors import InputError
from flipgrad.inputs import read_domain, read_domains, sparse

COUNTS = b"+1 1:2 3:1\n-1 2:4 # a comment\n\n1 3:3\n"


def test_svmlight(make, heard):
    path = make.text("s.svmlight", COUNTS)
    form, source, target = read_domains(path, make.text("t.svmlight", b"0 1:1 5:2\n0\n"), report=heard.append)
    assert (form.kind, form.shape, form.detail) == ("sparse", (5,), {"counts": True, "zero_based": False})
    assert source.x.tolist() == [[2, 0, 1, 0, 0], [0, 4, 0, 0, 0], [0, 0, 3, 0, 0]]
    assert target.x.tolist() == [[1, 0, 0, 0, 2], [0] * 5]
    assert source.x.dtype == np.float32
    assert form.classes.decode(source.y) == [1, -1, 1]
    assert form.classes.type == "int"
    assert target.y is None
    assert heard[0] == "target: the labels of the svmlight file are ignored"


def test_a_feature_0_in_one_domain_counts_for_both(make):
    form, source, target = read_domains(make.text("s.svm", COUNTS), make.text("t.svm", b"0 0:7\n"))
    assert form.detail["zero_based"]
    assert form.shape == (4,)
    assert source.x[0].tolist() == [0, 2, 0, 1]
    assert target.x.tolist() == [[7, 0, 0, 0]]


def test_packed_or_not_whatever_the_name(make):
    plain = make.text("s.libsvm", COUNTS)
    for name in ("s.svmlight.gz", "s.svm", "packed"):
        packed = make.text(name, gzip.compress(COUNTS))
        np.testing.assert_array_equal(read_domains(packed, plain)[1].x, read_domains(plain, plain)[1].x)


def test_fractions_are_no_counts(make):
    plain = make.text("s.svm", COUNTS)
    for content in (b"1 1:0.5\n", b"1 1:-2\n"):
        assert not read_domains(plain, make.text("t.svm", content))[0].detail["counts"]


def test_sparse_features_read_again(make, heard):
    plain = make.text("s.svm", COUNTS)
    form, *_ = read_domains(plain, plain)
    again = read_domain(make.text("e.svm", b"1 1:2 3:1 9:5 10:1\n-1 4:1\n"), form, labelled=True, report=heard.append)
    assert again.x.tolist() == [[2, 0, 1], [0, 0, 0]]
    assert again.y.tolist() == [1, 0]
    assert heard == ["input: dropped 3 features beyond the 3 of the training data"]
    with pytest.raises(InputError, match=r"numbered from 1 on, as in training, received a feature 0"):
        read_domain(make.text("e.svm", b"1 0:2\n"), form, labelled=False)
    with pytest.raises(InputError, match=r"input, labels: expected the classes -1, 1, received .* 3"):
        read_domain(make.text("e.svm", b"3 1:2\n"), form, labelled=True)
    assert read_domain(make.folder / "e.svm", form, labelled=False).y is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "an empty file"),
        (b"# nothing\n", "at least one row"),
        (b"1 2:1 1:1\n", "ascending order"),
        (b"1 a:1\n", "expected lines such as"),
        (b"1 1:hush\n", "expected lines such as"),
        (b"1:2 2:3\n", "write 0 where there is no label"),
        (b"1,2 1:1\n", "expected lines such as"),
        (b"1 -1:1\n", "expected lines such as"),
        (b"1 99999999999999999999:1\n", "expected lines such as"),
        (b"1 2147483646:1\n-1 1:1\n", "at most 4 GiB as dense float32 rows"),
        (b"1 1:nan\n-1 1:1\n", "expected finite numbers, .* in 1 of 2 rows, first in row 0"),
        (b"1 1:1\n-1 1:1e39\n", "beyond float32 in 1 of 2 rows, first in row 1"),
        (b"nan 1:1\n1 1:2\n", "labels: expected finite numbers"),
        (b"1 1:1\n1 2:1\n", "one only"),
        (b"1\n-1\n", "rows without any"),
        (gzip.compress(COUNTS)[:20], "damaged or unreadable"),
        (gzip.compress(COUNTS)[:-8] + b"????????", "damaged or unreadable"),
    ],
)
def test_bad_svmlight(make, content, message):
    path = make.text("s.svmlight", content)
    with pytest.raises(InputError, match=f"source.*{message}") as error:
        read_domains(path, path)
    assert "\n" not in str(error.value)


def test_errors_show_nothing_of_the_values(make):
    path = make.text("s.svm", b"1 1:secret\n")
    with pytest.raises(InputError, match="expected lines such as") as error:
        read_domains(path, path)
    assert "secret" not in str(error.value).replace(str(path), "")


def test_packed_text_without_end(make, monkeypatch):
    monkeypatch.setattr(sparse, "MOST_BYTES", 10_000)
    for content in (b"1 1:1\n" * 2000, b"#" * 2000):
        path = make.text("s.svm.gz", gzip.compress(content))
        with pytest.raises(InputError, match="of text, received more"):
            read_domains(path, path)


@given(
    arrays_of.arrays("f4", st.tuples(st.integers(1, 5), st.integers(1, 5)), elements=st.floats(-100, 100, width=16)),
    st.data(),
)
def test_any_svmlight_comes_back(make, x, data):
    y = data.draw(st.lists(st.integers(-3, 3), min_size=len(x), max_size=len(x)))
    path, zero_based = make.folder / "any.svm", data.draw(st.booleans())
    dump_svmlight_file(x, np.array(y), str(path), zero_based=zero_based)
    if len(set(y)) < 2 or not x.any():
        with pytest.raises(InputError):
            read_domains(path, path)
        return
    form, source, _ = read_domains(path, path)
    assert form.classes.decode(source.y) == y
    # Without any value of feature 0 its number shows nowhere, and neither do trailing zeros.
    used = np.flatnonzero(x.any(axis=0))
    first = 1 if zero_based and used[0] else 0
    np.testing.assert_array_equal(source.x, x[:, first : used[-1] + 1])


@given(st.binary(max_size=100) | st.text("0123456789:.-+e \n#nainf", max_size=60).map(str.encode))
def test_any_bytes_are_svmlight_or_refused(make, content):
    path = make.text("any.svm", COUNTS + content)
    try:
        form, source, _ = read_domains(path, path)
    except InputError:
        return
    assert source.x.shape == (len(source.y), *form.shape)
    assert source.x[0, :3].tolist() in ([2, 0, 1], [0, 2, 0])
