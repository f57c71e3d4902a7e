"""Sampled items: a distribution off by one never draws the last item, or draws what is none."""

import numpy as np
import tensorflow as tf

from nextclick.components.negatives import PopularitySampler

COUNTS = np.array([400, 200, 100, 50, 0])
DRAWS = 1_000_000


def frequencies(power):
    drawn = PopularitySampler(COUNTS, power).draw(DRAWS, tf.constant([1, 2])).numpy()
    return np.bincount(drawn, minlength=6)


def test_items_are_drawn_by_popularity():
    weights = np.array([400, 200, 100, 50, 1])
    expected = DRAWS * weights / weights.sum()
    found = frequencies(1.0)
    assert found[5] == 0
    # χ² with 4 degrees of freedom exceeds 23.5 once in 10,000 times.
    assert ((found[:5] - expected) ** 2 / expected).sum() < 23.5


def test_power_half_draws_by_the_square_root():
    weights = np.sqrt([400, 200, 100, 50, 1])
    expected = DRAWS * weights / weights.sum()
    assert ((frequencies(0.5)[:5] - expected) ** 2 / expected).sum() < 23.5


def test_power_zero_draws_all_items_alike():
    assert ((frequencies(0.0)[:5] - DRAWS / 5) ** 2 / (DRAWS / 5)).sum() < 23.5


def test_log_probabilities_are_those_of_the_draws():
    weights = np.sqrt([400, 200, 100, 50, 1])
    found = PopularitySampler(COUNTS, 0.5).log_probability.numpy()
    np.testing.assert_allclose(np.exp(found), weights / weights.sum(), rtol=1e-5)


def test_one_seed_draws_the_same_and_another_does_not():
    sampler = PopularitySampler(np.ones(1000, np.int64), 1.0)
    one, again, other = (sampler.draw(50, tf.constant(seed)).numpy().tolist() for seed in ([3, 4], [3, 4], [3, 5]))
    assert one == again
    assert one != other
