"""Optimisers: first steps against their formulas, and rows without a gradient left alone."""

import numpy as np
import pytest
import tensorflow as tf

from nextclick.components.optimizers import Optimizer

START, GRADIENT, RATE = np.array([1.0, -2.0]), np.array([0.5, -0.25]), 0.1


def after(name, steps, **settings):
    variable = tf.Variable(START, dtype=tf.float32)
    optimizer = Optimizer(name, [variable], **settings)
    for _ in range(steps):
        optimizer.apply([tf.constant(GRADIENT, tf.float32)], tf.constant(RATE))
    return variable.numpy()


def adam(steps, ahead=False):
    weights, mean, square = START.copy(), np.zeros(2), np.zeros(2)
    for step in range(1, steps + 1):
        mean = 0.9 * mean + 0.1 * GRADIENT
        square = 0.999 * square + 0.001 * GRADIENT**2
        if ahead:
            direction = 0.9 * mean / (1 - 0.9 ** (step + 1)) + 0.1 * GRADIENT / (1 - 0.9**step)
        else:
            direction = mean / (1 - 0.9**step)
        weights = weights - RATE * direction / (np.sqrt(square / (1 - 0.999**step)) + 1e-7)
    return weights


@pytest.mark.parametrize("steps", [1, 3])
def test_adam_follows_its_formula(steps):
    np.testing.assert_allclose(after("adam", steps), adam(steps), rtol=1e-4)


@pytest.mark.parametrize("steps", [1, 3])
def test_nadam_looks_a_step_ahead(steps):
    np.testing.assert_allclose(after("nadam", steps), adam(steps, ahead=True), rtol=1e-4)


def test_adamw_decays_the_weights_beside_the_moments():
    np.testing.assert_allclose(after("adamw", 1, weight_decay=0.2), adam(1) - RATE * 0.2 * START, rtol=1e-4)


def test_adagrad_starts_from_a_tenth():
    np.testing.assert_allclose(after("adagrad", 1), START - RATE * GRADIENT / np.sqrt(0.1 + GRADIENT**2), rtol=1e-5)
    second = START - RATE * GRADIENT / np.sqrt(0.1 + GRADIENT**2) - RATE * GRADIENT / np.sqrt(0.1 + 2 * GRADIENT**2)
    np.testing.assert_allclose(after("adagrad", 2), second, rtol=1e-5)


def test_sgd_gathers_momentum():
    np.testing.assert_allclose(after("sgd", 2), START - 2 * RATE * GRADIENT, rtol=1e-6)
    np.testing.assert_allclose(after("sgd", 2, momentum=0.5), START - 2.5 * RATE * GRADIENT, rtol=1e-6)


@pytest.mark.parametrize("name", ["adam", "adamw", "nadam", "adagrad", "sgd"])
def test_rows_without_gradient_are_bit_equal_after_steps_and_touched_ones_move_as_if_alone(name):
    table = tf.Variable(tf.random.stateless_normal([5, 3], [1, 2]))
    rows = tf.Variable(table[1:4:2])
    before = table.numpy()
    sparse, dense = Optimizer(name, [table], momentum=0.5), Optimizer(name, [rows], momentum=0.5)
    for step in range(3):
        values = tf.random.stateless_normal([3, 3], [3, step])
        # Row 3 occurs twice: its gradients add up.
        sparse.apply([tf.IndexedSlices(values, tf.constant([3, 1, 3]))], tf.constant(RATE))
        dense.apply([tf.stack([values[1], values[0] + values[2]])], tf.constant(RATE))
    assert table.numpy()[[0, 2, 4]].tobytes() == before[[0, 2, 4]].tobytes()
    np.testing.assert_allclose(table.numpy()[[1, 3]], rows.numpy(), rtol=1e-5)


def test_gradients_are_scaled_to_the_norm_over_all_variables():
    one, two = tf.Variable([0.0]), tf.Variable([[0.0], [0.0]])
    optimizer = Optimizer("sgd", [one, two], clip_norm=1.0)
    twice = tf.IndexedSlices(tf.constant([[1.0], [3.0]]), tf.constant([1, 1]))  # adds up to 4
    norm = optimizer.apply([tf.constant([3.0]), twice], tf.constant(1.0))
    assert norm.numpy() == pytest.approx(5.0)
    np.testing.assert_allclose(one.numpy(), [-0.6], rtol=1e-6)
    np.testing.assert_allclose(two.numpy(), [[0.0], [-0.8]], rtol=1e-6)


def test_gradients_below_the_norm_are_left_as_they_are():
    variable = tf.Variable([0.0, 0.0])
    Optimizer("sgd", [variable], clip_norm=6.0).apply([tf.constant([3.0, 4.0])], tf.constant(1.0))
    np.testing.assert_allclose(variable.numpy(), [-3.0, -4.0], rtol=1e-6)


def test_a_variable_without_gradient_stays():
    one, two = tf.Variable([1.0]), tf.Variable([1.0])
    Optimizer("sgd", [one, two]).apply([None, tf.constant([1.0])], tf.constant(1.0))
    assert (one.numpy()[0], two.numpy()[0]) == (1.0, 0.0)


@pytest.mark.parametrize("rows", [False, True])
def test_each_entry_is_limited_before_the_norm_is(rows):
    variable = tf.Variable([[0.0, 0.0], [0.0, 0.0]])
    gradient = tf.constant([[0.3, -4.0]])
    gradient = tf.IndexedSlices(gradient, [0]) if rows else tf.concat([gradient, [[0.0, 0.0]]], 0)
    norm = Optimizer("sgd", [variable], clip_value=0.4).apply([gradient], tf.constant(1.0))
    np.testing.assert_allclose(variable.numpy(), [[-0.3, 0.4], [0.0, 0.0]], rtol=1e-6)
    assert norm.numpy() == pytest.approx(0.5)
