import hashlib
import io
import os
import tarfile
import zipfile
from importlib import resources

import numpy as np
import pytest
from PIL import Image

from flipgrad.data import mnist_m, samples
from flipgrad.data.mnist import mnist
from flipgrad.data.mnist_m import bsds500_photos, generated, load, official
from flipgrad.data.samples import Samples, Splits, sha256
from flipgrad.errors import InputError

TRAIN = "3c689850ded80df111260294d02c79ee0a6e602a9fd634c4e08e1339628f8d33"
TEST = "47415b066fe8a39de3f0e86f65a72d4c4078f1e2557a388ca0a7cfd8dfe90b14"


@pytest.fixture(scope="module")
def published(real_data):
    return official(real_data, download=False)


def test_the_published_set_is_rebuilt_bit_for_bit(published):
    assert published.train.x.shape == (59001, 32, 32, 3)
    assert published.test.x.shape == (9001, 32, 32, 3)
    assert sha256(published.train.x) == TRAIN
    assert sha256(published.test.x) == TEST
    assert published.train.y.dtype == np.int32


def test_it_begins_with_the_images_decoded_from_the_published_files(published, real_data):
    with np.load(real_data / "mnist_m" / "mnist_m_official_sample.npz") as sample:
        for name, part in (("train", published.train), ("test", published.test)):
            np.testing.assert_array_equal(part.x[:500], sample[f"x_{name}"])
            np.testing.assert_array_equal(part.y[:500], sample[f"y_{name}"])


def test_size_28_is_the_middle(published, real_data):
    small = official(real_data, size=28, download=False)
    np.testing.assert_array_equal(small.test.x, published.test.x[:, 2:-2, 2:-2])
    np.testing.assert_array_equal(small.train.x[::50], published.train.x[::50, 2:-2, 2:-2])
    assert small.train.x.flags.c_contiguous


def test_the_packaged_index_is_the_known_one():
    index = resources.files("flipgrad.data") / "mnist_m_official_index.npz"
    expected = "9ddbe96dfff57545bca18c5a6b0ff6240dbf352b5a3866753605804f08f07e88"
    assert hashlib.sha256(index.read_bytes()).hexdigest() == expected


def test_another_size_is_refused():
    with pytest.raises(InputError, match="size must be 32 or 28, received 30"):
        official(size=30)


def test_wrong_pixels_are_refused(real_data, monkeypatch):
    photos = [photo ^ 1 for photo in bsds500_photos(real_data, download=False)]
    monkeypatch.setattr(mnist_m, "bsds500_photos", lambda *arguments: photos)
    with pytest.raises(InputError, match="train images of MNIST-M must have SHA-256 3c68"):
        official(real_data, download=False)


def test_the_saved_published_set_is_checked_when_loaded(published, tmp_path):
    path = tmp_path / "mnist_m.npz"
    samples.save(path, published)
    again = load(path)
    np.testing.assert_array_equal(again.test.x, published.test.x)
    wrong = Samples(published.test.x, (published.test.y + 1) % 10)
    samples.save(path, Splits(published.train, None, wrong))
    with pytest.raises(InputError, match="test labels of MNIST-M must have SHA-256"):
        load(path)


def test_generated_follows_the_rule_and_the_seed(real_data):
    digits = mnist(real_data, download=False)
    photos = bsds500_photos(real_data, download=False)
    splits = generated(real_data, seed=1, download=False)
    assert splits.train.x.shape == (60000, 28, 28, 3)
    assert splits.test.x.shape == (10000, 28, 28, 3)
    np.testing.assert_array_equal(splits.train.y, digits.train.y)
    again = mnist_m.generate(digits.test.x, photos, np.random.SeedSequence(1).spawn(2)[1])
    np.testing.assert_array_equal(splits.test.x, again)
    image, digit = splits.test.x[3], digits.test.x[3][..., None]
    background = np.where(digit > 0, 255 - image, image)
    assert any(occurs_in(background, photo) for photo in photos)


def occurs_in(crop, photo):
    windows = np.lib.stride_tricks.sliding_window_view(photo, crop.shape[:2], axis=(0, 1))
    candidates = (windows[..., 0, 0] == crop[0, 0]).all(axis=-1)
    return any((w.transpose(1, 2, 0) == crop).all() for w in windows[candidates])


def test_the_real_photographs(real_data):
    photos = bsds500_photos(real_data, download=False)
    assert len(photos) == 200
    assert {photo.shape for photo in photos} == {(321, 481, 3), (481, 321, 3)}
    assert {photo.dtype for photo in photos} == {np.dtype(np.uint8)}


def test_a_truncated_real_archive(real_data, tmp_path, no_files):
    with open(real_data / "bsds500" / "BSR_bsds500_images.tgz", "rb") as file:
        (tmp_path / "BSR_bsds500_images.tgz").write_bytes(file.read(1_000_000))
    with pytest.raises(InputError, match=r"BSR_bsds500_images\.tgz.*cut short"):
        bsds500_photos(tmp_path, download=False)


def jpeg(seed):
    pixels = np.random.default_rng(seed).integers(0, 256, size=(40, 50, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG")
    return file.getvalue()


PHOTOS = {"12.jpg": jpeg(0), "3.jpg": jpeg(1)}  # in the order of their names


def write_archive(path, members):
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, contents in members.items():
                archive.writestr(name, contents)
        return
    with tarfile.open(path, "w:gz") as archive:
        for name, contents in members.items():
            entry = tarfile.TarInfo(name)
            if isinstance(contents, bytes):
                entry.size = len(contents)
                archive.addfile(entry, io.BytesIO(contents))
            else:
                entry.type, entry.linkname = contents
                archive.addfile(entry)


@pytest.fixture
def two_photos(monkeypatch, no_files):
    checksum = hashlib.sha256(b"".join(PHOTOS.values())).hexdigest()
    monkeypatch.setattr(mnist_m, "_PHOTOS_CHECKSUM", checksum)
    monkeypatch.setattr(mnist_m, "_PHOTO_COUNT", 2)


@pytest.mark.parametrize(
    ("name", "top"),
    [
        ("BSR_bsds500.tgz", "BSR/"),
        ("BSR_bsds500_images.tgz", "BSR/"),
        ("BSDS500-master.zip", "BSDS500-master/"),
    ],
)
def test_every_kind_of_archive(tmp_path, two_photos, name, top):
    folder = f"{top}BSDS500/data/images"
    others = {f"{folder}/test/7.jpg": b"x", f"{folder}/train/Thumbs.db": b"x", "readme": b"x"}
    photos = {f"{folder}/train/{name}": PHOTOS[name] for name in ("3.jpg", "12.jpg")}
    write_archive(tmp_path / name, others | photos)
    found = bsds500_photos(tmp_path, download=False)
    assert len(found) == 2
    for photo, contents in zip(found, PHOTOS.values(), strict=True):
        np.testing.assert_array_equal(photo, np.asarray(Image.open(io.BytesIO(contents))))


FOLDER = "BSR/BSDS500/data/images/train"


@pytest.mark.parametrize(
    "members",
    [
        {},
        {f"{FOLDER}/3.jpg": PHOTOS["3.jpg"]},
        {f"{FOLDER}/12.jpg": PHOTOS["3.jpg"], f"{FOLDER}/3.jpg": PHOTOS["12.jpg"]},
        {f"{FOLDER}/12.jpg": PHOTOS["12.jpg"], f"{FOLDER}/3.jpg": (tarfile.SYMTYPE, "/etc/passwd")},
        {f"{FOLDER}/12.jpg": PHOTOS["12.jpg"], f"{FOLDER}/3.jpg": (tarfile.LNKTYPE, "../../x")},
        {f"{FOLDER}/12.jpg": PHOTOS["12.jpg"], f"{FOLDER}/../../3.jpg": PHOTOS["3.jpg"]},
        {f"{FOLDER}/12.jpg": PHOTOS["12.jpg"], f"{FOLDER}/3.jpg": bytes(1_000_001)},
    ],
)
def test_an_archive_with_other_or_malicious_members(tmp_path, two_photos, members):
    before = sorted(os.listdir(tmp_path))
    write_archive(tmp_path / "BSR_bsds500.tgz", members)
    with pytest.raises(InputError, match=r"BSR_bsds500\.tgz.*delete it"):
        bsds500_photos(tmp_path, download=False)
    assert sorted(os.listdir(tmp_path)) == sorted([*before, "BSR_bsds500.tgz"])  # nothing unpacked


def test_an_archive_that_unpacks_without_end(tmp_path, two_photos, monkeypatch):
    monkeypatch.setattr(mnist_m, "_ARCHIVE_BYTES", 1000)
    write_archive(tmp_path / "BSR_bsds500.tgz", {"big": bytes(2000)})
    with pytest.raises(InputError, match="more than 1000 bytes"):
        bsds500_photos(tmp_path, download=False)


@pytest.mark.parametrize("name", ["BSR_bsds500.tgz", "BSDS500-master.zip"])
@pytest.mark.parametrize("contents", [b"", b"no archive\n" * 100])
def test_a_file_that_is_no_archive(tmp_path, two_photos, name, contents):
    (tmp_path / name).write_bytes(contents)
    with pytest.raises(InputError) as caught:
        bsds500_photos(tmp_path, download=False)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_all_missing_files_are_named_at_once(tmp_path, no_files):
    with pytest.raises(InputError) as caught:
        official(tmp_path, download=False)
    for name in ("train-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz", "BSR_bsds500.tgz"):
        assert name in str(caught.value)
