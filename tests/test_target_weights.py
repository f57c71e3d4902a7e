"""Weights of targets: turned the wrong way they make the popular items, which need no help, count still more."""

import numpy as np
import pytest

from nextclick.components import steps


def test_rarer_targets_weigh_more_and_the_mean_over_events_is_one():
    counts = np.array([100, 25, 1])
    weights = steps.target_weights(counts, 0.5).numpy()
    # Before they are scaled: 1/10, 1/5, 1; their sum over the 126 events is 10 + 5 + 1 = 16.
    assert weights == pytest.approx([0.1 * 126 / 16, 0.2 * 126 / 16, 1.0 * 126 / 16])
    assert (weights * counts).sum() / counts.sum() == pytest.approx(1.0)


def test_power_zero_weighs_all_alike_and_power_one_gives_each_item_the_same_sum():
    counts = np.array([8, 2])
    assert steps.target_weights(counts, 0.0).numpy() == pytest.approx([1.0, 1.0])
    assert steps.target_weights(counts, 1.0).numpy() * counts == pytest.approx([5.0, 5.0])


def test_an_item_never_clicked_has_a_finite_weight():
    assert np.isfinite(steps.target_weights(np.array([3, 0]), 1.0).numpy()).all()


@pytest.mark.parametrize(
    ("loss", "items", "sampled"),
    [("auto", 10_000, False), ("auto", 10_001, True), ("softmax", 10**6, False), ("sampled_softmax", 5, True),
     ("bpr_max", 5, True), ("top1_max", 5, True)],
)  # fmt: skip
def test_which_losses_draw_negatives(loss, items, sampled):
    assert steps.samples_negatives(loss, items) is sampled
