"""Exclusions, allow lists and candidates in the graph, against a NumPy ranking of the scores of all items.

Without these a shop that excludes what is in the cart gets short lists, or items that are not in stock.
"""

import functools

import numpy as np
import pytest
import recommender_runs as runs
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from nextclick.components import restrictions, serving_checks
from nextclick.pipeline.benchmarks import untrained

CONFIG = runs.CONFIG
LEAST = np.finfo(np.float32).min
ITEMS = 150
TOP_K = 40  # of CONFIG
NAMES = [f"{100_000_000 + number}".encode() for number in range(ITEMS)]
IDS = st.sampled_from([*NAMES[:60], NAMES[-1], b"never seen", "ungesehen ü".encode()])
SESSION = st.lists(IDS, max_size=8)
LIST = st.lists(IDS, max_size=60)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("untrained") / "model"
    untrained.export(CONFIG, ITEMS, path)
    return path


@pytest.fixture(scope="module")
def ask(folder):
    model = tf.saved_model.load(str(folder))

    def call(name, **rows):
        inputs = {key: tf.constant(padded(lists), tf.string) for key, lists in rows.items()}
        answer = model.signatures[name](**inputs)
        return answer["item_ids"].numpy().tolist(), answer["scores"].numpy()

    return call


@pytest.fixture(scope="module")
def full_scores(ask):
    """Scores of all items after a session, of the model's own product: each item ranked alone is asked its score."""

    @functools.cache
    def scores(session):
        ids, found = ask("rank_candidates", item_ids=[session], candidate_item_ids=[NAMES])
        return dict(zip(ids[0], found[0].tolist(), strict=True))

    return scores


def padded(lists):
    width = max(1, *map(len, lists))
    return [[*row, *[b""] * (width - len(row))] for row in lists]


def ranked(scores, keep):
    """The kept items by NumPy: greatest score first, of equal ones the earlier in the vocabulary."""
    values = np.array([scores[name] for name in NAMES], np.float64)
    order = np.lexsort((np.arange(ITEMS), -values))
    return [NAMES[place] for place in order if keep(NAMES[place])]


def test_the_full_scores_are_those_of_serving_default(ask, full_scores):
    session = (NAMES[3], NAMES[140], NAMES[7])
    ids, scores = ask("serving_default", item_ids=[session])
    assert ids[0] == ranked(full_scores(session), lambda name: True)[:TOP_K]
    np.testing.assert_allclose(scores[0], [full_scores(session)[name] for name in ids[0]], rtol=1e-5)


@settings(max_examples=60, deadline=None)
@given(data=st.lists(st.tuples(SESSION, LIST, LIST), min_size=1, max_size=3))
def test_recommend_is_the_ranking_of_what_is_left(ask, full_scores, data):
    sessions, exclude, allow = zip(*data, strict=True)
    ids, scores = ask("recommend", item_ids=sessions, exclude_item_ids=exclude, allow_item_ids=allow)
    for row, (session, out, only) in enumerate(data):
        expected = ranked(
            full_scores(tuple(session)), lambda name, out=out, only=only: name not in out and (not only or name in only)
        )[:TOP_K]
        assert same_order(ids[row], expected + [b""] * (TOP_K - len(expected)), full_scores(tuple(session)))
        assert (scores[row][len(expected) :] == LEAST).all()
        assert (np.diff(scores[row]) <= 0).all()


@settings(max_examples=60, deadline=None)
@given(data=st.lists(st.tuples(SESSION, LIST), min_size=1, max_size=3))
def test_rank_candidates_is_the_list_in_order(ask, full_scores, data):
    sessions, candidates = zip(*data, strict=True)
    ids, scores = ask("rank_candidates", item_ids=sessions, candidate_item_ids=candidates)
    width = max(1, *map(len, candidates))
    for row, (session, wanted) in enumerate(data):
        expected = ranked(full_scores(tuple(session)), lambda name, wanted=wanted: name in wanted)
        assert same_order(ids[row], expected + [b""] * (width - len(expected)), full_scores(tuple(session)))
        assert (scores[row][len(expected) :] == LEAST).all()


def same_order(found, expected, scores):
    """Whether two lists agree but for neighbours whose scores differ in the last bits: a batch may sum otherwise."""
    return found == expected or (
        sorted(found) == sorted(expected)
        and all(abs(scores.get(a, 0) - scores.get(b, 0)) < 1e-4 for a, b in zip(found, expected, strict=True))
    )


def test_a_session_of_unknown_items_gets_the_popular_ones_that_are_left(ask):
    ids, scores = ask(
        "recommend", item_ids=[[b"never seen"]], exclude_item_ids=[[NAMES[0], NAMES[2]]], allow_item_ids=[NAMES[:5]]
    )
    assert ids[0] == [NAMES[1], NAMES[3], NAMES[4]] + [b""] * (TOP_K - 3)
    np.testing.assert_allclose(scores[0][:3], [1 / 2, 1 / 4, 1 / 5])
    ranked_ids, _ = ask("rank_candidates", item_ids=[[]], candidate_item_ids=[[NAMES[9], NAMES[4], b"", NAMES[9]]])
    assert ranked_ids == [[NAMES[4], NAMES[9], b"", b""]]


def test_an_allow_list_of_unknown_items_allows_nothing(ask):
    ids, scores = ask("recommend", item_ids=[[NAMES[1]]], exclude_item_ids=[[]], allow_item_ids=[[b"never seen"]])
    assert ids == [[b""] * TOP_K]
    assert (scores == LEAST).all()


def test_lists_at_their_limit_are_taken_and_beyond_refused(ask):
    session = [[NAMES[1]]]
    ask("recommend", item_ids=session, exclude_item_ids=[[b"x"] * 10_000], allow_item_ids=[[b"x"] * 10_000])
    ask("rank_candidates", item_ids=session, candidate_item_ids=[[b"x"] * 1000])
    for name, most, lists in [
        ("recommend", 10_000, {"exclude_item_ids": [[b"x"] * 10_001], "allow_item_ids": [[]]}),
        ("recommend", 10_000, {"exclude_item_ids": [[]], "allow_item_ids": [[b"x"] * 10_001]}),
        ("rank_candidates", 1000, {"candidate_item_ids": [[b"x"] * 1001]}),
    ]:
        with pytest.raises(tf.errors.InvalidArgumentError, match=f"a list has more than {most} items"):
            ask(name, item_ids=session, **lists)
    with pytest.raises(tf.errors.InvalidArgumentError, match="an item id has more than 256 bytes"):
        ask("rank_candidates", item_ids=session, candidate_item_ids=[[b"x" * 257]])


def test_exclude_seen_leaves_the_session_s_own_items_out_of_every_list(tmp_path):
    """Also those beyond the look-back of 6 items."""
    untrained.export(runs.configuration.replace(CONFIG, {"serving.exclude_seen": True}), 12, tmp_path / "model")
    signatures = tf.saved_model.load(str(tmp_path / "model")).signatures
    session, seen = NAMES[:8], [*range(2, 10)]
    left = sorted(NAMES[8:12]) + [b""] * 8
    by_ids = signatures["serving_default"](item_ids=tf.constant([session]))["item_ids"].numpy()[0].tolist()
    assert sorted(by_ids[:4]) + by_ids[4:] == left
    by_example = signatures["predict_examples"](examples=tf.constant([runs.example(session)]))
    assert by_example["item_ids"].numpy()[0].tolist() == by_ids
    by_index = signatures["predict_indices"](item_indices=tf.constant([seen], tf.int64))["item_indices"].numpy()[0]
    assert [NAMES[index - 2] for index in by_index[:4]] + [b""] * 8 == by_ids
    assert by_index[4:].tolist() == [0] * 8
    candidates = signatures["rank_candidates"](
        item_ids=tf.constant([session]), candidate_item_ids=tf.constant([session])
    )
    assert sorted(candidates["item_ids"].numpy()[0].tolist()) == session
    # The gate knows that evaluated ranks count the items which the lists leave out; a repeated click has no place.
    asked = [runs.example(session[start:end]) for start in range(5) for end in (start + 2, start + 4)]
    checked = serving_checks.check(str(tmp_path / "model"), [*asked, runs.example([*session[:4], session[1]])])
    assert checked.figures[serving_checks.DISAGREEMENT] == 0.0


def test_rows_without_columns_are_ranked():
    places, scores = restrictions.ranked(tf.zeros([2, 0]), tf.zeros([2, 0], tf.int64))
    assert (places.shape, scores.shape) == ((2, 0), (2, 0))
