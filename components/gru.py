"""A GRU layer that is fast on both kinds of machine, over one set of weights.

Without a GPU the recurrence is unrolled where the number of steps is known, short of which it is a loop; in both
the input's share of the gates is one matrix product over all steps. With a GPU the Keras layer runs cuDNN's kernel
(right padding, no mask, default activations, reset after the product, no recurrent dropout: nothing to keep it off).
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras

# Longer sequences are not unrolled: tracing takes 30 ms a step.
_MOST_UNROLLED_STEPS = 64


@tf_keras.utils.register_keras_serializable("nextclick")
class GatedRecurrent(tf_keras.layers.Layer):
    """States of a GRU (Cho et al. 2014, arXiv 1406.1078; cuDNN's variant) after each step, from a zero state.

    Args:
      units: width of the state.
      use_gpu: run the Keras layer, thus cuDNN, in training.
    """

    def __init__(self, units: int, *, use_gpu: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.use_gpu = use_gpu
        self.layer = tf_keras.layers.GRU(units, return_sequences=True, time_major=True, name="gru")

    def build(self, input_shape: Any) -> None:
        """Makes the weights for inputs [time, batch, width]."""
        self.layer.build(tf.TensorShape(input_shape))
        super().build(input_shape)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """States float32 [time, batch, units] of inputs [time, batch, width]."""
        if training and self.use_gpu:
            return self.layer(inputs)
        cell = self.layer.cell
        gates = tf.tensordot(inputs, cell.kernel, 1) + cell.bias[0]  # [time, batch, 3 units]
        step = _step_function(tf.convert_to_tensor(cell.recurrent_kernel), cell.bias[1])
        state = tf.zeros([tf.shape(inputs)[1], self.units], inputs.dtype)
        steps = inputs.shape[0]
        if steps is not None and steps <= _MOST_UNROLLED_STEPS:
            return _unrolled(step, gates, state)
        return _looped(step, gates, state)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "units": self.units, "use_gpu": self.use_gpu}


def _step_function(kernel: tf.Tensor, bias: tf.Tensor) -> Any:
    """(gates of the input [batch, 3 units], state [batch, units]) → next state; gates: update, reset, candidate."""
    units = kernel.shape[0]

    def step(gates: tf.Tensor, state: tf.Tensor) -> tf.Tensor:
        recurrent = tf.nn.bias_add(tf.matmul(state, kernel), bias)  # [batch, 3 units]
        opened = tf.sigmoid(gates[:, : 2 * units] + recurrent[:, : 2 * units])
        update, reset = opened[:, :units], opened[:, units:]
        candidate = tf.tanh(gates[:, 2 * units :] + reset * recurrent[:, 2 * units :])
        return candidate + update * (state - candidate)

    return step


def _unrolled(step: Any, gates: tf.Tensor, state: tf.Tensor) -> tf.Tensor:
    states = []
    for step_gates in tf.unstack(gates):
        state = step(step_gates, state)
        states.append(state)
    return tf.stack(states)


def _looped(step: Any, gates: tf.Tensor, state: tf.Tensor) -> tf.Tensor:
    steps = tf.shape(gates)[0]
    states = tf.TensorArray(gates.dtype, steps, element_shape=state.shape)

    def body(time: tf.Tensor, state: tf.Tensor, states: tf.TensorArray) -> tuple[tf.Tensor, tf.Tensor, tf.TensorArray]:
        state = step(gates[time], state)
        return time + 1, state, states.write(time, state)

    _, _, states = tf.while_loop(lambda time, *_: time < steps, body, (0, state, states), parallel_iterations=1)
    return states.stack()
