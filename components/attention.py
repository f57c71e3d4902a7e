"""An attention readout: the session's vector after an item from what the state there asks of all states up to it.

A GRU's last state has to hold whatever of the session still matters. Reading the earlier states beside it, each by
how well it answers the last one and by how long ago it was, lets a purpose come back that the last click hid (Li et
al. 2017, NARM, arXiv 1711.04725; reverse positions as in Wang et al. 2020, GCE-GNN, arXiv 2106.05081).
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras

# Ages, in clicks, that have an embedding of their own; all greater ones share the last.
AGES = 64


@tf_keras.utils.register_keras_serializable("nextclick")
class CausalReadout(tf_keras.layers.Layer):
    """The last state beside a mean of the states up to it, weighted by attention, projected together.

    With h_j the state after item j, for the vector after item t:
    s_tj = (W h_t)' (h_j + p_{t-j}) / √units for j ≤ t, c_t = Σ_j softmax_j(s_tj) h_j, and the vector is P [h_t; c_t].
    Nothing later than t takes part, so that right padding and targets cannot.

    Args:
      width: of the vectors.
    """

    def __init__(self, width: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.width = width

    def build(self, input_shape: Any) -> None:
        """Makes the weights for states of the width `input_shape[-1]`."""
        units = input_shape[-1]
        self.query = self.add_weight(name="query", shape=[units, units], initializer="glorot_uniform")
        self.ages = self.add_weight(name="ages", shape=[AGES, units], initializer="uniform")
        self.output_kernel = self.add_weight(name="output_kernel", shape=[2 * units, self.width])
        super().build(input_shape)

    def call(self, states: tf.Tensor) -> tf.Tensor:
        """After every item: float32 [time, batch, units] → [time, batch, width]."""
        by_session = tf.transpose(states, [1, 0, 2])
        places = tf.range(tf.shape(states)[0])[None, :]
        return tf.transpose(self._read(by_session, by_session, places), [1, 0, 2])

    def at(self, states: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
        """After one item of each session alone: float32 [time, batch, units], int32 [batch] → [batch, width]."""
        by_session = tf.transpose(states, [1, 0, 2])
        asking = tf.gather(by_session, places[:, None], axis=1, batch_dims=1)
        return self._read(asking, by_session, places[:, None])[:, 0]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "width": self.width}

    def _read(self, asking: tf.Tensor, states: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
        """float32 [batch, asking, width].

        Args:
          asking: h_t, float32 [batch, asking, units].
          states: h_j, float32 [batch, time, units].
          places: t, int32 [batch or 1, asking].
        """
        time, units = tf.shape(states)[1], states.shape[-1]
        queries = tf.tensordot(asking, self.query, 1) * units**-0.5
        age = places[:, :, None] - tf.range(time)  # t - j, int32 [batch or 1, asking, time]
        scores = tf.matmul(queries, states, transpose_b=True) + self._age_scores(queries, age)
        weights = tf.nn.softmax(tf.where(age >= 0, scores, scores.dtype.min))
        both = tf.concat([asking, tf.matmul(weights, states)], axis=-1)  # [batch, asking, 2 units]
        return tf.tensordot(both, self.output_kernel, 1)

    def _age_scores(self, queries: tf.Tensor, age: tf.Tensor) -> tf.Tensor:
        """Each query times the embedding of each age: float32 [batch, asking, time]."""
        scores = tf.tensordot(queries, self.ages[: tf.shape(age)[2]], [[2], [1]])  # [batch, asking, ages]
        age = tf.clip_by_value(age, 0, tf.shape(scores)[2] - 1)
        shape = tf.concat([tf.shape(queries)[:2], tf.shape(age)[2:]], axis=0)
        return tf.gather(scores, tf.broadcast_to(age, shape), axis=2, batch_dims=2)
