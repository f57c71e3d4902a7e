"""Ranking metrics: if these are wrong, every figure in the report and every decision of the gate is."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextclick.components import contract, metrics

UNKNOWN = contract.UNKNOWN_TARGET_RANK

ranks_lists = st.lists(st.one_of(st.integers(1, 30), st.just(UNKNOWN)), max_size=60)


def naive(name: str, ranks: list[int]) -> float:
    stem, _, known = name.partition("/")
    kind, cutoff = stem.split("@")
    if known:
        ranks = [rank for rank in ranks if rank != UNKNOWN]
    total = 0.0
    for rank in ranks:
        if rank <= int(cutoff):
            total += {"recall": 1.0, "mrr": 1 / rank, "map": 1 / rank, "ndcg": 1 / math.log2(1 + rank)}[kind]
    return total / len(ranks) if ranks else 0.0


def test_hand_worked_example():
    # Ranks 1, 3, 21 and an unknown target: hits at 1 and 3 of four predictions, three of them known.
    counts = metrics.RankCounts.of([1, 3, 21, UNKNOWN])
    assert counts.predictions == 4
    assert counts.known == 3
    assert counts.value("recall@1") == 0.25
    assert counts.value("recall@20") == 0.5
    assert counts.value("recall@20/known") == pytest.approx(2 / 3)
    assert counts.value("mrr@20") == pytest.approx((1 + 1 / 3) / 4)
    assert counts.value("ndcg@3") == pytest.approx((1 + 1 / 2) / 4)
    assert counts.value("map@5/known") == pytest.approx((1 + 1 / 3) / 3)


def test_every_metric_of_the_interface_is_there():
    names = set(metrics.RankCounts.none().metrics())
    for kind in ("recall", "mrr", "ndcg", "map"):
        for cutoff in (1, 3, 5, 10, 20):
            assert {f"{kind}@{cutoff}", f"{kind}@{cutoff}/known"} <= names
    assert len(names) == 40


def test_no_predictions_give_zero_everywhere():
    counts = metrics.RankCounts.of(np.zeros((3, 4), np.int32))
    assert counts.predictions == 0
    assert set(counts.metrics().values()) == {0.0}


def test_half_unknown_targets_halve_the_metric_but_not_its_known_form():
    counts = metrics.RankCounts.of([2, UNKNOWN])
    assert counts.value("mrr@20") == counts.value("mrr@20/known") / 2 == 0.25


def test_negative_rank_is_refused():
    with pytest.raises(ValueError, match="received -1"):
        metrics.RankCounts.of([1, -1])


@given(ranks_lists)
def test_metrics_equal_a_naive_loop(ranks):
    values = metrics.RankCounts.of(np.array(ranks, np.int64)).metrics()
    for name, value in values.items():
        assert value == pytest.approx(naive(name, ranks), abs=1e-12)


@given(st.lists(ranks_lists, min_size=1, max_size=5))
def test_batches_of_unequal_size_merge_to_the_single_pass(batches):
    merged = metrics.RankCounts.none()
    for batch in batches:
        merged = merged + metrics.RankCounts.of(np.array(batch, np.int64))
    whole = metrics.RankCounts.of(np.array([rank for batch in batches for rank in batch], np.int64))
    assert merged.metrics() == whole.metrics()  # exactly: the counts are integers


@given(st.lists(st.tuples(st.one_of(st.integers(0, 25), st.just(UNKNOWN)), st.integers(0, 3)), max_size=50))
def test_groups_equal_counting_each_alone(pairs):
    ranks, groups = np.array([p[0] for p in pairs], np.int64), np.array([p[1] for p in pairs], np.int64)
    together = metrics.RankCounts.by_group(ranks, groups, 4)
    for group in range(4):
        alone = metrics.RankCounts.of(ranks[groups == group])
        np.testing.assert_array_equal(together[group].counts, alone.counts)


def catalogue(*clicks: int) -> metrics.Catalogue:
    return metrics.Catalogue(first_index=2, clicks=np.array(clicks, np.int64))


def test_all_items_recommended_once_cover_the_catalogue_exactly():
    recommended = metrics.count_items([[2, 3], [4, 0]])  # the padding at the end is no item
    found = metrics.list_metrics(catalogue(4, 2, 2), recommended, lists=1, targets=metrics.count_items([2]))
    assert found["coverage@20"] == 1.0
    assert found["invalid@20"] == 0.0


def test_novelty_and_popularity_lift_by_hand():
    # Clicks 4, 2, 2 of 8: 1, 2 and 2 bits. Two lists of three places: item 2 twice, item 3 once, the rest empty.
    recommended = metrics.count_items([[2, 3, 0], [2, 0, 0]])
    found = metrics.list_metrics(catalogue(4, 2, 2), recommended, lists=2, targets=metrics.count_items([3, 4, 1]))
    assert found["novelty@20"] == pytest.approx((1 + 2 + 1) / 3)
    assert found["popularity_lift@20"] == pytest.approx(((4 + 2 + 4) / 3) / 2)  # the unknown target 1 does not count
    assert found["coverage@20"] == pytest.approx(2 / 3)
    assert found["invalid@20"] == pytest.approx(3 / 6)


def test_recommended_padding_and_unknown_items_are_invalid():
    recommended = metrics.count_items([0, 1, 2, 3, 4])
    found = metrics.list_metrics(catalogue(1, 1, 1, 1, 1), recommended, lists=1, targets=metrics.count_items([2]))
    assert found["invalid@20"] == pytest.approx(2 / 5)


def test_no_lists_give_zero_everywhere():
    found = metrics.list_metrics(catalogue(3, 1), metrics.count_items([]), lists=0, targets=metrics.count_items([]))
    assert set(found.values()) == {0.0}


@given(
    st.lists(st.integers(1, 50), min_size=1, max_size=8),
    st.lists(st.lists(st.integers(0, 11), min_size=1, max_size=6), max_size=6),
    st.lists(st.integers(0, 11), max_size=6),
)
def test_list_metrics_equal_a_naive_loop(clicks, lists, targets):
    found = metrics.list_metrics(
        catalogue(*clicks),
        metrics.count_items([item for shown in lists for item in shown]),
        lists=len(lists),
        targets=metrics.count_items(targets),
    )
    known = {index + 2: count for index, count in enumerate(clicks)}
    shown = [known[item] for places in lists for item in places if item in known]
    wanted = [known[item] for item in targets if item in known]
    bits = [-math.log2(count / sum(clicks)) for count in shown]
    items = {item for places in lists for item in places if item in known}
    assert found["coverage@20"] == pytest.approx(len(items) / len(clicks))
    assert found["novelty@20"] == pytest.approx(sum(bits) / len(bits) if bits else 0, abs=1e-9)
    lift = (sum(shown) / len(shown)) / (sum(wanted) / len(wanted)) if shown and wanted else 0
    assert found["popularity_lift@20"] == pytest.approx(lift)


def test_counts_of_items_merge_and_hold_only_items_that_occur():
    """Dense counts would take Evaluator as much memory as the catalogue is large, once for each slice and batch."""
    merged = metrics.count_items([[7, 2], [7, 500_000]]) + metrics.count_items([2, 1]) + metrics.count_items([])
    assert merged.indices.tolist() == [1, 2, 7, 500_000]
    assert merged.times.tolist() == [1, 2, 2, 1]
