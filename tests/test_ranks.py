"""The rank function: one wrong comparison makes a constant or broken model look perfect."""

import numpy as np
import pytest
import tensorflow as tf

from nextclick.components.ranks import ranks, tied


def test_ranks_of_a_worked_example():
    scores = [[0.9, 0.5, 0.4, 0.1]] * 4
    assert ranks([0, 1, 2, 3], scores).numpy().tolist() == [1, 2, 3, 4]


def test_ties_count_against_the_target():
    scores = [[0.9, 0.5, 0.5, 0.1]] * 4
    assert ranks([0, 1, 2, 3], scores).numpy().tolist() == [1, 3, 3, 4]


def test_constant_scores_rank_every_target_last():
    assert ranks([0, 4, 9], tf.zeros([3, 10])).numpy().tolist() == [10, 10, 10]


def test_one_candidate_is_the_best():
    assert ranks([0], [[-3.0]]).numpy().tolist() == [1]


def test_ranks_equal_a_naive_count():
    generator = np.random.default_rng(3)
    scores = generator.integers(0, 6, [50, 20]).astype(np.float32)
    labels = generator.integers(0, 20, 50)
    naive = [
        1 + sum(scores[row, other] >= scores[row, label] for other in range(20) if other != label)
        for row, label in enumerate(labels)
    ]
    assert ranks(labels, scores).numpy().tolist() == naive
    assert ranks(labels, scores).dtype == tf.int32


def test_ties_are_with_other_candidates_alone():
    scores = [[0.9, 0.5, 0.5, 0.1]] * 4
    assert tied([0, 1, 2, 3], scores).numpy().tolist() == [False, True, True, False]
    assert tied([0, 4, 9], tf.zeros([3, 10])).numpy().tolist() == [True] * 3
    assert tied([0], [[-3.0]]).numpy().tolist() == [False]


def test_ties_equal_a_naive_count():
    generator = np.random.default_rng(5)
    scores = generator.integers(0, 30, [60, 20]).astype(np.float32)
    labels = generator.integers(0, 20, 60)
    naive = [
        any(scores[row, other] == scores[row, label] for other in range(20) if other != label)
        for row, label in enumerate(labels)
    ]
    assert tied(labels, scores).numpy().tolist() == naive
    assert 0 < sum(naive) < 60


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_score_that_is_no_number_fails(bad):
    with pytest.raises(tf.errors.InvalidArgumentError, match="NaN or infinite"):
        ranks([0], [[0.5, bad, 0.1]])


def test_no_rows_have_no_ranks():
    assert ranks(tf.zeros([0], tf.int32), tf.zeros([0, 7])).numpy().tolist() == []
