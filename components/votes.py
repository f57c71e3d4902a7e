"""An ensemble's vote: each member gives points to its best items, and the members' points are added up.

Points are Borda's: 20 for a member's first item, 19 for the second, …, 1 for the 20th. They are whole numbers, so sums
are exact, and what the members' mean scores add to break ties stays below 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from nextclick.components import best_items

VOTED = 20
# Less than a point.
_TIES = 0.5


def points(scores: Sequence[tf.Tensor]) -> tf.Tensor:
    """Sum of the points that the members give, float32 [rows, items], of their scores, each float32 [rows, items].

    Of equal scores at a member's 20th place the more popular item, which has the smaller place, gets the points.
    """
    return tf.add_n([_points(of_member) for of_member in scores])


def ranked(votes: tf.Tensor, mean: tf.Tensor) -> tf.Tensor:
    """Scores by points, then by mean score: votes and the members' mean scores, float32 [rows, items] → the same."""
    least = tf.reduce_min(mean, axis=1, keepdims=True)
    spread = tf.reduce_max(mean, axis=1, keepdims=True) - least
    return votes + _TIES * tf.math.divide_no_nan(mean - least, spread)


def log_shares(votes: tf.Tensor, mean: tf.Tensor) -> tf.Tensor:
    """What a softmax makes each item's share in all points of, where scores are mixed with another's shares."""
    return tf.math.log(votes + _TIES * tf.nn.softmax(mean))


def _points(scores: tf.Tensor) -> tf.Tensor:
    top = min(VOTED, scores.shape[1])
    _, places = best_items.top_k(scores, top)  # [rows, top]
    rows = tf.broadcast_to(tf.range(tf.shape(scores)[0])[:, None], tf.shape(places))
    given = tf.broadcast_to(tf.range(VOTED, VOTED - top, -1, dtype=scores.dtype), tf.shape(places))
    return tf.scatter_nd(tf.stack([rows, places], axis=2), given, tf.shape(scores))
