"""Losses against literals, plain NumPy and TensorFlow's own: with softmax taken twice a model still trains."""

import numpy as np
import pytest
import tensorflow as tf

from nextclick.components.losses import mean, sampled_softmax_losses, softmax_losses
from nextclick.components.negatives import PopularitySampler


def test_loss_of_two_logits_is_the_literal():
    assert softmax_loss([1], tf.constant([[0.0, 10.0]])).numpy() == pytest.approx(np.log1p(np.exp(-10)), abs=1e-6)


def test_loss_stays_finite_where_the_target_s_probability_underflows():
    loss, gradient = value_and_gradient(lambda logits: softmax_loss([0], logits), tf.constant([[-300.0, 300.0, 0.0]]))
    assert loss == pytest.approx(600.0)
    np.testing.assert_allclose(gradient, [[-1.0, 1.0, 0.0]])


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_loss_and_gradient_equal_tensorflow_s_dense_ones(smoothing):
    logits = tf.constant(np.random.default_rng(1).normal(0, 4, [7, 11]), tf.float32)
    labels = tf.constant([0, 3, 10, 3, 5, 7, 1])
    dense = tf.one_hot(labels, 11) * (1 - smoothing) + smoothing / 11

    def reference(logits):
        return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(dense, logits))

    ours = value_and_gradient(lambda logits: softmax_loss(labels, logits, label_smoothing=smoothing), logits)
    theirs = value_and_gradient(reference, logits)
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-5)
    np.testing.assert_allclose(ours[1], theirs[1], atol=1e-6)


def test_sampled_loss_of_a_worked_example():
    # n = 2 draws, Q = 0.25 each: log(n Q) = log 0.5, so that each negative's exponential is doubled.
    loss = sampled_softmax_loss(
        [5],
        tf.constant([1.0]),
        tf.constant([1, 2]),
        tf.constant([[0.0, 0.5]]),
        negative_log_probability=tf.math.log([0.25, 0.25]),
    )
    total = np.exp(1.0) + 2 * np.exp(0.0) + 2 * np.exp(0.5)
    assert loss.numpy() == pytest.approx(np.log(total) - 1.0, abs=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_positive_drawn_as_its_own_negative_changes_nothing(smoothing):
    def loss(negatives, logits, probabilities):
        return sampled_softmax_loss(
            [5],
            tf.constant([1.0]),
            tf.constant(negatives),
            tf.constant([logits]),
            negative_log_probability=tf.math.log(probabilities),
            label_smoothing=smoothing if len(set(logits)) == 1 else 0.0,
        ).numpy()

    # The second draw counts in n alone: with Q halved, n Q and thus the other's correction is as it was.
    assert loss([2, 5], [0.7, 0.7], [0.1, 0.1]) == pytest.approx(loss([2], [0.7], [0.2]), abs=1e-6)


def test_no_predictions_lose_nothing():
    loss, gradient = value_and_gradient(lambda logits: softmax_loss(tf.zeros([0], tf.int32), logits), tf.zeros([0, 3]))
    assert (loss, gradient.shape) == (0.0, (0, 3))


def test_expected_sampled_gradient_is_the_full_one():
    logits = tf.constant([1.5, -0.5, 0.3, 2.0, -1.0])
    label = 2
    sampler = PopularitySampler(np.array([50, 20, 15, 10, 5]), 1.0)

    def sampled(logits, seed):
        negatives = sampler.draw(4000, tf.constant([7, seed]))
        return sampled_softmax_loss(
            [label],
            logits[label : label + 1],
            negatives,
            tf.gather(logits, negatives)[None],
            negative_log_probability=tf.gather(sampler.log_probability, negatives),
        )

    gradients = [value_and_gradient(lambda logits, seed=seed: sampled(logits, seed), logits)[1] for seed in range(60)]
    full = value_and_gradient(lambda logits: softmax_loss([label], logits[None]), logits)[1]
    np.testing.assert_allclose(np.mean(gradients, axis=0), full, atol=0.004)


def test_smoothing_of_the_sampled_loss_weighs_items_as_if_each_were_drawn_alike():
    # Item 0 is drawn three times as often as item 1: three draws of it and one of the other count the same.
    loss = [
        sampled_softmax_loss(
            [5],
            tf.constant([1.0]),
            tf.constant([0, 0, 0, 1]),
            tf.constant([[2.0, 2.0, 2.0, -4.0]]),
            negative_log_probability=tf.math.log([0.75, 0.75, 0.75, 0.25]),
            label_smoothing=smoothing,
        ).numpy()
        for smoothing in (0.0, 0.5)
    ]
    assert loss[1] - loss[0] == pytest.approx(0.5 * (1.0 - (2.0 - 4.0) / 2), abs=1e-6)


def value_and_gradient(function, argument):
    with tf.GradientTape() as tape:
        tape.watch(argument)
        value = function(argument)
    return value.numpy(), tf.convert_to_tensor(tape.gradient(value, argument)).numpy()


def softmax_loss(*arguments, **settings):
    return mean(softmax_losses(*arguments, **settings))


def sampled_softmax_loss(*arguments, **settings):
    return mean(sampled_softmax_losses(*arguments, **settings))
