"""BPR-max and TOP1-max (Hidasi & Karatzoglou 2018, arXiv 1706.03847): the target against shared negatives, in pairs.

With r_i the target's score, r_j those of the negatives, s = softmax of the negatives' scores alone and σ the sigmoid:

    BPR-max    -log Σ_j s_j σ(r_i - r_j) + λ Σ_j s_j r_j²
    TOP1-max   Σ_j s_j (σ(r_j - r_i) + σ(r_j²))

The weights s make the gradient follow the negatives that score highest: those that matter for a short list. A negative
that is the target of a row has no weight in that row.
"""

from __future__ import annotations

import tensorflow as tf


def bpr_max_losses(
    labels: tf.Tensor,
    target_scores: tf.Tensor,
    negatives: tf.Tensor,
    negative_scores: tf.Tensor,
    *,
    regularization: float,
) -> tf.Tensor:
    """BPR-max of each prediction.

    Args:
      labels: int [predictions], targets.
      target_scores: float32 [predictions].
      negatives: int [n], items drawn, shared by all predictions.
      negative_scores: float32 [predictions, n].
      regularization: λ.

    Returns: float32 [predictions]; 0 where every negative is the target.
    """
    differs = _differs(labels, negatives)
    weights = _softmax(negative_scores, differs)
    # log s_j + log σ(r_i - r_j), since their product may be too small for float32.
    logarithms = tf.nn.log_softmax(_masked(negative_scores, differs)) + tf.math.log_sigmoid(
        target_scores[:, None] - negative_scores
    )
    likelihood = tf.reduce_logsumexp(_masked(logarithms, differs), axis=1)  # [predictions]
    penalty = tf.reduce_sum(weights * tf.square(negative_scores), axis=1)
    return tf.where(tf.reduce_any(differs, axis=1), regularization * penalty - likelihood, 0.0)


def top1_max_losses(
    labels: tf.Tensor, target_scores: tf.Tensor, negatives: tf.Tensor, negative_scores: tf.Tensor
) -> tf.Tensor:
    """TOP1-max of each prediction: arguments and result as of `bpr_max_losses`."""
    weights = _softmax(negative_scores, _differs(labels, negatives))
    beaten = tf.sigmoid(negative_scores - target_scores[:, None]) + tf.sigmoid(tf.square(negative_scores))
    return tf.reduce_sum(weights * beaten, axis=1)


def _differs(labels: tf.Tensor, negatives: tf.Tensor) -> tf.Tensor:
    """Bool [predictions, n]: the negative is not the target."""
    return tf.not_equal(tf.cast(labels, tf.int64)[:, None], tf.cast(negatives, tf.int64)[None, :])


def _masked(scores: tf.Tensor, keep: tf.Tensor) -> tf.Tensor:
    return tf.where(keep, scores, scores.dtype.min)


def _softmax(scores: tf.Tensor, keep: tf.Tensor) -> tf.Tensor:
    """Softmax over the kept scores of a row; zeros where none is kept."""
    return tf.where(keep, tf.nn.softmax(_masked(scores, keep)), 0.0)
