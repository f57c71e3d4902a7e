"""The GRU with its own gradient must be Keras's GRU, or weights trained with cuDNN would mean something else here."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from nextclick.components.gru import GatedRecurrent


@pytest.fixture(scope="module")
def layer():
    layer = GatedRecurrent(5)
    layer.build([None, None, 4])
    layer.set_weights([np.random.default_rng(place).normal(0, 0.7, w.shape) for place, w in enumerate(layer.weights)])
    return layer


@pytest.mark.parametrize(("steps", "rows"), [(1, 1), (7, 3)])
def test_states_and_all_gradients_equal_keras(layer, steps, rows):
    reference = tf_keras.layers.GRU(5, return_sequences=True, time_major=True)
    reference.build((None, None, 4))
    reference.set_weights(layer.get_weights())
    inputs = tf.random.stateless_normal([steps, rows, 4], [1, 2])
    weight = tf.random.stateless_normal([steps, rows, 5], [3, 4])
    for ours, theirs in zip(evaluated(layer, inputs, weight), evaluated(reference, inputs, weight), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-6)


def test_one_graph_serves_every_number_of_steps(layer):
    compiled = tf.function(layer.call, input_signature=[tf.TensorSpec([None, None, 4])])
    inputs = tf.random.stateless_normal([9, 2, 4], [1, 2])
    whole = compiled(inputs).numpy()
    assert whole.shape == (9, 2, 5)
    np.testing.assert_allclose(compiled(inputs[:4]).numpy(), whole[:4], atol=1e-6)


def test_keras_layer_would_run_on_cudnn(layer):
    assert layer.layer._could_use_gpu_kernel


MASK = np.array([[0, 2, 2, 0, 2], [2, 0, 2, 2, 2], [0, 0, 0, 2, 0]], np.float32)
START = np.random.default_rng(1).uniform(-1, 1, [3, 5]).astype(np.float32)
RESET = np.array([[0, 1, 0], [0, 0, 0], [1, 0, 0], [0, 0, 0], [0, 0, 1], [1, 0, 1], [0, 0, 0]], bool)


@pytest.mark.parametrize(("steps", "rows"), [(1, 2), (7, 3)])
@pytest.mark.parametrize("use_gpu", [False, True])
@pytest.mark.parametrize(
    "given",
    [
        {"state_mask": MASK},
        {"start": START},
        {"reset": RESET},
        {"start": START, "reset": RESET},
        {"start": START, "reset": RESET, "state_mask": MASK},
    ],
    ids=" and ".join,
)
def test_states_and_all_gradients_with_options_equal_a_plain_loop(layer, steps, rows, use_gpu, given):
    """Recurrent dropout's mask is on what the gates see of the state, not on the state; Keras has no part in it."""
    tested = GatedRecurrent(5, use_gpu=use_gpu)
    tested.build([None, None, 4])
    tested.set_weights(layer.get_weights())
    given = {name: value[:steps, :rows] if name == "reset" else value[:rows] for name, value in given.items()}
    inputs = tf.random.stateless_normal([steps, rows, 4], [1, 2])
    weight = tf.random.stateless_normal([steps, rows, 5], [3, 4])

    def plain(inputs, training):
        kernel, recurrent, bias = tested.trainable_weights
        state, states = given.get("start", np.zeros([rows, 5], np.float32)), []
        for time, now in enumerate(tf.unstack(inputs)):
            if "reset" in given:
                state = tf.where(given["reset"][time, :, None], 0.0, state)
            update, reset, candidate = tf.split(now @ kernel + bias[0], 3, axis=1)
            seen = tf.split((state * given.get("state_mask", 1.0)) @ recurrent + bias[1], 3, axis=1)
            update, reset = tf.sigmoid(update + seen[0]), tf.sigmoid(reset + seen[1])
            state = update * state + (1 - update) * tf.tanh(candidate + reset * seen[2])
            states.append(state)
        return tf.stack(states)

    def ours(inputs, training):
        return tested(inputs, training=training, **{name: tf.constant(value) for name, value in given.items()})

    weights = tested.trainable_weights
    for found, wanted in zip(
        evaluated(ours, inputs, weight, weights), evaluated(plain, inputs, weight, weights), strict=True
    ):
        np.testing.assert_allclose(found, wanted, atol=2e-6)


def test_no_gradient_reaches_the_state_that_a_batch_starts_from(layer):
    start = tf.constant(START)
    with tf.GradientTape() as tape:
        tape.watch(start)
        states = layer(tf.ones([2, 3, 4]), training=True, start=start)
    assert tape.gradient(states, start) is None


def evaluated(layer, inputs, weight, weights=None):
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        states = layer(inputs, training=True)
        loss = tf.reduce_sum(states * weight)
    gradients = tape.gradient(loss, [inputs, *(weights or layer.trainable_weights)])
    return [states.numpy(), *(gradient.numpy() for gradient in gradients)]
