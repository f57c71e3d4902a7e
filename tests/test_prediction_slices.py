"""Slices of predictions: a prediction in the wrong slice hides where a model fails."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextclick.components import prediction_slices as slices

THIRDS = np.array([0, 1, 1, 2, 2], np.int64)


def codes(items, types=()):
    return slices.session_codes(np.array(items, np.int32), THIRDS, np.array(types, np.int64))


def test_positions_by_the_clicks_before():
    assert slices.position_codes(np.array([12])).tolist() == [0, 1, 2, 3, 3, 4, 4, 4, 4, 5, 5, 5]
    assert slices.position_codes(np.array([2, 0, 4])).tolist() == [0, 1, 0, 1, 2, 3]


def test_thirds_are_thirds_of_the_clicks():
    # Of 12 clicks: the first item has 5, the next two begin at 5 and 8, the last at 10 and 11.
    assert slices.popularity_thirds(np.array([5, 3, 2, 1, 1])).tolist() == [0, 1, 2, 2, 2]
    assert slices.popularity_thirds(np.array([1, 5])).tolist() == [2, 0]
    assert slices.popularity_thirds(np.array([], np.int64)).tolist() == []


def test_repeats_new_items_and_unknown_ones():
    found = codes([0, 0, 1, -1, 0, -1])
    assert found["next_item"].tolist() == [0, 1, -1, 0, -1]
    assert found["popularity"].tolist() == [0, 1, 3, 0, 3]
    assert found["prefix"].tolist() == [0, 0, 0, 1, 1]


def test_event_types_are_those_of_the_next_event():
    assert codes([0, 1, 2], types=[0, 1, -1])["event_type"].tolist() == [1, -1]


def test_event_types_of_other_events_than_the_items_are_not_used():
    assert codes([0, 1, 2], types=[0, 1])["event_type"].tolist() == [-1, -1]


@given(st.lists(st.integers(-1, 4), min_size=1, max_size=12))
def test_codes_equal_a_naive_loop(items):
    found = codes(items)
    for i in range(1, len(items)):
        target, before = items[i], items[:i]
        assert found["popularity"][i - 1] == (3 if target == -1 else THIRDS[target])
        assert found["next_item"][i - 1] == (-1 if target == -1 else 0 if target in before else 1)
        assert found["prefix"][i - 1] == (1 if -1 in before else 0)
    assert {len(values) for values in found.values()} == {len(items) - 1}


def test_codes_are_read_and_those_that_fit_no_prediction_are_not():
    batch = pa.RecordBatch.from_pydict(
        {
            "slice_popularity": [[2, 0], [1]],
            "slice_prefix": [[0, 1], None],  # the second session has none
            "slice_next_item": [[1], [0]],  # the first has too few
        }
    )
    found = slices.read_codes(batch, np.array([2, 1]))
    assert {name: values.tolist() for name, values in found.items()} == {
        "position": [0, 1, 0],
        "popularity": [2, 0, 1],
        "prefix": [0, 1, -1],
        "next_item": [-1, -1, 0],
        "event_type": [-1, -1, -1],
    }


@pytest.mark.parametrize("name", ["position", "popularity", "next_item", "prefix", "event_type"])
def test_every_code_has_a_label(name):
    (dimension,) = [one for one in slices.dimensions(("click", "cart")) if one.name == name]
    assert len(set(dimension.labels)) == len(dimension.labels) > 1
