"""A GRU layer whose steps cost little, over the weights of a Keras layer.

Most of a small GRU's time is the overhead of its many little operations, once forward and twice backward. Here the
loop over the steps holds only what depends on the step before: everything else is done for all steps at once, and
the gradient is written out, so that its loop, too, is one matrix product and a few elementwise operations a step.
Neither loop is unrolled: one graph serves sessions of all lengths and is traced once.

With a GPU the Keras layer runs cuDNN's kernel in training (right padding, no mask, default activations, reset after
the product: nothing keeps it off), except with recurrent dropout and with sessions that follow each other in a row,
which that kernel does not have.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tf_keras

from nextclick.components.precision import FLOAT32, product


@tf_keras.utils.register_keras_serializable("nextclick")
class GatedRecurrent(tf_keras.layers.Layer):
    """States of a GRU (Cho et al. 2014, arXiv 1406.1078; cuDNN's variant) after each step, from a zero state.

    Args:
      units: width of the state.
      use_gpu: run the Keras layer, thus cuDNN, in training.
      precision: type of the matrix products in training (precision.py); cuDNN's are float32.
    """

    def __init__(self, units: int, *, use_gpu: bool = False, precision: str = FLOAT32, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units, self.use_gpu, self.precision = units, use_gpu, precision
        self.layer = tf_keras.layers.GRU(units, return_sequences=True, time_major=True, name="gru")

    def build(self, input_shape: Any) -> None:
        """Makes the weights for inputs [time, batch, width]."""
        self.layer.build(tf.TensorShape(input_shape))
        super().build(input_shape)

    def call(
        self,
        inputs: tf.Tensor,
        training: bool = False,
        state_mask: tf.Tensor | None = None,
        start: tf.Tensor | None = None,
        reset: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """States float32 [time, batch, units] of inputs [time, batch, width]; the others as in `gru_states`."""
        if training and self.use_gpu and state_mask is None and start is None and reset is None:
            return self.layer(inputs)
        cell, dtype = self.layer.cell, self.precision if training else inputs.dtype
        kernel, recurrent_kernel = tf.cast(cell.kernel, dtype), tf.cast(cell.recurrent_kernel, dtype)
        gates = product(inputs, kernel) + cell.bias[0]  # [time, batch, 3 units]
        return gru_states(gates, recurrent_kernel, cell.bias[1], state_mask, start=start, reset=reset)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "units": self.units, "use_gpu": self.use_gpu, "precision": self.precision}


def gru_states(
    gates: tf.Tensor,
    kernel: tf.Tensor,
    bias: tf.Tensor,
    state_mask: tf.Tensor | None = None,
    *,
    start: tf.Tensor | None = None,
    reset: tf.Tensor | None = None,
) -> tf.Tensor:
    """States after each step; differentiable by the first three arguments.

    With a = the input's share of the gates and u = (m h') U + b, h' the state before (z update, r reset, c candidate):
    z = sigmoid(a_z + u_z), r = sigmoid(a_r + u_r), c = tanh(a_c + r u_c), h = c + z (h' - c).

    Args:
      gates: a, float32 [time, batch, 3 units], in the order z, r, c.
      kernel: U, [units, 3 units], float32 or a narrower type: the one that its products are made in.
      bias: b, float32 [3 units].
      state_mask: m, float32 [batch, units], one for all steps of a sequence (recurrent dropout of Gal & Ghahramani
        2016, arXiv 1512.05287): what the gates see of the state, while the state itself is carried on whole;
        None: all of it.
      start: the state before the first step, float32 [batch, units]; None: zero. No gradient reaches it, so that
        back-propagation ends at the first step.
      reset: bool [time, batch], the steps before which the state becomes zero, so that nothing of the steps before
        reaches those from there on, and no gradient the other way; None: nowhere.

    Returns: h, float32 [time, batch, units].
    """

    def states(gates: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor) -> tuple[tf.Tensor, Any]:
        return _states_and_gradient(gates, kernel, bias, state_mask, start, reset)

    return tf.custom_gradient(states)(gates, kernel, bias)


def _states_and_gradient(
    gates: tf.Tensor,
    kernel: tf.Tensor,
    bias: tf.Tensor,
    state_mask: tf.Tensor | None,
    start: tf.Tensor | None,
    reset: tf.Tensor | None,
) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor, tf.Tensor]]]:
    states = _forward_states(gates, kernel, bias, state_mask, start, reset)

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        first = tf.zeros_like(states[:1]) if start is None else start[None]
        before = tf.concat([first, states[:-1]], axis=0)  # h' of every step
        before = before if reset is None else _zero_where(reset, before)
        by_recurrent, by_candidate, carried = _slopes(gates, before, kernel, bias, state_mask)
        by_state = _backward_states(upstream, by_recurrent, carried, kernel, state_mask, reset)
        by_u = tf.tile(by_state, [1, 1, 3]) * by_recurrent  # [time, batch, 3 units]
        units = kernel.shape[0]
        by_gates = tf.concat([by_u[:, :, : 2 * units], by_state * by_candidate], axis=2)
        by_kernel = product(_flat(_masked(before, state_mask)), tf.cast(_flat(by_u), kernel.dtype), transpose_a=True)
        return by_gates, tf.cast(by_kernel, kernel.dtype), tf.reduce_sum(by_u, axis=[0, 1])

    return states, gradient


def _forward_states(
    gates: tf.Tensor,
    kernel: tf.Tensor,
    bias: tf.Tensor,
    state_mask: tf.Tensor | None,
    start: tf.Tensor | None,
    reset: tf.Tensor | None,
) -> tf.Tensor:
    steps, units = tf.shape(gates)[0], kernel.shape[0]
    states = tf.TensorArray(gates.dtype, steps, element_shape=[None, units])

    def body(time: tf.Tensor, state: tf.Tensor, states: tf.TensorArray) -> tuple[tf.Tensor, tf.Tensor, tf.TensorArray]:
        state = state if reset is None else _zero_where(reset[time], state)
        recurrent = tf.nn.bias_add(product(_masked(state, state_mask), kernel), bias)  # [batch, 3 units]
        given = gates[time]
        opened = tf.sigmoid(given[:, : 2 * units] + recurrent[:, : 2 * units])
        candidate = tf.tanh(given[:, 2 * units :] + opened[:, units:] * recurrent[:, 2 * units :])
        state = candidate + opened[:, :units] * (state - candidate)
        return time + 1, state, states.write(time, state)

    if start is None:
        start = tf.zeros([tf.shape(gates)[1], units], gates.dtype)
    _, _, states = tf.while_loop(lambda time, *_: time < steps, body, (0, start, states), parallel_iterations=1)
    return states.stack()


def _slopes(
    gates: tf.Tensor, before: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor, state_mask: tf.Tensor | None
) -> tuple[tf.Tensor, ...]:
    """What the gradient by h is multiplied with at every step to get the gradient by u, by a_c, and by h' directly."""
    units = kernel.shape[0]
    recurrent = product(_masked(before, state_mask), kernel) + bias  # u of all steps [time, batch, 3 units]
    opened = tf.sigmoid(gates[:, :, : 2 * units] + recurrent[:, :, : 2 * units])
    update, reset = opened[:, :, :units], opened[:, :, units:]
    recurrent_candidate = recurrent[:, :, 2 * units :]
    candidate = tf.tanh(gates[:, :, 2 * units :] + reset * recurrent_candidate)
    by_update = (before - candidate) * update * (1 - update)
    by_candidate = (1 - update) * (1 - tf.square(candidate))
    by_reset = by_candidate * recurrent_candidate * reset * (1 - reset)
    return tf.concat([by_update, by_reset, by_candidate * reset], axis=2), by_candidate, update


def _backward_states(
    upstream: tf.Tensor,
    by_recurrent: tf.Tensor,
    carried: tf.Tensor,
    kernel: tf.Tensor,
    state_mask: tf.Tensor | None,
    reset: tf.Tensor | None,
) -> tf.Tensor:
    """The whole gradient by each step's state: what comes from above and from all later steps."""
    steps, units = tf.shape(upstream)[0], kernel.shape[0]
    slopes = tf.concat([by_recurrent, carried], axis=2)  # [time, batch, 4 units]
    gradients = tf.TensorArray(upstream.dtype, steps, element_shape=[None, units])

    def body(time: tf.Tensor, later: tf.Tensor, gradients: tf.TensorArray) -> tuple[Any, ...]:
        gradient = upstream[time] + later  # [batch, units]
        spread = tf.tile(gradient, [1, 4]) * slopes[time]
        seen = product(spread[:, : 3 * units], kernel, transpose_b=True)  # by m h'
        later = spread[:, 3 * units :] + _masked(seen, state_mask)
        later = later if reset is None else _zero_where(reset[time], later)
        return time - 1, later, gradients.write(time, gradient)

    start = (steps - 1, tf.zeros_like(upstream[0]), gradients)
    _, _, gradients = tf.while_loop(lambda time, *_: time >= 0, body, start, parallel_iterations=1)
    return gradients.stack()


def states_at(states: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
    """The state after one step of each sequence: [time, batch, units], int32 [batch], from 0 → [batch, units]."""
    return tf.gather_nd(states, tf.stack([places, tf.range(tf.shape(places)[0])], axis=1))


def _masked(states: tf.Tensor, state_mask: tf.Tensor | None) -> tf.Tensor:
    return states if state_mask is None else states * state_mask


def _zero_where(reset: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    return tf.where(reset[..., None], tf.zeros([], values.dtype), values)  # whatever is there, not finite even


def _flat(values: tf.Tensor) -> tf.Tensor:
    return tf.reshape(values, [-1, values.shape[-1]])  # [time · batch, width]
