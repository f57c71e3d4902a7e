"""Encoding and windows, at their edges: a shifted index spoils training and serving alike."""

import itertools

import pytest
import tensorflow as tf

from nextclick.components import features


def strings(rows):
    return tf.ragged.constant(rows, dtype=tf.string, ragged_rank=1)


def integers(rows):
    return tf.ragged.constant(rows, dtype=tf.int64, ragged_rank=1)


@pytest.mark.parametrize(
    "sessions",
    [
        tf.ragged.constant([[1, 2, 3], [], [4]]),
        tf.sparse.from_dense([[1, 2, 3], [0, 0, 0], [4, 0, 0]]),
    ],
    ids=["ragged", "sparse"],
)
def test_ragged_and_sparse_sessions_become_the_same(sessions):
    assert features.to_ragged(sessions).to_list() == [[1, 2, 3], [], [4]]


def test_empty_ids_are_dropped_wherever_they_stand():
    cleaned = features.clean(strings([["", "a", "", "b", ""], [""], [], [" "]]))
    assert cleaned.to_list() == [[b"a", b"b"], [], [], [b" "]]


def test_dense_sessions_padded_with_empty_ids_are_cleaned():
    dense = tf.constant([["a", "", ""], ["a", "b", ""]])
    assert features.clean(features.to_ragged(dense)).to_list() == [[b"a"], [b"a", b"b"]]


def test_of_consecutive_repeats_the_first_stays():
    collapsed = features.collapse_repeats(strings([["a", "a", "b", "a", "a"], ["a"], [], ["b", "b"], ["b", "c"]]))
    assert collapsed.to_list() == [[b"a", b"b", b"a"], [b"a"], [], [b"b"], [b"b", b"c"]]


def test_known_items_follow_the_unknown_indices_and_padding_is_never_given():
    ids = strings([["a", "new", "b"], [], ["newer"]])
    positions = integers([[0, -1, 1], [], [-1]])
    assert features.encode(ids, positions, 1).to_list() == [[2, 1, 3], [], [1]]


def test_unknown_items_share_the_buckets_by_a_fingerprint_that_never_changes():
    ids = strings([[f"item {number}" for number in range(200)]])
    encoded = features.encode(
        ids, tf.ragged.map_flat_values(lambda v: tf.fill(tf.shape(v), tf.constant(-1, tf.int64)), ids), 3
    )
    assert set(encoded.to_list()[0]) == {1, 2, 3}
    assert encoded.to_list()[0][:6] == [1, 1, 3, 3, 2, 3]


def test_newest_items_are_the_last_ones():
    assert features.newest(integers([[1, 2, 3, 4], [5], []]), 3).to_list() == [[2, 3, 4], [5], []]


@pytest.mark.parametrize(
    ("items", "windows"),
    [
        ([], []),
        ([1], []),
        ([1, 2], [[1, 2]]),
        ([1, 2, 3], [[1, 2, 3]]),
        ([1, 2, 3, 4], [[1, 2, 3, 4]]),
        ([1, 2, 3, 4, 5], [[1, 2, 3, 4], [4, 5]]),
        ([1, 2, 3, 4, 5, 6, 7], [[1, 2, 3, 4], [4, 5, 6, 7]]),
        ([1, 2, 3, 4, 5, 6, 7, 8], [[1, 2, 3, 4], [4, 5, 6, 7], [7, 8]]),
    ],
    ids=lambda value: str(len(value)),
)
def test_windows_of_three_inputs_overlap_by_one_item(items, windows):
    assert features.cut_windows(integers([items]), 3).to_list() == [windows]


def test_windows_stay_within_their_session_and_hold_every_pair_once():
    sessions = [[1, 2, 3, 4, 5, 6], [], [11, 12], [21], [31, 32, 33, 34, 35]]
    cut = features.cut_windows(integers(sessions), 2).to_list()
    pairs = [[pair for window in windows for pair in itertools.pairwise(window)] for windows in cut]
    assert pairs == [list(itertools.pairwise(session)) for session in sessions]


def test_no_sessions_give_no_windows():
    assert features.cut_windows(integers([]), 5).to_list() == []


def test_dense_sessions_have_a_column_even_where_all_are_empty():
    assert features.to_dense(integers([[], []])).numpy().tolist() == [[0], [0]]
    assert features.to_dense(integers([[7, 8], [9]])).numpy().tolist() == [[7, 8], [9, 0]]
