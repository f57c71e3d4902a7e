"""Without these the best of a large catalogue could be others than the best of a small one, or in another order."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from nextclick.components import best_items


def naive(scores, top):
    """Columns by descending score, equal ones by column."""
    return np.argsort(-scores, axis=1, kind="stable")[:, :top]


@settings(deadline=None, max_examples=60)
@given(
    rows=st.integers(0, 3),
    items=st.integers(193, 400),  # seven blocks at least
    top=st.integers(1, 7),
    values=st.integers(1, 400),  # few: many are equal
    seed=st.integers(0, 2**31),
)
def test_best_by_blocks_are_the_best_in_the_order_of_columns(rows, items, top, values, seed):
    scores = np.random.default_rng(seed).integers(-values, 1, (rows, items)).astype(np.float32)
    found, columns = best_items.by_blocks(tf.constant(scores), top)
    wanted = naive(scores, top)
    np.testing.assert_array_equal(columns, wanted)
    np.testing.assert_array_equal(found, np.take_along_axis(scores, wanted, axis=1))


def test_items_that_are_ruled_out_come_before_the_filling():
    least = np.float32(tf.float32.min)
    scores = np.full((1, 225), least)  # eight blocks, the last with one item
    scores[0, 224] = 1.0
    _, columns = best_items.by_blocks(tf.constant(scores), 8)
    assert columns.numpy().tolist() == [[224, 0, 1, 2, 3, 4, 5, 6]]


@pytest.mark.parametrize("items", [2559, 2560, 2561])
def test_a_catalogue_at_the_size_from_which_blocks_are_used(items):
    scores = np.random.default_rng(items).random((4, items), np.float32)
    found, columns = tf.function(lambda values: best_items.top_k(values, 10))(scores)
    np.testing.assert_array_equal(columns, naive(scores, 10))
    np.testing.assert_array_equal(found, -np.sort(-scores, axis=1)[:, :10])
