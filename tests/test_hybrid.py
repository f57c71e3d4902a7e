"""The session kNN beside the network: the same scores in evaluation and serving, and a weight that validation chose."""

import math

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from nextclick.components import dataset, hybrid, positions, sequences, session_knn
from nextclick.components.model import build_model
from nextclick.components.positions import position_ranks
from nextclick.components.ranking import Sessions
from nextclick.components.request_encoder import RequestEncoder
from nextclick.components.scorer import Scorer
from nextclick.components.signatures import Signatures
from nextclick.pipeline import config as configuration
from nextclick.pipeline.config import Config, FeaturesConfig, HybridConfig

ITEMS, OOV, LOOKBACK, WEIGHT = 30, 2, 4, 0.35
FIRST = 1 + OOV
KNN = HybridConfig(kind="session_knn")
# Of lengths around the look-back, with repeats, and with unknown items (1 and 2), some of them alone.
ASKED = [[5, 9, 30, 7, 8, 9, 10], [5, 6], [5, 1, 9, 2], [1, 2, 5, 6], [9, 9, 9, 9], [1, 1, 1, 1, 1, 5], [32, 4]]


def remembered():
    """Sessions that climb by one or two, with a few unknown items, and when they ended."""
    generator = np.random.default_rng(7)
    rows = [
        [int(start + step) % ITEMS + FIRST for step in np.cumsum(generator.integers(1, 3, generator.integers(2, 7)))]
        for start in generator.integers(0, ITEMS, 120)
    ]
    rows[3][1] = rows[50][0] = 2
    return rows, generator.permutation(120) * 1000


@pytest.fixture(scope="module")
def models():
    tf_keras.utils.set_random_seed(3)
    settings = {"model.embedding_size": 8, "model.hidden_units": 8, "features.oov_buckets": OOV}
    return [build_model(configuration.replace(Config(), settings), ITEMS) for _ in range(2)]


@pytest.fixture(scope="module")
def mixed():
    rows, times = remembered()
    split = dataset.split_of(sequences.from_lists(rows), 50, times)
    found = hybrid.build(KNN, split, ITEMS, FIRST)
    found.weight.assign(WEIGHT)
    return found


def baseline():
    rows, times = remembered()
    places = np.array([item - FIRST if item >= FIRST else -1 for row in rows for item in row], np.int32)
    return session_knn.fit(Sessions(places, np.cumsum([0, *map(len, rows)]), times), ITEMS)


def naive_scores(models, prefix):
    """Of one prefix, by the plainest way: the networks one after the other, the baseline's votes, the formula."""
    prefix = prefix[-LOOKBACK:]
    scores = np.mean(
        [model.item_vectors().numpy() @ model(tf.constant([prefix]))[0, -1].numpy() for model in models], axis=0
    )
    softmax = np.exp(scores) / np.exp(scores).sum()
    votes = np.zeros(ITEMS)
    places, values = baseline().candidates(np.array([item - FIRST if item >= FIRST else -1 for item in prefix]))
    votes[places] = values
    return (1 - WEIGHT) * softmax + WEIGHT * votes / max(votes.sum(), 1e-30)


@pytest.mark.parametrize("members", [1, 2])
@pytest.mark.parametrize("chunk", [3, 512])
def test_evaluation_ranks_by_the_formula(models, mixed, members, chunk, monkeypatch):
    monkeypatch.setattr(positions, "_CHUNK_ROWS", chunk)
    scorer = Scorer(models[:members], LOOKBACK, mixed)
    ranks, _, _ = position_ranks(scorer, tf.ragged.constant(ASKED, tf.int64), 5)
    wanted = []
    for session in ASKED:
        for i in range(1, len(session)):
            scores, target = naive_scores(models[:members], session[:i]), session[i] - FIRST
            known = max(session[max(0, i - LOOKBACK) : i]) >= FIRST
            rank = int((scores >= scores[target]).sum()) if known else target + 1
            wanted.append(rank if target >= 0 else 2**31 - 1)
    assert ranks.flat_values.numpy().tolist() == wanted


@pytest.mark.parametrize("members", [1, 2])
def test_serving_scores_by_the_formula(models, mixed, members):
    encoder = RequestEncoder(None, "ragged", (), FeaturesConfig())
    signatures = Signatures(Scorer(models[:members], LOOKBACK, mixed), encoder, [b"x"] * ITEMS, ITEMS)
    asked = [session for session in ASKED if max(session[-LOOKBACK:]) >= FIRST]
    answer = signatures.predict_indices(tf.ragged.constant(asked, tf.int64).to_tensor())
    for session, items, scores in zip(
        asked, *(answer[name].numpy() for name in ("item_indices", "scores")), strict=True
    ):
        np.testing.assert_allclose(scores, naive_scores(models[:members], session)[items - FIRST], rtol=1e-4)
        assert sorted(items) == list(range(FIRST, FIRST + ITEMS))
        assert sum(scores) == pytest.approx(1, abs=1e-5)


def test_without_a_vote_the_network_decides(models, mixed):
    vector = tf.random.stateless_normal([1, 8], [1, 2])
    alone, both = (Scorer(models[0], LOOKBACK, part) for part in (None, mixed))
    no_items = tf.zeros([1, LOOKBACK], tf.int64)
    order = [np.argsort(scorer.scores(vector, no_items)[0]).tolist() for scorer in (alone, both)]
    assert order[0] == order[1]


def test_only_the_newest_sessions_are_remembered():
    split = dataset.split_of(sequences.from_lists([[3, 4, 7], [3, 5, 7], [3, 6]]), 50, np.array([300, 100, 200]))
    found = hybrid.build(HybridConfig(kind="session_knn", sessions=2), split, 5, 3)
    found.weight.assign(1.0)
    scores = found.mix(tf.zeros([1, 5]), tf.constant([[1, -1]])).numpy()[0]  # after item 4, of the newest session
    assert scores[4] > 0
    scores = found.mix(tf.zeros([1, 5]), tf.constant([[2, -1]])).numpy()[0]  # after item 5, of the forgotten one
    assert not scores.any()


def figures_of(table, mixed):
    return lambda: table[round(float(mixed.weight.numpy()), 1)]


def test_the_weight_with_the_best_validation_figures_is_chosen(mixed):
    table = {0.0: (0.6, 0.3), 0.1: (0.61, 0.3), 0.2: (0.62, 0.35), 0.3: (0.63, 0.34), 0.4: (0.61, 0.35)}
    table |= {0.5: (0.5, 0.4), 0.6: (0.5, 0.3)}
    assert hybrid.choose_weight(KNN, mixed, figures_of(table, mixed)) == 0.2
    assert mixed.weight.numpy() == np.float32(0.2)
    mixed.weight.assign(WEIGHT)


def test_a_configured_weight_needs_no_validation_and_nothing_held_out_gives_the_documented_one(mixed):
    nothing = (math.nan, math.nan)
    fixed = HybridConfig(kind="session_knn", weight=0.55)
    assert hybrid.choose_weight(fixed, mixed, lambda: nothing) == 0.55
    assert hybrid.choose_weight(KNN, mixed, lambda: nothing) == 0.3
    mixed.weight.assign(WEIGHT)


def test_off_is_nothing():
    assert hybrid.build(HybridConfig(kind="off"), dataset.split_of(sequences.from_lists([[3, 4]]), 5), 5, 3) is None
