"""The bootstrap: if its intervals are wrong, noise is pushed or good models are refused; if unstable, runs disagree."""

import numpy as np
import pytest

from nextclick.components import bootstrap


def fingerprints(number, seed=1):
    return np.array([bootstrap.fingerprint(f"session {i}".encode(), seed) for i in range(number)], np.uint64)


def test_weights_are_poisson_of_mean_one():
    weights = bootstrap.weights(fingerprints(500))
    assert weights.shape == (bootstrap.REPLICATES, 500)
    shares = [np.mean(weights == count) for count in range(4)]
    # exp(-1) / k!; half a million draws, so that three digits are certain.
    assert shares == pytest.approx([0.36788, 0.36788, 0.18394, 0.06131], abs=0.003)
    assert weights.var() == pytest.approx(1, abs=0.02)


def test_weights_of_two_sessions_and_of_two_replicates_are_unrelated():
    weights = bootstrap.weights(fingerprints(200))
    of_sessions = np.corrcoef(weights, rowvar=False)[~np.eye(200, dtype=bool)]
    of_replicates = np.corrcoef(weights[:200])[~np.eye(200, dtype=bool)]
    assert abs(of_sessions.mean()) < 0.005
    assert abs(of_replicates.mean()) < 0.005
    assert np.abs(of_sessions).max() < 0.2


def test_weights_follow_from_the_session_alone():
    together = bootstrap.weights(fingerprints(10))
    np.testing.assert_array_equal(together[:, 3:5], bootstrap.weights(fingerprints(10)[3:5]))


def test_weights_never_change_between_versions():
    # Literal: an interval of last month's report must come out again.
    assert bootstrap.fingerprint(b"a", 42) == 0x3772D520AADA7206
    assert bootstrap.weights(np.array([0, 1], np.uint64))[:6].tolist() == FIRST_WEIGHTS


FIRST_WEIGHTS = [[1.0, 2.0], [1.0, 2.0], [2.0, 3.0], [1.0, 1.0], [3.0, 2.0], [1.0, 0.0]]


def test_seed_changes_the_weights():
    assert bootstrap.fingerprint(b"a", 1) != bootstrap.fingerprint(b"a", 2)


def test_interval_of_a_mean_is_that_of_the_normal_distribution():
    values = np.random.default_rng(5).normal(0.3, 0.5, 2000)
    weights = bootstrap.weights(fingerprints(2000))
    low, high = bootstrap.interval((weights @ values) / weights.sum(axis=1))
    half = 1.96 * values.std() / np.sqrt(2000)
    assert low == pytest.approx(values.mean() - half, abs=half / 8)
    assert high == pytest.approx(values.mean() + half, abs=half / 8)


def test_interval_covers_the_truth_as_often_as_it_says():
    chance = np.random.default_rng(8)
    hits = 0
    for trial in range(200):
        values = chance.random(150) < 0.3
        weights = bootstrap.weights(np.array([trial * 1000 + i for i in range(150)], np.uint64))
        low, high = bootstrap.interval((weights @ values) / weights.sum(axis=1))
        hits += low <= 0.3 <= high
    assert 180 <= hits <= 199  # 190 expected; 2.5 standard deviations are 8
