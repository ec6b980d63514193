import gzip
import hashlib
import shutil
import struct

import numpy as np
import pytest

from flipgrad.data import sources
from flipgrad.data.mnist import mnist, read_idx
from flipgrad.errors import InputError

ARRAY = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
RAW = struct.pack(">BBBBIII", 0, 0, 8, 3, *ARRAY.shape) + ARRAY.tobytes()
CHECKSUM = hashlib.sha256(RAW).hexdigest()


def test_read_idx(tmp_path):
    path = tmp_path / "a.gz"
    for level in (1, 9):  # however it was packed
        path.write_bytes(gzip.compress(RAW, level))
        result = read_idx(path, ARRAY.shape, CHECKSUM)
        np.testing.assert_array_equal(result, ARRAY)
        assert result.flags.writeable


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"", "SHA-256"),
        (b"not gzip at all", "cut short or damaged"),
        (gzip.compress(RAW)[:-12], "cut short or damaged"),
        (gzip.compress(RAW)[:30] + b"\xff\xff" + gzip.compress(RAW)[32:], "delete it"),
        (gzip.compress(RAW[:-1] + b"\x00"), "SHA-256"),
        (gzip.compress(RAW[:-1]), "SHA-256"),
        (gzip.compress(RAW + b"\x00"), "more bytes than these"),
    ],
)
def test_a_file_that_is_not_the_known_one(tmp_path, contents, message):
    path = tmp_path / "a.gz"
    path.write_bytes(contents)
    with pytest.raises(InputError, match=message) as caught:
        read_idx(path, ARRAY.shape, CHECKSUM)
    assert str(path) in str(caught.value)
    assert "delete it" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_files_are_all_named(tmp_path, no_files):
    with pytest.raises(InputError) as caught:
        mnist(tmp_path, download=False)
    for file in sources.MNIST.values():
        assert file.name in str(caught.value)


def test_the_real_set(real_data):
    train, validation, test = mnist(real_data, download=False)
    assert validation is None
    assert train.x.shape == (60000, 28, 28)
    assert test.x.shape == (10000, 28, 28)
    assert train.x.dtype == test.x.dtype == np.uint8
    assert train.y.dtype == test.y.dtype == np.int32
    assert train.y[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert test.y[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    counts = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert np.bincount(test.y).tolist() == counts


def test_a_truncated_real_file_is_named(real_data, tmp_path):
    shutil.copytree(real_data / "mnist", tmp_path / "mnist", copy_function=shutil.copyfile)
    cut = tmp_path / "mnist" / "t10k-images-idx3-ubyte.gz"
    cut.write_bytes(cut.read_bytes()[:100_000])
    with pytest.raises(InputError, match=r"t10k-images-idx3-ubyte\.gz.*cut short"):
        mnist(tmp_path, download=False)
