"""Drift: what is not seen here is pushed, and what is seen where nothing moved stops every run."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextclick.components import data_drift
from nextclick.components.ranking import Sessions

counts = st.lists(st.integers(0, 50), min_size=3, max_size=3).map(np.array)
THIRDS = np.array([0, 1, 2], np.int64)


def counted(*sessions):
    found = data_drift.DataCounts(THIRDS)
    offsets = np.cumsum([0, *map(len, sessions)])
    items = np.array([item for session in sessions for item in session], np.int32)
    found.add(Sessions(items, offsets, np.zeros(len(sessions), np.int64)))
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
    lengths, popularity = data_drift.tables(counted([0, 1]), counted([-1, 2, 2], [0, 0]))
    assert lengths["bins"] == ["1", "2", "3-4", "5-9", "10-19", "20+"]
    assert lengths["train"] == [0, 1, 0, 0, 0, 0]
    assert lengths["test"] == [0, 0.5, 0.5, 0, 0, 0]
    assert popularity["test"] == pytest.approx([2 / 5, 0, 2 / 5, 1 / 5])


def test_nothing_to_compare_is_no_drift():
    assert set(data_drift.figures(counted([0, 1]), counted()).values()) == {0.0}
