"""BPR-max and TOP1-max against plain NumPy: implementations in circulation take the softmax over the target, too."""

import numpy as np
import pytest
import tensorflow as tf

from nextclick.components.pairwise_losses import bpr_max_losses, top1_max_losses

LABELS, NEGATIVES = [3, 7], [3, 5, 5, 9]
TARGETS = np.array([1.5, -0.5])
SCORES = np.array([[0.2, 2.0, -1.0, 0.0], [3.0, -2.0, 0.5, 1.0]])


def sigmoid(value):
    return 1 / (1 + np.exp(-value))


def by_hand(kind, targets=TARGETS, scores=SCORES, regularization=0.0):
    """Loops over predictions and over the negatives that are not the target."""
    losses = []
    for label, target, row in zip(LABELS, targets, scores, strict=True):
        kept = [score for item, score in zip(NEGATIVES, row, strict=True) if item != label]
        weights = np.exp(kept) / np.exp(kept).sum()
        if kind == "bpr":
            likelihood = sum(s * sigmoid(target - r) for s, r in zip(weights, kept, strict=True))
            losses.append(-np.log(likelihood) + regularization * sum(weights * np.square(kept)))
        else:
            losses.append(sum(s * (sigmoid(r - target) + sigmoid(r * r)) for s, r in zip(weights, kept, strict=True)))
    return losses


def of_tensors(function, targets=TARGETS, scores=SCORES, **settings):
    return function(
        tf.constant(LABELS), tf.constant(targets, tf.float32), tf.constant(NEGATIVES),
        tf.constant(scores, tf.float32), **settings,
    )  # fmt: skip


@pytest.mark.parametrize("regularization", [0.0, 0.7])
def test_bpr_max_is_its_formula_and_the_target_is_no_negative(regularization):
    found = of_tensors(bpr_max_losses, regularization=regularization)
    np.testing.assert_allclose(found, by_hand("bpr", regularization=regularization), rtol=1e-5)


def test_top1_max_is_its_formula_and_the_target_is_no_negative():
    np.testing.assert_allclose(of_tensors(top1_max_losses), by_hand("top1"), rtol=1e-5)


def test_one_negative_of_equal_score_gives_the_literals():
    arguments = tf.constant([0]), tf.constant([0.0]), tf.constant([1]), tf.constant([[0.0]])
    assert bpr_max_losses(*arguments, regularization=1.0).numpy() == pytest.approx([np.log(2)])
    assert top1_max_losses(*arguments).numpy() == pytest.approx([1.0])


@pytest.mark.parametrize(("function", "settings"), [(bpr_max_losses, {"regularization": 1.0}), (top1_max_losses, {})])
def test_a_row_that_has_only_its_target_as_negatives_costs_nothing(function, settings):
    scores = tf.Variable([[2.0, 2.0], [1.0, 0.0]])
    with tf.GradientTape() as tape:
        losses = function(tf.constant([4, 1]), tf.constant([2.0, 0.0]), tf.constant([4, 4]), scores, **settings)
    slopes = tape.gradient(losses, scores).numpy()
    assert losses[0].numpy() == 0.0
    assert losses[1].numpy() > 0.1
    assert (slopes[0] == 0.0).all() and np.isfinite(slopes).all() and slopes[1, 0] > 0


def test_bpr_max_stays_finite_where_the_target_is_far_behind():
    found = of_tensors(bpr_max_losses, targets=TARGETS - 500.0, regularization=0.0).numpy()
    # There σ(r_i - r_j) is exp(r_i - r_j), and the loss log(Σ exp(r_j) / n) - r_i over the n negatives.
    assert found == pytest.approx([np.log(8.756935 / 3) + 498.5, np.log(24.587872 / 4) + 500.5], rel=1e-6)
