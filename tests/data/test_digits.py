import importlib

import numpy as np
import pytest

from flipgrad.data.digits import digits, photo_strips, split_rows
from flipgrad.errors import InputError

# `flipgrad.data.digits` is the function, which hides the module of that name.
module = importlib.import_module("flipgrad.data.digits")
PARTS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def pair():
    return digits(seed=0, copies=2)


def test_shapes_and_types(pair):
    for splits in pair:
        for samples, n in zip(splits, (2 * 1078, 359, 360), strict=True):
            assert samples.x.shape == (n, 28, 28, 3)
            assert samples.x.dtype == np.uint8
            assert samples.y.shape == (n,)
            assert samples.y.dtype == np.int32
            assert set(samples.y) == set(range(10))


def test_no_original_is_in_two_splits():
    _, labels = module._enlarged_digits()
    rows = split_rows(labels, seed=0)
    assert sorted(np.concatenate(list(rows.values()))) == list(range(1797))  # each exactly once
    for part in PARTS:  # stratified
        share = np.bincount(labels[rows[part]]) / len(rows[part])
        np.testing.assert_allclose(share, np.bincount(labels) / 1797, atol=0.005)


def test_the_images_come_from_the_originals_of_their_split(pair):
    images, labels = module._enlarged_digits()
    rows = split_rows(labels, seed=0)
    for part in PARTS:
        n = len(rows[part])
        samples = getattr(pair.source, part)
        np.testing.assert_array_equal(samples.x[:n, ..., 0], images[rows[part]])
        np.testing.assert_array_equal(samples.y[:n], labels[rows[part]])


def test_both_domains_show_the_same_originals_in_the_same_order(pair):
    strips = photo_strips()
    for part in PARTS:
        source, target = getattr(pair.source, part), getattr(pair.target, part)
        np.testing.assert_array_equal(source.y, target.y)
        for i in range(0, len(source.y), 97):
            inverted = source.x[i] > module.THRESHOLD
            background = np.where(inverted, 255 - target.x[i], target.x[i])
            assert any(occurs_in(background, strip) for strip in strips[part])


def occurs_in(crop, photo):
    windows = np.lib.stride_tricks.sliding_window_view(photo, (28, 28), axis=(0, 1))
    candidates = (windows[..., 0, 0] == crop[0, 0]).all(axis=-1)
    return any((w.transpose(1, 2, 0) == crop).all() for w in windows[candidates])


def test_the_backgrounds_of_the_splits_are_disjoint_regions(monkeypatch):
    used = [column for part in module.STRIPS.values() for column in part]
    assert len(used) == len(set(used))
    assert max(used) * module.STRIP + module.STRIP <= 640
    # the same on pixels: give every column of the photographs its number as a value
    numbers = np.broadcast_to(np.arange(640)[:, None], (427, 640, 3))
    monkeypatch.setattr(module, "load_sample_images", lambda: type("B", (), {"images": [numbers]}))
    columns = {part: set(np.unique(strips)) for part, strips in photo_strips().items()}
    assert not columns["train"] & columns["validation"]
    assert not columns["train"] & columns["test"]
    assert not columns["validation"] & columns["test"]


def test_copies_are_moved_and_evaluation_is_not_touched_by_them(pair):
    one = digits(seed=0, copies=1)
    for part in ("validation", "test"):
        for domain in (0, 1):
            a, b = getattr(one[domain], part), getattr(pair[domain], part)
            np.testing.assert_array_equal(a.x, b.x)
    first, second = np.split(pair.source.train.x[..., 0], 2)
    assert not np.array_equal(first, second)
    for original, moved in zip(first[:50], second[:50], strict=True):
        padded = np.pad(original, 2)
        shifts = [padded[i : i + 28, j : j + 28] for i in range(5) for j in range(5)]
        assert any(np.array_equal(moved, shift) for shift in shifts)


def test_the_seed_decides(pair):
    again, other = digits(seed=0, copies=2), digits(seed=1, copies=2)
    for a, b in zip(pair, again, strict=True):
        for part in PARTS:
            np.testing.assert_array_equal(getattr(a, part).x, getattr(b, part).x)
    assert not np.array_equal(other.target.test.x, pair.target.test.x)
    assert not np.array_equal(other.target.test.y, pair.target.test.y)


def test_copies_must_be_positive():
    with pytest.raises(InputError, match="copies must be at least 1, received 0"):
        digits(copies=0)
