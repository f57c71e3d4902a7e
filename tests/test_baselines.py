"""The baselines: if one is weaker than it should be, or sees the answer, the gate lets a bad model through."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextclick.components import baselines, contract, item_to_item, session_knn
from nextclick.components.ranking import UNKNOWN_PLACE, Ranker, Sessions

A, B, C, D = range(4)
ITEMS = 6


def sessions_of(lists, times=None):
    lengths = [len(items) for items in lists]
    return Sessions(
        items=np.array([item for items in lists for item in items], np.int32),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        times_ms=np.array(times if times is not None else range(len(lists)), np.int64),
    )


LOG = [[A, B], [A, B, C], [A, C], [D, A]]  # clicks: A 4, B 2, C 2, D 1


def ranker(name, log=LOG, items=4):
    fitted = sessions_of(log)
    return Ranker(baselines.REGISTRY[name](fitted, items), fitted.clicks(items))


def prefix(*items):
    return np.array(items, np.int32)


logs = st.lists(st.lists(st.integers(-1, ITEMS - 1), min_size=1, max_size=8), min_size=1, max_size=12)
prefixes = st.lists(st.integers(-1, ITEMS - 1), min_size=1, max_size=14)


def naive_rank(scores, clicks, target):
    """Rank by (score, clicks), where items that have no score stand below all that have one."""

    def height(item):
        return (1, scores[item], 0) if item in scores else (0, 0, clicks[item])

    return sum(height(item) >= height(target) for item in range(len(clicks)))


def naive_last_viewed(log, before):
    return {item: position for position, item in enumerate(before) if item >= 0}


def naive_item_to_item(log, before):
    weights = {}
    for items in log:
        for i, first in enumerate(items):
            for j, second in enumerate(items):
                if 1 <= j - i <= 10 and first >= 0 and second >= 0:
                    weights[first, second] = weights.get((first, second), 0) + 1 / (j - i) ** 2
    totals = {}
    for (first, _), weight in weights.items():
        totals[first] = totals.get(first, 0) + weight
    scores = {}
    for steps_back, item in enumerate(reversed(before[-10:])):
        for (first, second), weight in weights.items():
            if first == item:
                scores[second] = scores.get(second, 0) + 0.5**steps_back * weight / math.sqrt(totals[first])
    return scores


def naive_session_knn(log, before, recent, neighbours, lookback=9, serenade=False):
    def idf(item):
        return math.log(len(log) / sum(item in items for items in log))

    steps = {}
    for back, item in enumerate(reversed(before[-lookback:]), start=1):
        if item >= 0:
            steps.setdefault(item, back)
    holders = [number for number, items in enumerate(log) if set(steps) & set(items)]
    similar = []
    for number in holders[-recent:]:
        shared = [(item, back) for item, back in steps.items() if item in log[number]]
        if serenade:
            similarity = sum(min(len(before), lookback) - (back - 1) for _, back in shared)
        else:
            length = len({item for item in log[number] if item >= 0})
            similarity = sum(idf(item) / back for item, back in shared) / math.sqrt(length)
        similar.append((similarity, number, min(back for _, back in shared)))
    scores = {}
    for similarity, number, nearest in sorted(similar)[-neighbours:]:
        for item in {item for item in log[number] if item >= 0}:
            scores[item] = scores.get(item, 0) + similarity * (1 - nearest / 10) * idf(item)
    repeats = [a == b >= 0 for items in log for a, b in itertools.pairwise(items)]
    if sum(repeats) < 0.02 * max(len(repeats), 1):
        scores.pop(before[-1], None)
    return {item: score for item, score in scores.items() if score > 0}


def found(scorer, before):
    places, scores = scorer.candidates(prefix(*before))
    assert len(set(places.tolist())) == len(places)
    return dict(zip(places.tolist(), scores.tolist(), strict=True))


def test_popular_ranks_by_clicks_and_ties_count_against_it():
    assert [ranker("popular").rank(prefix(D), target) for target in (A, B, C, D)] == [1, 3, 3, 4]


def test_popular_first_items():
    assert ranker("popular").top(prefix(B), 3).tolist() == [A, B, C]


def test_popular_recently_is_of_the_newest_day_then_of_all_time():
    hour = 3_600_000
    log = sessions_of([[A, A, A, B], [B, C], [D, D], [C, D]], times=[0, 200 * hour, 225 * hour, 248 * hour])
    recent = Ranker(baselines.REGISTRY["popular_recent"](log, 4), log.clicks(4))
    assert recent.top(prefix(A), 4).tolist() == [D, C, A, B]
    assert [recent.rank(prefix(A), target) for target in (A, B, C, D)] == [3, 4, 2, 1]


def test_popular_recently_is_of_a_seventh_of_a_short_log():
    log = sessions_of([[A, A], [B], [C]], times=[0, 600, 700])
    assert set(found(baselines.REGISTRY["popular_recent"](log, 4), [A])) == {B, C}
    assert ranker("popular_recent", []).rank(prefix(A), B) == 4


def naive_popular_recently(log, before):
    newest = len(log) - 1  # sessions end a millisecond apart
    recent = [items for number, items in enumerate(log) if number >= newest - newest / 7]
    return {item: sum(items.count(item) for items in recent) for items in recent for item in items if item >= 0}


def test_last_viewed_is_newest_first_then_popular():
    last_viewed = ranker("last_viewed")
    assert last_viewed.top(prefix(B, D, B, C), 4).tolist() == [C, B, D, A]
    assert [last_viewed.rank(prefix(B, D, B, C), target) for target in (A, B, C, D)] == [4, 2, 1, 3]
    assert [last_viewed.rank(prefix(D), target) for target in (A, B, C, D)] == [2, 4, 4, 1]


def test_unknown_items_take_no_place_in_the_list():
    assert ranker("last_viewed").top(prefix(UNKNOWN_PLACE, D, UNKNOWN_PLACE), 2).tolist() == [D, A]


def test_item_to_item_follows_the_transitions():
    # A is followed by B twice and by C once directly, and by C once two steps on: 2 and 1 + 1/4.
    scores = found(item_to_item.fit(sessions_of(LOG), 4), [A])
    assert scores == pytest.approx({B: 2 / math.sqrt(3.25), C: 1.25 / math.sqrt(3.25)})
    assert ranker("item_to_item").top(prefix(A), 4).tolist() == [B, C, A, D]


def test_item_to_item_of_the_latest_click_counts_twice_as_much():
    scores = found(item_to_item.fit(sessions_of([[A, B], [C, D]]), 4), [C, A])
    assert scores == pytest.approx({B: 1.0, D: 0.5})


def test_session_knn_finds_the_session_that_shares_most():
    knn = ranker("session_knn", [[A, B, C], [A, D], [B, C, D]])
    # After A, B: [A, B, C] shares both; nobody ever repeats a click, so B itself is no candidate.
    assert knn.top(prefix(A, B), 2).tolist() == [C, A]


def test_session_knn_keeps_the_latest_click_where_repeats_are_common():
    knn = ranker("session_knn", [[A, A, B], [C, D, D]])
    assert knn.top(prefix(A), 1).tolist() == [A]


def test_session_knn_looks_at_the_newest_sessions_of_an_item_only():
    log = sessions_of([[A, B], [A, C], [D, D]], times=[2000, 1000, 0])  # the first one is the newest
    knn = session_knn.fit(log, 4, session_knn.Settings(recent=1))
    assert set(found(knn, [A])) == {A, B}


@pytest.mark.parametrize("name", contract.BASELINES)
def test_baseline_does_not_see_the_answer(name):
    ranked = ranker(name)
    session = prefix(A, B, C, D)
    other = prefix(A, B, C, A)
    np.testing.assert_array_equal(ranked.session_ranks(session, 50)[:2], ranked.session_ranks(other, 50)[:2])
    assert ranked.top(session[:3], 4).tolist() == ranked.top(other[:3], 4).tolist()


@pytest.mark.parametrize("name", [name for name in contract.BASELINES if name != "popular_recent"])
def test_baseline_answers_after_unknown_items_alone_with_the_popular_ones(name):
    ranked = ranker(name)
    assert ranked.top(prefix(UNKNOWN_PLACE), 4).tolist() == [A, B, C, D]
    assert ranked.rank(prefix(UNKNOWN_PLACE), A) == 1


@pytest.mark.parametrize("name", contract.BASELINES)
def test_baseline_fitted_on_one_lonely_click_answers(name):
    assert ranker(name, [[A]]).session_ranks(prefix(A, A), 50).tolist() == [1]


def test_unknown_target_has_the_rank_of_unknown_targets():
    assert ranker("popular").rank(prefix(A), UNKNOWN_PLACE) == contract.UNKNOWN_TARGET_RANK


def test_predictions_look_back_no_further_than_the_model():
    last_viewed = ranker("last_viewed")
    assert last_viewed.session_ranks(prefix(D, A, B, D), lookback=2).tolist() == [2, 4, 4]
    assert last_viewed.session_ranks(prefix(D, A, B, D), lookback=3).tolist() == [2, 4, 3]


def test_registry_is_in_the_order_of_the_report():
    assert tuple(baselines.REGISTRY) == contract.BASELINES


def test_repeat_share_does_not_cross_sessions():
    assert sessions_of([[A, A, B], [B, A]]).repeat_share() == pytest.approx(1 / 3)
    assert sessions_of([[A], [A]]).repeat_share() == 0


NAIVE = {
    "popular": lambda log, before: {},
    "popular_recent": naive_popular_recently,
    "last_viewed": naive_last_viewed,
    "item_to_item": naive_item_to_item,
    "session_knn": lambda log, before: naive_session_knn(log, before, recent=500, neighbours=300),
}


@pytest.mark.parametrize("name", contract.BASELINES)
@settings(max_examples=60)
@given(log=logs, before=prefixes, target=st.integers(0, ITEMS - 1))
def test_ranks_equal_a_naive_implementation(name, log, before, target):
    fitted = sessions_of(log)
    scorer = baselines.REGISTRY[name](fitted, ITEMS)
    clicks = [sum(items.count(item) for items in log) for item in range(ITEMS)]
    wanted = NAIVE[name](log, before)
    scores = found(scorer, before)
    assert set(scores) == set(wanted)
    for item, score in wanted.items():
        if name != "last_viewed":  # its scores mean nothing but an order
            assert scores[item] == pytest.approx(score, rel=1e-9, abs=1e-12)
    # Ranked by the scores found: sums taken in another order may differ in the last bit, and tie or not.
    assert Ranker(scorer, fitted.clicks(ITEMS)).rank(prefix(*before), target) == naive_rank(scores, clicks, target)


@settings(max_examples=60, derandomize=True)  # equal similarities may differ in the last bit: always the same examples
@given(log=logs, before=prefixes)
def test_session_knn_within_limits_equals_a_naive_implementation(log, before):
    knn = session_knn.fit(sessions_of(log), ITEMS, session_knn.Settings(recent=2, neighbours=3))
    wanted = naive_session_knn(log, before, recent=2, neighbours=3)
    assert found(knn, before) == pytest.approx(wanted, rel=1e-9, abs=1e-12)


@settings(max_examples=60, derandomize=True)
@given(log=logs, before=prefixes, lookback=st.integers(1, 4))
def test_session_knn_can_be_the_published_one(log, before, lookback):
    """VMIS-kNN: similarity is the sum of weights that fall linearly, of the sampled sessions, without idf or length."""
    published = dataclasses.replace(session_knn.SERENADE, recent=3, neighbours=2, lookback=lookback)
    wanted = naive_session_knn(log, before, recent=3, neighbours=2, lookback=lookback, serenade=True)
    assert found(session_knn.fit(sessions_of(log), ITEMS, published), before) == pytest.approx(
        wanted, rel=1e-9, abs=1e-12
    )


def test_the_published_settings_are_those_of_its_authors():
    published = session_knn.SERENADE
    assert (published.recent, published.neighbours, published.lookback) == (1502, 288, 2)


@given(log=logs, before=prefixes)
def test_first_items_are_distinct_and_as_many_as_there_are(log, before):
    fitted = sessions_of(log)
    for name in contract.BASELINES:
        ranked = Ranker(baselines.REGISTRY[name](fitted, ITEMS), fitted.clicks(ITEMS))
        top = ranked.top(prefix(*before), 20).tolist()
        assert sorted(top) == list(range(ITEMS))
        assert [ranked.top(prefix(*before), number).tolist() for number in range(1, ITEMS)] == [
            top[:number] for number in range(1, ITEMS)
        ]


@pytest.mark.parametrize("name", contract.BASELINES)
def test_a_sessions_answers_are_the_ranks_and_lists_of_its_prefixes(name):
    ranked, session = ranker(name), prefix(D, A, UNKNOWN_PLACE, B, A)
    ranks, lists = ranked.session_answers(session, 2, 3)
    assert ranks.tolist() == ranked.session_ranks(session, 2).tolist()
    assert lists.tolist() == [item for i in range(1, 5) for item in ranked.top(session[max(0, i - 2) : i], 3).tolist()]
    assert [len(part) for part in ranked.session_answers(prefix(A), 2, 3)] == [0, 0]
