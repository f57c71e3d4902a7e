"""Which items a step of sampled softmax compares the target with: draws by popularity, shared by the whole batch."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import tensorflow as tf


class PopularitySampler:
    """Draws vocabulary items with replacement, each with probability Q(item) = count^power / Σ count^power.

    Padding and out-of-vocabulary indices are not among them: item 0 here is the vocabulary's first.

    Args:
      counts: int [items], clicks of each item in the training split; an item never clicked counts as one click,
        so that it is told apart from good recommendations, too.
      power: 0 draws uniformly, 1 by popularity.
    """

    def __init__(self, counts: npt.NDArray[np.int64], power: float) -> None:
        weights = np.maximum(counts, 1).astype(np.float64) ** power
        self.log_probability = tf.constant(np.log(weights / weights.sum()), tf.float32)  # [items]
        # Cumulative in float64: in float32 rare items of a large catalogue would have no width.
        self._cumulative = tf.constant(np.cumsum(weights) / weights.sum(), tf.float64)

    def draw(self, count: int, seed: tf.Tensor) -> tf.Tensor:
        """`count` items, int32 [count]; the same for the same seed (int32 [2])."""
        points = tf.random.stateless_uniform([count], seed, dtype=tf.float64)
        places = tf.searchsorted(self._cumulative, points, side="right")
        return tf.minimum(places, len(self.log_probability) - 1)
