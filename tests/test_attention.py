"""The readout: attention that looks ahead, or counts ages from the wrong end, would still train and score."""

import numpy as np
import pytest
import tensorflow as tf

from nextclick.components.attention import CausalReadout

UNITS, WIDTH, BATCH = 5, 3, 4


@pytest.fixture(scope="module")
def readout():
    readout = CausalReadout(WIDTH)
    readout.build([None, None, UNITS])
    generator = np.random.default_rng(1)
    readout.set_weights([generator.normal(0, 1, weight.shape) for weight in readout.weights])
    return readout


def states_of(time):
    return np.random.default_rng(2).normal(0, 1, [time, BATCH, UNITS]).astype(np.float32)


def plain(readout, states, place):
    """float64 [width] of the states of one session [time, units], after item `place`."""
    query, ages, output = (weight.astype(np.float64) for weight in readout.get_weights())
    last = states[place].astype(np.float64)
    scores = []
    for earlier in range(place + 1):
        key = states[earlier] + ages[min(place - earlier, 63)]
        scores.append((last @ query) @ key / np.sqrt(UNITS))
    shares = np.exp(scores) / np.exp(scores).sum()
    read = sum(share * states[earlier] for earlier, share in enumerate(shares))
    return np.concatenate([last, read]) @ output


@pytest.mark.parametrize("time", [1, 2, 7, 70], ids=["one item", "two", "seven", "more than there are ages"])
def test_vectors_equal_one_prefix_at_a_time(readout, time):
    states = states_of(time)
    wanted = [[plain(readout, states[:, row], place) for row in range(BATCH)] for place in range(time)]
    np.testing.assert_allclose(readout(tf.constant(states)), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("time", [1, 7, 70])
def test_one_place_a_session_equals_that_place_among_all(readout, time):
    states = tf.constant(states_of(time))
    everywhere = readout(states).numpy()
    for places in ([0] * BATCH, [time - 1] * BATCH, [min(time - 1, row) for row in range(BATCH)]):
        found = readout.at(states, tf.constant(places)).numpy()
        np.testing.assert_allclose(found, everywhere[places, range(BATCH)], rtol=1e-5, atol=1e-6)


def test_a_later_state_changes_nothing_before_it_whatever_it_holds(readout):
    states = states_of(6)
    before = readout(tf.constant(states)).numpy()
    states[4:] = 1e30
    after = readout(tf.constant(states)).numpy()
    assert after[:4].tobytes() == before[:4].tobytes()


def test_the_same_states_in_another_order_are_read_otherwise(readout):
    """Without ages the mean would not know an early click from a late one."""
    states = states_of(4)
    swapped = states[[1, 0, 2, 3]]
    assert np.abs(readout(tf.constant(states))[3] - readout(tf.constant(swapped))[3]).max() > 1e-2


def test_every_weight_and_every_earlier_state_gets_a_gradient(readout):
    states = tf.constant(states_of(4))
    with tf.GradientTape() as tape:
        tape.watch(states)
        loss = tf.reduce_sum(tf.square(readout(states)[3]))
    by_states, by_query, by_ages, by_output = tape.gradient(loss, [states, *readout.trainable_weights])
    assert (np.abs(by_states).max(axis=(1, 2)) > 0).all()
    assert np.abs(by_query).min() > 0
    assert np.abs(by_output).min() > 0
    by_ages = tf.convert_to_tensor(by_ages).numpy()
    assert (np.abs(by_ages[:4]).max(axis=1) > 0).all()
    assert not by_ages[4:].any()
