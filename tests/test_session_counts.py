"""From sessions' ranks to named metrics: if sums did not merge exactly, figures would depend on Beam's batches."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextclick.components import contract, metrics, session_counts
from nextclick.components.session_counts import Counts, SessionRanks

UNKNOWN = contract.UNKNOWN_TARGET_RANK
BASELINES = ("popular", "last_viewed")
BUCKETS = {"1": [1], "2": [2], "3": [3], "4-5": [4, 5], "6-9": [6, 7, 8, 9], "10+": list(range(10, 100))}

ranks = st.one_of(st.integers(1, 25), st.just(UNKNOWN))
rows = st.lists(st.tuples(ranks, ranks, ranks), min_size=0, max_size=14)


def session(predictions, items=()):
    """One session of predictions, each the ranks of model, popular and last viewed."""
    columns = np.array(predictions, np.int64).reshape(-1, 3).T
    shown = np.array([list(items)] * columns.shape[1], np.int32).reshape(columns.shape[1], len(items))
    return SessionRanks(ranks=columns, top_ids=shown, targets=np.array(list(items)[:1] * columns.shape[1], np.int64))


def values(counts, rivals=BASELINES, catalogue=None):
    return session_counts.values(counts, BASELINES, rivals, catalogue)


def mean(numbers):
    return sum(numbers) / len(numbers) if numbers else 0.0


@given(st.lists(rows, max_size=6))
def test_every_value_equals_a_naive_mean(sessions):
    found = values(Counts.of([session(predictions) for predictions in sessions], 3))
    for column, prefix in enumerate(("", "popular/", "last_viewed/")):
        every = [row[column] for predictions in sessions for row in predictions]
        assert found[f"{prefix}recall@20"] == pytest.approx(mean([rank <= 20 for rank in every]))
        assert found[f"{prefix}mrr@5"] == pytest.approx(mean([1 / rank if rank <= 5 else 0 for rank in every]))
        for name, positions in BUCKETS.items():
            there = [p[i - 1][column] for p in sessions for i in positions if i <= len(p)]
            assert found[f"{prefix}recall@20|position={name}"] == pytest.approx(mean([rank <= 20 for rank in there]))
            if not prefix:
                assert found[f"predictions|position={name}"] == len(there)
    model = [row[0] for predictions in sessions for row in predictions]
    assert found["predictions"] == len(model)
    assert found["predictions_known"] == sum(rank != UNKNOWN for rank in model)


@given(st.lists(rows, max_size=6), st.integers(1, 5))
def test_any_split_into_batches_gives_exactly_the_same(sessions, size):
    whole = [session(predictions, items=(2, 3)) for predictions in sessions]
    merged = Counts.none(3)
    for first in range(0, len(whole), size):
        merged = merged + Counts.of(whole[first : first + size], 3)
    catalogue = metrics.Catalogue(first_index=2, clicks=np.array([5, 3, 1], np.int64))
    assert values(merged, catalogue=catalogue) == values(Counts.of(whole, 3), catalogue=catalogue)


def test_lift_is_over_the_best_rival_of_each_metric():
    # Recall@20: model 1, popular 1/2, last viewed 1. MRR@20: model 1/2, popular 1/2, last viewed 1/4.
    counts = Counts.of([session([(2, 1, 4), (2, 30, 4)])], 3)
    found = values(counts)
    assert found["best_baseline_lift/recall@20"] == 0.0
    assert found["best_baseline_lift/mrr@20"] == 0.0
    assert values(counts, rivals=["popular"])["best_baseline_lift/recall@20"] == 0.5
    assert "best_baseline_lift/recall@20" not in values(counts, rivals=[])


def test_lists_are_counted_against_the_catalogue():
    catalogue = metrics.Catalogue(first_index=2, clicks=np.array([6, 1, 1], np.int64))
    counts = Counts.of([session([(1, 1, 1)], items=(2, 3, 0))], 3)
    found = values(counts, catalogue=catalogue)
    assert found["coverage@20"] == pytest.approx(2 / 3)
    assert found["popularity_lift@20"] == pytest.approx(((6 + 1) / 2) / 6)
    assert found["invalid@20"] == pytest.approx(1 / 3)
    assert "coverage@20" not in values(counts)


def test_no_sessions_give_every_metric_and_all_of_them_zero():
    found = values(Counts.of([], 3))
    assert set(found.values()) == {0.0}
    assert set(found) == set(values(Counts.of([session([(1, 2, 3)])], 3)))
