"""Which kind of input a path is, by its name or by its content."""

import gzip
import subprocess
import sys
import zipfile
from contextlib import suppress

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flipgrad.errors import InputError
from flipgrad.inputs import read_domain, read_domains

X = np.arange(24, dtype="float32").reshape(6, 4)
Y = np.array([0, 1, 2, 0, 1, 2])
COUNTS = b"+1 1:2 3:1\n-1 2:4 # a comment\n\n1 3:3\n"


def test_kinds_are_recognised_by_content(make):
    (make.folder / "a").write_bytes(make.arrays("x.npz", x=X, y=Y).read_bytes())
    pl.DataFrame({"n": [1, 2, 3], "y": ["a", "b", "a"]}).write_parquet(make.folder / "b")
    kinds = {
        "a": "arrays",
        "b": "table",
        "c": "table",
        "d": "sparse",
        "e": "sparse",
        "f.txt": "sparse",
        "x.npz": "arrays",
    }
    make.text("c", b"n,y\n1,a\n2,b\n")
    make.text("d", COUNTS)
    make.text("e", gzip.compress(COUNTS))
    make.text("f.txt", b"# words\n" + COUNTS)
    for name, kind in kinds.items():
        assert read_domains(make.folder / name, make.folder / name)[0].kind == kind


@pytest.mark.parametrize(
    "content",
    [b"hello", b"PK\x03\x04", b"\x1f\x8b", gzip.compress(b"n,y\n1,a\n"), b"\x89PNG\r\n\x1a\n", b"{}", b"\0,\0"],
)
def test_other_files(make, content):
    good = make.text("g.svm", COUNTS)
    with pytest.raises(
        InputError, match=r"target: expected a folder of images, a table .*received a file of another kind"
    ):
        read_domains(good, make.text("other.bin", content))


def test_reading_needs_no_backend(make):
    """The command line reads the data before it chooses one, and --help must be quick."""
    path = make.arrays("s.npz", x=X, y=Y)
    code = (
        "import sys\n"
        "from flipgrad import inputs\n"
        "assert not {'polars', 'sklearn', 'PIL'} & set(sys.modules)\n"
        "inputs.read_domains(sys.argv[1], sys.argv[1])\n"
        "assert not {'keras', 'tensorflow', 'jax', 'torch'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_every_public_name_is_there():
    import flipgrad.inputs

    for name in flipgrad.inputs.__all__:
        assert getattr(flipgrad.inputs, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'read'"):
        _ = flipgrad.inputs.read


@given(st.sampled_from([b"", b"PK\x03\x04", b"\x1f\x8b", b"PAR1", b"1 1:1\n", b"a,b\n"]), st.binary(max_size=200))
def test_any_file_is_read_or_refused(make, start, content):
    good = make.text("g.svm", COUNTS)
    with suppress(InputError):
        read_domains(make.text("any", start + content), good)


def test_other_zip_archives(make):
    with zipfile.ZipFile(make.folder / "a.zip", "w") as archive:
        archive.writestr("1.png", b"?")
    with pytest.raises(InputError, match="a file of another kind"):
        read_domains(make.folder / "a.zip", make.folder / "a.zip")


def test_nothing_there(make):
    with pytest.raises(InputError, match=r"source: .*a path where nothing is: .*nowhere"):
        read_domains(make.folder / "nowhere", make.folder)
    with pytest.raises(InputError, match=r"source: .*(cannot be read|nothing is)"):
        read_domains("a\0b", make.folder)
    with pytest.raises(InputError, match=r"source: .*something else: '/dev/null'"):
        read_domains("/dev/null", make.folder)


def test_two_kinds(make):
    with pytest.raises(InputError, match="two of one kind, received sparse and arrays"):
        read_domains(make.text("s.svm", COUNTS), make.arrays("t.npz", x=X))
    form, *_ = read_domains(make.arrays("s.npz", x=X, y=Y), make.folder / "t.npz")
    with pytest.raises(InputError, match="input: expected arrays, as in training, received sparse"):
        read_domain(make.folder / "s.svm", form, labelled=False)


def test_options_of_another_kind(make):
    path = make.arrays("s.npz", x=X, y=Y)
    with pytest.raises(InputError, match="label: expected with tables only, received 'y' with arrays"):
        read_domains(path, path, label="y")
    with pytest.raises(InputError, match="size: expected with images only, received 64 with arrays"):
        read_domains(path, path, size=64)
