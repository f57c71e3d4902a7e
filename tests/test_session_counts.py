"""From sessions' ranks to named figures: if sums did not merge exactly, they would depend on Beam's batches."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextclick.components import bootstrap, contract, figures, metrics, session_counts
from nextclick.components.evaluation_facts import Facts
from nextclick.components.prediction_slices import Dimension
from nextclick.components.session_counts import Counts, Layout, SessionRanks

UNKNOWN = contract.UNKNOWN_TARGET_RANK
BASELINES = ("popular", "last_viewed")
LAYOUT = Layout(("model", *BASELINES), (Dimension("half", ("first", "second")), Dimension("kind", ("only",))))
SERVED = Layout(("model", *BASELINES, "served"), LAYOUT.dimensions)

ranks = st.one_of(st.integers(1, 25), st.just(UNKNOWN))
rows = st.lists(st.tuples(ranks, ranks, ranks), min_size=0, max_size=8)


def session(predictions, number=0, items=(), rankers=3, tied=None):
    """One session of predictions, each the ranks of every ranker; even positions are of the first half."""
    columns = np.array(predictions, np.int64).reshape(-1, rankers).T
    length = columns.shape[1]
    return SessionRanks(
        fingerprints=np.array([bootstrap.fingerprint(str(number).encode(), 0)], np.uint64),
        lengths=np.array([length]),
        ranks=columns,
        slices={"half": np.arange(length) % 2},
        top_ids=np.array([list(items)] * length, np.int32).reshape(length, len(items)),
        targets=np.array(list(items)[:1] * length, np.int64),
        tied=tied,
    )


def model_figures(counts, rivals=BASELINES, facts=None, layout=LAYOUT):
    return figures.model_figures(counts, layout, rivals, facts)


def facts_of(*clicks):
    catalogue = metrics.Catalogue(first_index=2, clicks=np.array(clicks, np.int64))
    return Facts(catalogue, (), {"drift/popularity": 0.5}, ("a", "b", "c"))


def mean(numbers):
    return sum(numbers) / len(numbers) if numbers else 0.0


@settings(max_examples=40, deadline=None)
@given(st.lists(rows, max_size=5))
def test_every_figure_equals_a_naive_mean(sessions):
    found = model_figures(Counts.of([session(predictions) for predictions in sessions], LAYOUT))
    for column, prefix in enumerate(("", "popular/", "last_viewed/")):
        every = [row[column] for predictions in sessions for row in predictions]
        assert found[f"{prefix}recall@20"] == pytest.approx(mean([rank <= 20 for rank in every]))
        assert found[f"{prefix}mrr@5"] == pytest.approx(mean([1 / rank if rank <= 5 else 0 for rank in every]))
        for half, label in enumerate(("first", "second")):
            there = [row[column] for p in sessions for i, row in enumerate(p) if i % 2 == half]
            assert found[f"{prefix}recall@20|half={label}"] == pytest.approx(mean([rank <= 20 for rank in there]))
            if not prefix:
                assert found[f"predictions|half={label}"] == len(there)
        assert found["predictions|kind=only"] == 0  # no session said so
    model = [row[0] for predictions in sessions for row in predictions]
    assert found["predictions"] == len(model)
    assert found["predictions_known"] == sum(rank != UNKNOWN for rank in model)
    assert found["sessions"] == len(sessions)


@settings(max_examples=20, deadline=None)
@given(st.lists(rows, max_size=5), st.integers(1, 4))
def test_any_split_into_batches_gives_exactly_the_same(sessions, size):
    whole = [session(predictions, number, items=(2, 3)) for number, predictions in enumerate(sessions)] * 8
    merged = Counts.none(LAYOUT)
    for first in range(0, len(whole), size):
        merged = merged + Counts.of(whole[first : first + size], LAYOUT)
    at_once = Counts.of(whole, LAYOUT)
    assert model_figures(merged, facts=facts_of(5, 3, 1)) == model_figures(at_once, facts=facts_of(5, 3, 1))


def packed(sessions):
    """Some sessions as one SessionRanks."""
    return SessionRanks(
        fingerprints=np.concatenate([one.fingerprints for one in sessions]),
        lengths=np.concatenate([one.lengths for one in sessions]),
        ranks=np.concatenate([one.ranks for one in sessions], axis=1),
        slices={"half": np.concatenate([one.slices["half"] for one in sessions])},
        top_ids=np.concatenate([one.top_ids for one in sessions]),
        targets=np.concatenate([one.targets for one in sessions]),
        tied=None,
    )


def test_sessions_in_packs_are_counted_as_by_themselves():
    chance = np.random.default_rng(4)
    sessions = [
        session(chance.integers(1, 30, (chance.integers(0, 5), 3)).tolist(), number, items=(2, 3))
        for number in range(9)
    ]
    alone, in_packs = Counts.of(sessions, LAYOUT), Counts.of([packed(sessions[:5]), packed(sessions[5:])], LAYOUT)
    np.testing.assert_array_equal(alone.resampled.counts, in_packs.resampled.counts)
    np.testing.assert_array_equal(alone.resampled_hits, in_packs.resampled_hits)
    assert model_figures(alone, facts=facts_of(5, 3, 1)) == model_figures(in_packs, facts=facts_of(5, 3, 1))


def test_weighted_sums_are_exact_beyond_float32():
    """2^24 + 1 is no number of float32: sums of many predictions must not be rounded to it."""
    counts = [np.array([[1 << 24], [1]])]
    weights = np.ones((3, 2), np.uint8)
    assert session_counts._weighted(weights, counts)[0].tolist() == [[(1 << 24) + 1]] * 3


def test_replicates_are_the_weighted_counts():
    sessions = [session([(1, 2, 30)], 1), session([(30, 1, 1), (2, 2, 2)], 2)]
    counts = Counts.of(sessions, LAYOUT)
    weights = bootstrap.weights(np.concatenate([one.fingerprints for one in sessions])).astype(int)
    for replicate in range(50):
        first, second = weights[replicate]
        assert counts.resampled[replicate, 0].predictions == first + 2 * second
        model = [1] * int(first) + [30, 2] * int(second)
        assert counts.resampled[replicate, 0].value("mrr@20") == pytest.approx(
            mean([1 / r if r <= 20 else 0 for r in model])
        )
        assert counts.resampled_predictions[replicate].tolist() == [first + second, second, 0]
        assert counts.resampled_hits[replicate, :, 0].tolist() == [first, second, 0]


def test_lift_is_over_the_best_rival_of_each_metric():
    # Recall@20: model 1, popular 1/2, last viewed 1. MRR@20: model 1/2, popular 1/2, last viewed 1/4.
    counts = Counts.of([session([(2, 1, 4), (2, 30, 4)])], LAYOUT)
    found = model_figures(counts)
    assert found["best_baseline_lift/recall@20"] == 0.0
    assert found["best_baseline_lift/mrr@20"] == 0.0
    assert model_figures(counts, rivals=["popular"])["best_baseline_lift/recall@20"] == 0.5
    assert "best_baseline_lift/recall@20" not in model_figures(counts, rivals=[])


def test_interval_of_a_lift_is_paired():
    # Sessions differ much, the rankers by the same in each: the lift is certain, the figures are not.
    sessions = [session([(1, 2, 30)], n) if n % 2 else session([(4, 4, 30)] * 3, n) for n in range(100)]
    found = model_figures(Counts.of(sessions, LAYOUT), rivals=["popular"])
    assert found["mrr@20/high"] - found["mrr@20/low"] > 0.05
    assert found["best_baseline_lift/recall@20/low"] == found["best_baseline_lift/recall@20/high"] == 0


def test_interval_of_two_models_of_one_quality_holds_zero():
    chance = np.random.default_rng(2)
    sessions = [session([tuple(chance.integers(1, 40, 3))] * 2, n) for n in range(300)]
    found = model_figures(Counts.of(sessions, LAYOUT), rivals=["popular"])
    assert found["best_baseline_lift/recall@20/low"] < 0 < found["best_baseline_lift/recall@20/high"]


def test_interval_of_too_few_sessions_says_nothing():
    found = model_figures(Counts.of([session([(1, 2, 30)], n) for n in range(29)], LAYOUT))
    assert (found["recall@20/low"], found["recall@20/high"]) == (0.0, 1.0)
    assert (found["best_baseline_lift/mrr@20/low"], found["best_baseline_lift/mrr@20/high"]) == (-1.0, 1.0)
    found = model_figures(Counts.of([session([(1, 2, 30)], n) for n in range(30)], LAYOUT))
    assert found["recall@20/low"] == 1.0


def test_differences_are_from_the_served_model():
    sessions = [session([(1, 9, 9, 2), (30, 9, 9, 30)], n, rankers=4) for n in range(200)]
    counts = Counts.of(sessions, SERVED)
    found = figures.differences(counts, SERVED)
    assert found["mrr@20/low"] == found["mrr@20/high"] == pytest.approx((1 - 1 / 2) / 2)
    assert found["worst_slice/recall@20"] == 0.0
    assert figures.served_figures(counts, SERVED)["mrr@20"] == 0.25
    assert "served/mrr@20" not in model_figures(counts, layout=SERVED)
    assert figures.differences(Counts.none(LAYOUT), LAYOUT) == {}


def test_worst_slice_is_the_one_that_surely_lost_most():
    sessions = [session([(30, 9, 9, 1), (1, 9, 9, 30)], n, rankers=4) for n in range(100)]
    assert figures.differences(Counts.of(sessions, SERVED), SERVED)["worst_slice/recall@20"] == -1.0
    assert figures.differences(Counts.of(sessions[:99], SERVED), SERVED)["worst_slice/recall@20"] == 1.0  # too small


def test_tied_share_is_of_the_predictions_of_which_it_is_known():
    halves = [Counts.of([session([(1, 1, 1)] * 3, tied=2)], LAYOUT), Counts.of([session([(1, 1, 1)], tied=0)], LAYOUT)]
    assert model_figures(halves[0] + halves[1])["tied_share"] == 0.5
    silent = Counts.of([session([(1, 1, 1)])], LAYOUT)
    assert model_figures(halves[0] + silent)["tied_share"] == pytest.approx(2 / 3)
    assert "tied_share" not in model_figures(silent)


def test_lists_are_counted_against_the_catalogue():
    counts = Counts.of([session([(1, 1, 1)], items=(2, 3, 0))], LAYOUT)
    found = model_figures(counts, facts=facts_of(6, 1, 1))
    assert found["coverage@20"] == pytest.approx(2 / 3)
    assert found["popularity_lift@20"] == pytest.approx(((6 + 1) / 2) / 6)
    assert found["invalid@20"] == pytest.approx(1 / 3)
    assert found["drift/popularity"] == 0.5
    assert "coverage@20" not in model_figures(counts)


def test_items_out_of_proportion_are_named():
    # a is half of what is shown and all of what is clicked; b is the other half, c is not there at all.
    found = model_figures(Counts.of([session([(1, 1, 1)] * 2, items=(2, 3))], LAYOUT), facts=facts_of(6, 1, 1))
    named = {name: value for name, value in found.items() if "over=" in name or "under=" in name}
    assert named == {"recommended|over=b": 2, "clicked|over=b": 0, "recommended|under=a": 2, "clicked|under=a": 2}


def test_no_sessions_give_every_figure():
    found = model_figures(Counts.of([], LAYOUT))
    assert {value for name, value in found.items() if not name.endswith(("/low", "/high"))} == {0.0}
    assert set(found) == set(model_figures(Counts.of([session([(1, 2, 3)])], LAYOUT)))
