import hashlib

import numpy as np
import pytest

from flipgrad.data.samples import Samples, Splits, checksums, load, save, sha256
from flipgrad.errors import InputError


def part(n, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 256, size=(n, 4, 4, 3), dtype=np.uint8)
    return Samples(x, rng.integers(0, 10, size=n).astype(np.int32))


def assert_equal(one, other):
    for a, b in zip(one, other, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            np.testing.assert_array_equal(a.x, b.x)
            np.testing.assert_array_equal(a.y, b.y)
            assert a.x.dtype == b.x.dtype
            assert a.y.dtype == b.y.dtype


def test_checksum_is_that_of_the_bytes_in_c_order():
    a = np.arange(6, dtype=np.uint8).reshape(2, 3)
    assert sha256(a) == hashlib.sha256(bytes(range(6))).hexdigest()
    assert sha256(np.asfortranarray(a)) == sha256(a)
    assert sha256(a[:, ::-1]) != sha256(a)
    assert checksums({"a": a, "b": a + 1}) == {"a": sha256(a), "b": sha256(a + 1)}


@pytest.mark.parametrize("validation", [None, part(3, 1)])
def test_round_trip(tmp_path, validation):
    splits = Splits(part(5), validation, part(2, 2))
    save(tmp_path / "a.npz", splits)
    assert_equal(load(tmp_path / "a.npz"), splits)
    assert [p.name for p in tmp_path.iterdir()] == ["a.npz"]


def test_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    old = Splits(part(5), None, part(2))
    save(tmp_path / "a.npz", old)

    def fail(file, **arrays):
        file.write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(np, "savez", fail)
    with pytest.raises(InputError, match="no space left"):
        save(tmp_path / "a.npz", Splits(part(9), None, part(9)))
    assert [p.name for p in tmp_path.iterdir()] == ["a.npz"]
    assert_equal(load(tmp_path / "a.npz"), old)


def test_save_refuses_other_names_and_missing_folders(tmp_path):
    splits = Splits(part(1), None, part(1))
    with pytest.raises(InputError, match=r"must end in \.npz"):
        save(tmp_path / "a.h5", splits)
    with pytest.raises(InputError, match="cannot be written"):
        save(tmp_path / "none" / "a.npz", splits)


def damaged(path, how):
    save(path, Splits(part(50), None, part(20)))
    contents = path.read_bytes()
    if how == "empty":
        path.write_bytes(b"")
    elif how == "cut short":
        path.write_bytes(contents[: len(contents) // 2])
    elif how == "flipped byte":
        at = len(contents) // 3
        path.write_bytes(contents[:at] + bytes([contents[at] ^ 255]) + contents[at + 1 :])
    elif how == "text":
        path.write_text("not an archive\nat all\n")
    elif how == "pickle":
        np.savez(path, x_train=np.array([{}]), y_train=0, x_test=0, y_test=0)
    elif how == "other arrays":
        np.savez(path, a=np.zeros(3))
    elif how == "unequal":
        np.savez(path, x_train=np.zeros((3, 2)), y_train=np.zeros(4), x_test=[0], y_test=[0])
    elif how == "one array":
        with path.open("wb") as file:
            np.save(file, np.zeros(3))
    elif how == "missing":
        path.unlink()


@pytest.mark.parametrize(
    "how",
    [
        *("empty", "cut short", "flipped byte", "text", "pickle", "other arrays", "unequal"),
        *("one array", "missing"),
    ],
)
def test_load_names_a_file_that_it_cannot_use(tmp_path, how):
    path = tmp_path / "a.npz"
    damaged(path, how)
    with pytest.raises(InputError) as caught:
        load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
