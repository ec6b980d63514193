"""What is held out of a user's data, and how its files are told from others."""

import numpy as np
import pytest

from flipgrad.adaptation import checksums, hold_out
from flipgrad.inputs import Domain


def domain(labels, rows=None):
    count = len(labels) if labels is not None else rows
    y = None if labels is None else np.array(labels, "int32")
    return Domain(np.arange(count * 2.0, dtype="float32").reshape(count, 2), y, [str(n) for n in range(count)])


@pytest.mark.parametrize("seed", range(20))
def test_every_class_keeps_a_row_for_training(seed):
    whole = domain([0] * 30 + [1] * 30 + [2])
    train, held = hold_out(whole, seed)
    assert set(train.y) == {0, 1, 2}
    assert len(held) == 6
    assert sorted([*train.ids, *held.ids], key=int) == whole.ids
    for part in (train, held):
        rows = [int(name) for name in part.ids]
        np.testing.assert_array_equal(part.x, whole.x[rows])
        np.testing.assert_array_equal(part.y, whole.y[rows])


def test_nothing_is_held_out_twice_or_made_up():
    train, held = hold_out(domain([0, 1]), 0)
    assert (len(train), len(held)) == (2, 0)
    train, held = hold_out(domain(None, rows=1), 0)
    assert (len(train), len(held)) == (1, 0)
    train, held = hold_out(domain(None, rows=50_000), 0)
    assert len(held) == 1000
    assert not set(train.ids) & set(held.ids)


def test_every_row_name_and_label_is_in_the_checksum():
    whole = domain([0, 1] * 1500)
    before = checksums(source=whole, test=None)
    assert set(before) == {"source"}
    for change in ("x", "ids", "y"):
        other = domain([0, 1] * 1500)
        if change == "x":
            other.x[2345, 1] += 1
        elif change == "ids":
            other.ids[2345] = "other"
        else:
            other.y[2345] = 1 - other.y[2345]
        assert checksums(source=other)["source"] != before["source"]
