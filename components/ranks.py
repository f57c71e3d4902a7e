"""The one rank function: where the target stands among all candidates, ties counted against us; and who is tied."""

from __future__ import annotations

import tensorflow as tf

# How the error begins that scores raise which are no numbers; the gate knows it by that.
NOT_FINITE = "a score is NaN or infinite"


def ranks(labels: tf.Tensor, scores: tf.Tensor) -> tf.Tensor:
    """1 + the number of other candidates whose score is greater than or equal to the target's.

    With scores [[0.9, 0.5, 0.5]] the target 0 has rank 1, and the targets 1 and 2 have rank 3 each: a model that
    scores everything alike ranks every target last.

    Args:
      labels: int [rows], column of the target.
      scores: float [rows, candidates].

    Returns: int32 [rows], from 1 to candidates.
    Raises: tf.errors.InvalidArgumentError where a score is NaN or infinite: comparisons with NaN are false, so
      that a broken model would count as a perfect one.
    """
    scores = tf.debugging.check_numerics(scores, f"{NOT_FINITE}: no ranks can be computed")
    target = tf.gather(scores, labels, axis=1, batch_dims=1)  # [rows]
    # The target's own comparison is the 1.
    return tf.reduce_sum(tf.cast(scores >= target[:, None], tf.int32), axis=1)


def tied(labels: tf.Tensor, scores: tf.Tensor) -> tf.Tensor:
    """Whether another candidate has exactly the target's score: where this is common, ranks say little.

    Args: as of `ranks`.

    Returns: bool [rows].
    """
    target = tf.gather(scores, labels, axis=1, batch_dims=1)  # [rows]
    return tf.reduce_sum(tf.cast(scores == target[:, None], tf.int32), axis=1) > 1  # the target equals itself
