"""The backward GRU: one that starts at the session's end instead of the prefix's has seen what is to be predicted."""

import numpy as np
import pytest
import tensorflow as tf

from nextclick.components.backward import BackwardReader
from nextclick.components.gru import GatedRecurrent

UNITS, WIDTH, BATCH, TIME = 5, 4, 3, 6
INPUTS = np.random.default_rng(2).normal(0, 1, [TIME, BATCH, WIDTH]).astype(np.float32)
UPSTREAM = tf.constant(np.random.default_rng(3).normal(0, 1, [TIME, BATCH, UNITS]), tf.float32)


@pytest.fixture(scope="module")
def reader():
    reader = BackwardReader(UNITS)
    reader.build([None, None, WIDTH])
    generator = np.random.default_rng(1)
    reader.set_weights([generator.normal(0, 0.7, weight.shape) for weight in reader.weights])
    return reader


def one_by_one(recurrent, inputs):
    """[time, batch, units]: the last state over each prefix of each session, reversed, alone."""
    rows = [
        [recurrent(inputs[: place + 1, row : row + 1][::-1])[-1, 0] for row in range(BATCH)] for place in range(TIME)
    ]
    return tf.stack([tf.stack(row) for row in rows])


def test_states_and_gradients_equal_one_prefix_at_a_time(reader):
    recurrent = GatedRecurrent(UNITS)
    recurrent.build([None, None, WIDTH])
    recurrent.set_weights(reader.get_weights())
    found, wanted = (
        evaluated(function, layer)
        for function, layer in ((reader, reader), (lambda inputs: one_by_one(recurrent, inputs), recurrent))
    )
    for ours, plain in zip(found, wanted, strict=True):
        np.testing.assert_allclose(ours, plain, rtol=1e-4, atol=1e-5)


def evaluated(function, layer):
    inputs = tf.constant(INPUTS)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        states = function(inputs)
        loss = tf.reduce_sum(states * UPSTREAM)
    gradients = tape.gradient(loss, [inputs, *layer.trainable_weights])
    return [states.numpy(), *(tf.convert_to_tensor(gradient).numpy() for gradient in gradients)]


def test_one_prefix_a_session_equals_that_prefix_among_all(reader):
    everywhere = reader(tf.constant(INPUTS)).numpy()
    for places in ([0, 0, 0], [5, 5, 5], [4, 0, 2]):
        found = reader.at(tf.constant(INPUTS), tf.constant(places)).numpy()
        np.testing.assert_allclose(found, everywhere[places, range(BATCH)], rtol=1e-5, atol=1e-6)


def test_what_comes_after_a_prefix_changes_nothing(reader):
    changed = INPUTS.copy()
    changed[3:] += 10.0
    assert reader(tf.constant(changed)).numpy()[:3].tobytes() == reader(tf.constant(INPUTS)).numpy()[:3].tobytes()


def test_the_first_item_is_read_last(reader):
    """So it weighs most in the state, as the last item does in the forward GRU's."""
    states = reader(tf.constant(INPUTS)).numpy()
    changes = []
    for place in (0, TIME - 1):
        changed = INPUTS.copy()
        changed[place] = 0.0
        changes.append(np.abs(reader(tf.constant(changed)).numpy()[-1] - states[-1]).mean())
    assert changes[0] > 2 * changes[1]


def test_a_mask_of_recurrent_dropout_is_each_prefix_s_own(reader):
    masks = tf.constant(np.random.default_rng(4).choice([0.0, 2.0], [TIME * BATCH, UNITS]), tf.float32)
    states = reader(tf.constant(INPUTS), training=True, state_mask=masks).numpy()
    for place, row in ((1, 0), (3, 2), (5, 1)):
        prefix = tf.constant(INPUTS[: place + 1, row : row + 1][::-1])
        mask = masks[place * BATCH + row][None]
        wanted = reader.recurrent(prefix, training=True, state_mask=mask)[-1, 0]
        np.testing.assert_allclose(states[place, row], wanted, rtol=1e-5, atol=1e-6)
