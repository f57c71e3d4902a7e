"""The best of all items of each row: what `tf.math.top_k` answers, in less time over a large catalogue.

The items are looked at in blocks of neighbours. An item among the best `top` is in one of the `top` blocks with the
greatest maxima: of any other block, `top` items elsewhere are at least as great, and stand before it where they are
equal. So the maxima pick the blocks, and only the items of these are put in order.
"""

from __future__ import annotations

import tensorflow as tf

_BLOCK = 32
# Below so many times the items that are put in order in the end, the blocks cost more than they save.
_WORTH = 8


def top_k(scores: tf.Tensor, top: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Values float32 [rows, top], descending, and columns int32 [rows, top]; of equal scores the first column first.

    Args:
      scores: float32 [rows, items], a static number of items, none of them NaN.
      top: number of items, at most all.
    """
    if scores.shape[1] is None or scores.shape[1] < _WORTH * _BLOCK * top:
        found, columns = tf.math.top_k(scores, top)
        return found, columns
    return by_blocks(scores, top)


def by_blocks(scores: tf.Tensor, top: int) -> tuple[tf.Tensor, tf.Tensor]:
    """As `top_k`, by blocks whatever the number of items; there must be at least `top` blocks."""
    fill = -scores.shape[1] % _BLOCK
    if fill:  # behind all others, so that an equal score of an item comes first
        scores = tf.pad(scores, [[0, 0], [0, fill]], constant_values=scores.dtype.min)
    rows, blocks = tf.shape(scores)[0], scores.shape[1] // _BLOCK
    parted = tf.reshape(scores, [rows, blocks, _BLOCK])
    _, chosen = tf.math.top_k(tf.reduce_max(parted, axis=2), top, sorted=False)
    chosen = tf.sort(chosen, axis=1)  # [rows, top], so that columns stay in their order
    few = tf.gather(parted, chosen, axis=1, batch_dims=1)  # [rows, top, _BLOCK]
    found, at = tf.math.top_k(tf.reshape(few, [rows, top * _BLOCK]), top)
    return found, tf.gather(chosen, at // _BLOCK, axis=1, batch_dims=1) * _BLOCK + at % _BLOCK
