"""A second GRU that reads each prefix of a session backwards, from its last item to its first.

The other direction of a bi-directional encoder (Schuster & Paliwal 1997) must not see what it has to predict. So it
does not run over the session but over each prefix on its own: after item t over the items t, t - 1, …, 1. Nothing
can be shared between prefixes, since each begins with another item: t items cost t (t + 1) / 2 steps, where the
forward GRU takes t. One prefix alone, as a request asks for it, costs as many steps as the forward GRU.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras

from nextclick.components.gru import GatedRecurrent, states_at
from nextclick.components.precision import FLOAT32


@tf_keras.utils.register_keras_serializable("nextclick")
class BackwardReader(tf_keras.layers.Layer):
    """The state of a GRU that has read a prefix backwards.

    Args:
      units: width of the state.
      use_gpu, precision: as `GatedRecurrent` has them.
    """

    def __init__(self, units: int, *, use_gpu: bool = False, precision: str = FLOAT32, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units, self.use_gpu, self.precision = units, use_gpu, precision
        self.recurrent = GatedRecurrent(units, use_gpu=use_gpu, precision=precision, name="recurrent")

    def build(self, input_shape: Any) -> None:
        """Makes the weights for inputs [time, batch, width]."""
        self.recurrent.build(input_shape)
        super().build(input_shape)

    def call(self, inputs: tf.Tensor, training: bool = False, state_mask: tf.Tensor | None = None) -> tf.Tensor:
        """After every prefix: float32 [time, batch, width] → [time, batch, units].

        `state_mask`, float32 [time · batch, units], is `gru_states`' of each prefix.
        """
        time, batch = tf.shape(inputs)[0], tf.shape(inputs)[1]
        steps = tf.range(time)
        # Step s of prefix t reads item t - s; what follows its first item is read, but nobody looks at it.
        places = tf.maximum(steps[None, :] - steps[:, None], 0)  # [steps, prefixes]
        rows = tf.reshape(tf.gather(inputs, places), [time, time * batch, inputs.shape[-1]])
        states = self.recurrent(rows, training=training, state_mask=state_mask)
        states = tf.reshape(states, [time, time, batch, self.units])  # [steps, prefixes, batch, units]
        return tf.gather_nd(states, tf.stack([steps, steps], axis=1))

    def at(self, inputs: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
        """After the prefix that ends at one item of each session: int32 [batch], from 0 → float32 [batch, units]."""
        backwards = tf.reverse_sequence(inputs, places + 1, seq_axis=0, batch_axis=1)
        return states_at(self.recurrent(backwards), places)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "units": self.units, "use_gpu": self.use_gpu, "precision": self.precision}
