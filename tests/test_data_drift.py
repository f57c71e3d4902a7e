"""Drift: what is not seen here is pushed, and what is seen where nothing moved stops every run."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextclick.components import data_drift
from nextclick.components.ranking import Sessions

counts = st.lists(st.integers(0, 50), min_size=3, max_size=3).map(np.array)
THIRDS = np.array([0, 1, 2], np.int64)


def counted(*sessions, types=()):
    found = data_drift.DataCounts(THIRDS)
    offsets = np.cumsum([0, *map(len, sessions)])
    items = np.array([item for session in sessions for item in session], np.int32)
    found.add(Sessions(items, offsets, np.zeros(len(sessions), np.int64)), types)
    return found


def test_divergence_of_nothing_in_common_is_one():
    assert data_drift.divergence(np.array([4, 0]), np.array([0, 9])) == pytest.approx(1)


def test_divergence_of_equal_shares_is_zero():
    assert data_drift.divergence(np.array([1, 3]), np.array([20, 60])) == pytest.approx(0)


def test_divergence_by_hand():
    # Shares (1/2, 1/2) and (1, 0), middle (3/4, 1/4), in bits.
    expected = (0.5 * np.log2(2 / 3) + 0.5 * np.log2(2) + np.log2(4 / 3)) / 2
    assert data_drift.divergence(np.array([5, 5]), np.array([7, 0])) == pytest.approx(expected)


@given(counts, counts)
def test_divergence_is_symmetric_and_between_zero_and_one(one, other):
    found = data_drift.divergence(one, other)
    assert found == pytest.approx(data_drift.divergence(other, one))
    assert -1e-12 <= found <= 1 + 1e-12


def test_unknown_items_are_told_apart_by_where_they_stand():
    found = data_drift.figures(counted([0, 1]), counted([-1, 0, -1], [0, -1], [1, 2]))
    assert found["unknown_inputs"] == pytest.approx(1 / 4)
    assert found["unknown_targets"] == pytest.approx(2 / 4)


def test_equal_data_does_not_drift():
    found = data_drift.figures(counted([0, 1], [2, 1, 0]), counted([1, 0], [0, 2, 1]))
    assert found["drift/session_length"] == found["drift/popularity"] == 0.0


def test_other_lengths_and_other_items_drift():
    found = data_drift.figures(counted([0, 0], [0, 0]), counted([2] * 30))
    assert found["drift/session_length"] == found["drift/popularity"] == pytest.approx(1)


def test_tables_hold_the_shares_behind_the_figures():
    lengths, popularity, types, items = data_drift.tables(counted([0, 1]), counted([-1, 2, 2], [0, 0]))
    assert lengths["bins"] == ["1", "2", "3-4", "5-9", "10-19", "20+"]
    assert lengths["train"] == [0, 1, 0, 0, 0, 0]
    assert lengths["test"] == [0, 0.5, 0.5, 0, 0, 0]
    assert popularity["test"] == pytest.approx([2 / 5, 0, 2 / 5, 1 / 5])
    assert types["bins"] == ["other"]
    assert items["bins"] == ["1", "2", "3", "other", "unknown"]
    assert items["train"] == [0.5, 0.5, 0, 0, 0]
    assert items["test"] == pytest.approx([2 / 5, 0, 2 / 5, 0, 1 / 5])


def test_nothing_to_compare_is_no_drift():
    assert set(data_drift.figures(counted([0, 1]), counted()).values()) == {0.0}


def test_greatest_change_by_hand():
    # Shares (1/2, 1/4, 1/4) and (1/4, 1/4, 1/2).
    assert data_drift.greatest_change(np.array([2, 1, 1]), np.array([1, 1, 2])) == pytest.approx(1 / 4)


@given(counts, counts)
def test_greatest_change_is_symmetric_and_no_more_than_one(one, other):
    found = data_drift.greatest_change(one, other)
    assert found == data_drift.greatest_change(other, one)
    assert 0 <= found <= 1


def drifts(training, test):
    """The drifts above 0.05, and how great they are."""
    found = data_drift.figures(training, test)
    return {name.partition("/")[2]: value for name, value in found.items() if "/" in name and value > 0.05}


def test_other_event_types_are_seen_alone():
    usual, sale = [b"click"] * 9 + [b"cart"], [b"click"] * 5 + [b"cart", b"cart", b"cart", b"cart", b"order"]
    found = drifts(counted([0, 1], [0, 1], types=usual), counted([0, 1], [0, 1], types=sale))
    assert found == {"event_type": pytest.approx(0.4)}


def test_event_type_that_training_has_not_is_seen():
    found = drifts(counted([0, 1], types=[b"click"] * 2), counted([0, 1], types=[b"click", b"view"]))
    assert found == {"event_type": pytest.approx(0.5)}


def test_longer_sessions_of_the_same_clicks_are_seen_by_their_length_alone():
    found = drifts(counted(*[[0, 1]] * 6), counted(*[[0, 1] * 3] * 2))
    assert found == {"session_length": pytest.approx(1)}


def test_item_that_becomes_popular_is_seen_within_its_third():
    """Both items are of the head, where the divergence of popularities sees nothing."""
    thirds, sessions = np.array([0, 0, 2]), ([0, 1, 0, 1], [0, 1, 1, 1])
    before, after = (data_drift.DataCounts(thirds) for _ in range(2))
    for split, items in zip((before, after), sessions, strict=True):
        split.add(Sessions(np.array(items, np.int32), np.array([0, 4]), np.zeros(1, np.int64)))
    assert drifts(before, after) == {"items": pytest.approx(0.25)}


def test_unknown_items_are_seen():
    found = data_drift.figures(counted([0, 1]), counted([0, -1], [-1, -1]))
    assert found["unknown_targets"] == 1
    assert found["drift/items"] == pytest.approx(0.75)


def test_small_changes_stay_below_the_limits():
    before = counted(*[[0, 1, 2]] * 20, *[[0, 1]] * 20, types=[b"click"] * 90 + [b"cart"] * 10)
    after = counted(*[[0, 1, 2]] * 6, *[[0, 1]] * 5, types=[b"click"] * 27 + [b"cart"] * 4)
    assert max(value for name, value in data_drift.figures(before, after).items() if "/" in name) < 0.05


def test_tail_items_stand_together():
    thirds = np.zeros(50, np.int64)
    before, after = data_drift.DataCounts(thirds), data_drift.DataCounts(thirds)
    before.add(Sessions(np.repeat(np.arange(50), 2).astype(np.int32), np.array([0, 100]), np.zeros(1, np.int64)))
    after.add(Sessions(np.arange(25, 50).astype(np.int32), np.array([0, 25]), np.zeros(1, np.int64)))
    items = data_drift.tables(before, after)[3]
    assert len(items["bins"]) == 22
    assert items["train"][20:] == pytest.approx([0.6, 0])
    assert items["test"][20:] == pytest.approx([1, 0])
