"""Without this, a baseline that is served, or evaluated as a model, could rank otherwise than the report says."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from nextclick.components import baselines, contract
from nextclick.components.baseline_models import BaselineScorer
from nextclick.components.positions import position_ranks
from nextclick.components.ranking import Ranker, Sessions

OOV, LOOKBACK = 2, 5
FIRST = 1 + OOV


def random_log(seed, items, count=40, longest=9, share_unknown=0.1):
    """Sessions over few items, so that there are ties; some end at the same time, some hold unknown items alone."""
    chance = np.random.default_rng(seed)
    lengths = chance.integers(1, longest, count)
    places = np.minimum(chance.geometric(0.15, lengths.sum()) - 1, items - 1)
    places = np.where(chance.random(lengths.sum()) < share_unknown, -1, places).astype(np.int32)
    return Sessions(places, np.concatenate([[0], np.cumsum(lengths)]), chance.integers(0, count // 2, count))


def encoded(sessions):
    """As Transform numbers them; unknown items share two indices."""
    return [[place + FIRST if place >= 0 else 1 + at % OOV for at, place in enumerate(s.tolist())] for s in sessions]


def by_popularity(log, items):
    """The log with its items renamed as Transform numbers them: the most clicked first."""
    place = np.empty(items + 1, np.int32)
    place[np.argsort(-log.clicks(items), kind="stable")] = np.arange(items)
    place[-1] = -1
    return dataclasses.replace(log, items=place[log.items])


def random_logs(seed, items):
    """What is learnt from, and what is asked: sessions longer than the look-back among them."""
    return by_popularity(random_log(seed, items), items), random_log(seed + 100, items, longest=14)


@pytest.mark.parametrize("name", contract.BASELINES)
@pytest.mark.parametrize("items", [3, 30])
def test_ranks_and_lists_equal_those_of_the_ranker(name, items):
    for seed in range(8):
        log, asked = random_logs(seed, items)
        ranker = Ranker(baselines.REGISTRY[name](log, items), log.clicks(items))
        graph = BaselineScorer(ranker.scorer, log.clicks(items), FIRST, LOOKBACK)
        top = min(20, items)
        ranks, lists, _ = position_ranks(graph, tf.ragged.constant(encoded(asked), tf.int64), top)
        assert ranks.to_list() == [ranker.session_ranks(session, LOOKBACK).tolist() for session in asked]
        prefixes = [s[max(0, i - LOOKBACK) : i] for s in asked for i in range(1, len(s))]
        assert (lists.flat_values.numpy() - FIRST).tolist() == [ranker.top(some, top).tolist() for some in prefixes]


@pytest.mark.parametrize("name", contract.BASELINES)
def test_baseline_fitted_on_one_lonely_click_answers(name):
    log = Sessions(np.array([0], np.int32), np.array([0, 1]), np.array([1]))
    graph = BaselineScorer(baselines.REGISTRY[name](log, 1), log.clicks(1), FIRST, LOOKBACK)
    ranks, lists, tied = position_ranks(graph, tf.ragged.constant([[FIRST, FIRST, 1], [], [1]], tf.int64), 20)
    assert ranks.to_list() == [[1, contract.UNKNOWN_TARGET_RANK], [], []]
    assert lists.flat_values.numpy().tolist() == [[FIRST] + [0] * 19] * 2
    assert tied.to_list() == [[False, False], [], []]
