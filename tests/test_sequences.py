"""Flat rows: a wrong split mixes sessions, an unstable order makes two runs of one seed differ."""

import numpy as np

from nextclick.components import sequences

ROWS = [[3, 4], [], [5], [3, 4, 9], [4, 3], [5]]


def lists(rows):
    return [rows.values[a:b].tolist() for a, b in zip(rows.splits[:-1], rows.splits[1:], strict=True)]


def test_rows_come_back_as_they_were():
    rows = sequences.from_lists(ROWS)
    assert lists(rows) == ROWS
    assert rows.lengths.tolist() == [2, 0, 1, 3, 2, 1]
    assert len(rows) == 6


def test_no_rows_at_all():
    rows = sequences.from_lists([])
    assert len(rows) == 0
    assert len(sequences.in_stable_order(rows)) == 0


def test_taken_rows_keep_the_asked_order():
    assert lists(sequences.from_lists(ROWS).take(np.array([3, 1, 0, 3]))) == [[3, 4, 9], [], [3, 4], [3, 4, 9]]


def test_stable_order_forgets_the_order_of_arrival():
    generator = np.random.default_rng(0)
    rows = [generator.integers(1, 5, size=generator.integers(0, 6)).tolist() for _ in range(300)]
    wanted = lists(sequences.in_stable_order(sequences.from_lists(rows)))
    assert sorted(wanted) == sorted(rows)
    for _ in range(3):
        generator.shuffle(rows)
        assert lists(sequences.in_stable_order(sequences.from_lists(rows))) == wanted


def test_rows_of_the_same_items_in_another_order_are_told_apart():
    one = lists(sequences.in_stable_order(sequences.from_lists([[1, 2], [2, 1]])))
    assert one == lists(sequences.in_stable_order(sequences.from_lists([[2, 1], [1, 2]])))


def test_concatenation_keeps_both():
    both = sequences.concatenate(sequences.from_lists([[1], []]), sequences.from_lists([[2, 3]]))
    assert lists(both) == [[1], [], [2, 3]]
