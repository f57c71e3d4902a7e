"""What a caller allows a recommendation to be: not these items, only these items, or this list put in order.

Items are places in the vocabulary, int32 or int64 ragged [batch, (places)]; a negative place is an unknown item and
stands for nothing. Scores of places that are not allowed become `LEAST`, so that they sort behind every other.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from nextclick.components import best_items

# Finite, since JSON has no infinity; far below any product of two vectors.
LEAST = tf.float32.min
_NOTHING = -1


def by_popularity(items: int) -> tf.Tensor:
    """Scores of a session without a known item, 1, 1/2, 1/3, … in the vocabulary's order: float32 [items]."""
    return 1.0 / tf.range(1, items + 1, dtype=tf.float32)


def without(scores: tf.Tensor, places: Any) -> tf.Tensor:
    """Scores float32 [batch, items] with `LEAST` at a row's places."""
    at = _coordinates(places)
    return tf.tensor_scatter_nd_update(scores, at, tf.fill(tf.shape(at)[:1], LEAST))


def only(scores: tf.Tensor, places: Any, given: tf.Tensor) -> tf.Tensor:
    """Scores float32 [batch, items] with `LEAST` wherever a row's places do not say otherwise.

    Args:
      scores: of all items.
      places: the allowed ones.
      given: bool [batch], whether the row is restricted at all: places may be empty since all ids were unknown.
    """
    at = _coordinates(places)
    allowed = tf.scatter_nd(at, tf.ones(tf.shape(at)[:1], tf.int32), tf.shape(scores, tf.int64)) > 0
    return tf.where(allowed | ~given[:, None], scores, LEAST)


def best(scores: tf.Tensor, top: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Places int32 [batch, top], negative where no item is left, and scores float32 [batch, top], descending."""
    found, places = best_items.top_k(scores, top)
    return tf.where(found > LEAST, places, _NOTHING), found


def ranked(scores: tf.Tensor, places: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """A row's candidates in the order of their scores, repeats left out; equal ones in the vocabulary's order.

    Args:
      scores: float32 [batch, candidates].
      places: int64 [batch, candidates], ascending; negative: no candidate.

    Returns: places int64 [batch, candidates], negative at the right where a row has fewer, and float32 scores.
    """
    candidates = tf.shape(places)[1]
    repeated = tf.pad(places[:, 1:] == places[:, :-1], [[0, 0], [1, 0]])[:, :candidates]
    found, order = tf.math.top_k(tf.where(repeated | (places < 0), LEAST, scores), candidates)
    return tf.where(found > LEAST, tf.gather(places, order, batch_dims=1), _NOTHING), found


def named(places: tf.Tensor, item_ids: tf.Tensor) -> tf.Tensor:
    """Ids of places, "" for negative ones: string of the places' shape; `item_ids` is string [items]."""
    return tf.where(places < 0, "", tf.gather(item_ids, tf.maximum(places, 0)))


def _coordinates(places: Any) -> tf.Tensor:
    """Row and column of every known place: int64 [n, 2]."""
    rows = tf.cast(places.value_rowids(), tf.int64)
    pairs = tf.stack([rows, tf.cast(places.flat_values, tf.int64)], axis=1)
    return tf.boolean_mask(pairs, pairs[:, 1] >= 0)
