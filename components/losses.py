"""Losses of next-item prediction, one a prediction, from logits, targets as places in the vocabulary."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def softmax_losses(labels: tf.Tensor, logits: tf.Tensor, *, label_smoothing: float = 0.0) -> tf.Tensor:
    """Cross-entropy over all items.

    Args:
      labels: int [predictions].
      logits: float32 [predictions, items].
      label_smoothing: share of the target's mass that is spread over all items evenly.

    Returns: float32 [predictions], -log softmax(logits)[label].
    """
    losses: tf.Tensor = _cross_entropy(label_smoothing)(tf.convert_to_tensor(logits), tf.convert_to_tensor(labels))
    return losses


def mean(losses: tf.Tensor, weights: tf.Tensor | None = None, shares: tf.Tensor | None = None) -> tf.Tensor:
    """Mean of losses [predictions], 0 where there are none.

    `weights`, float32 [predictions], is what each is multiplied with before; `shares`, float32 [predictions], how much
    each counts in the mean: Σ share · weight · loss / Σ share. None: 1.
    """
    weighted = losses if weights is None else losses * weights
    if shares is None:
        return tf.math.divide_no_nan(tf.reduce_sum(weighted), tf.cast(tf.size(losses), losses.dtype))
    return tf.math.divide_no_nan(tf.reduce_sum(weighted * shares), tf.reduce_sum(shares))


def sampled_softmax_losses(
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
      label_smoothing: as in `softmax_losses`.

    Returns: float32 [predictions].
    """
    count = tf.cast(tf.size(negatives), tf.float32)
    corrected = negative_logits - (tf.math.log(count) + negative_log_probability)
    collides = tf.equal(tf.cast(labels, tf.int64)[:, None], tf.cast(negatives, tf.int64)[None, :])
    corrected = tf.where(collides, corrected.dtype.min, corrected)
    logits = tf.concat([target_logits[:, None], corrected], axis=1)  # [predictions, 1 + n]
    losses = softmax_losses(tf.zeros_like(labels), logits)
    if label_smoothing:
        weights = tf.nn.softmax(-negative_log_probability)  # ∝ 1 / Q: the draws' mean becomes that of all items
        losses += label_smoothing * (target_logits - tf.linalg.matvec(negative_logits, weights))
    return losses


def _cross_entropy(label_smoothing: float) -> Any:
    """(logits, labels) → loss of each prediction.

    TensorFlow's fused operation takes four times as long on a CPU as its softmax, hence this gradient: with
    p = softmax(logits) it is p - target, where the target is 1 - ε at the label and ε / items more everywhere.
    """

    def cross_entropy(logits: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, Any]:
        probabilities = tf.nn.softmax(logits)
        # The greatest probability is not below 1 / items, so its logarithm is safe; the label's might not be.
        greatest = tf.reduce_max(logits, axis=1)
        normaliser = greatest - tf.math.log(tf.reduce_max(probabilities, axis=1))  # log Σ exp(logits)
        label_logits = tf.gather(logits, labels, axis=1, batch_dims=1)
        loss = normaliser - (1 - label_smoothing) * label_logits
        if label_smoothing:
            loss -= label_smoothing * tf.reduce_mean(logits, axis=1)

        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, None]:
            scaled = probabilities * upstream[:, None]
            if label_smoothing:
                scaled -= label_smoothing / tf.cast(tf.shape(logits)[1], logits.dtype) * upstream[:, None]
            rows = tf.range(tf.shape(labels)[0], dtype=labels.dtype)
            places = tf.stack([rows, labels], axis=1)
            return tf.tensor_scatter_nd_sub(scaled, places, (1 - label_smoothing) * upstream), None

        return loss, gradient

    return tf.custom_gradient(cross_entropy)
