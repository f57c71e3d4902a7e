"""Losses of next-item prediction: mean over predictions, from logits, targets as places in the vocabulary."""

from __future__ import annotations

import tensorflow as tf


def softmax_loss(labels: tf.Tensor, logits: tf.Tensor, *, label_smoothing: float = 0.0) -> tf.Tensor:
    """Cross-entropy over all items.

    Args:
      labels: int [predictions].
      logits: float32 [predictions, items].
      label_smoothing: share of the target's mass that is spread over all items evenly.

    Returns: float32 scalar, mean over predictions of −log softmax(logits)[label].
    """
    loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)  # [predictions]
    if label_smoothing:
        # −mean log softmax = logsumexp − mean logit, and logsumexp = loss + logit of the label.
        target = tf.gather(logits, labels, axis=1, batch_dims=1)
        loss += label_smoothing * (target - tf.reduce_mean(logits, axis=1))
    return tf.reduce_mean(loss)


def sampled_softmax_loss(
    labels: tf.Tensor,
    target_logits: tf.Tensor,
    negatives: tf.Tensor,
    negative_logits: tf.Tensor,
    *,
    negative_log_probability: tf.Tensor,
    label_smoothing: float = 0.0,
) -> tf.Tensor:
    """Cross-entropy over the target and sampled items, corrected for how often each is drawn (logQ).

    The negatives estimate the sum over all other items: with n draws from Q, Σ exp(s) ≈ Σ_drawn exp(s) / (n Q), thus
    log(n Q) is subtracted from each negative's logit (Bengio & Senécal 2008). Without it popular items, which are
    drawn often, would be pushed down. A negative that is the target of a row is masked in that row.

    Args:
      labels: int [predictions], targets.
      target_logits: float32 [predictions].
      negatives: int [n], items drawn, shared by all predictions.
      negative_logits: float32 [predictions, n].
      negative_log_probability: float32 [n], log Q of each.
      label_smoothing: as in `softmax_loss`, over target and negatives.

    Returns: float32 scalar.
    """
    count = tf.cast(tf.size(negatives), tf.float32)
    corrected = negative_logits - (tf.math.log(count) + negative_log_probability)
    collides = tf.equal(tf.cast(labels, tf.int64)[:, None], tf.cast(negatives, tf.int64)[None, :])
    corrected = tf.where(collides, corrected.dtype.min, corrected)
    logits = tf.concat([target_logits[:, None], corrected], axis=1)  # [predictions, 1 + n]
    loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=tf.zeros_like(labels), logits=logits)
    if label_smoothing:
        mean = tf.reduce_mean(tf.concat([target_logits[:, None], negative_logits], axis=1), axis=1)
        loss += label_smoothing * (target_logits - mean)
    return tf.reduce_mean(loss)
