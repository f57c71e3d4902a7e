"""Every prefix one prediction, seen through the look-back: what the gate's figures are made of."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from nextclick.components import positions
from nextclick.components.model import build_model
from nextclick.components.positions import position_ranks
from nextclick.components.scorer import Scorer
from nextclick.pipeline import config as configuration
from nextclick.pipeline.config import Config

ITEMS, OOV, LOOKBACK = 40, 2, 3
FIRST = 1 + OOV
UNKNOWN = 2_147_483_647
# Of lengths around the look-back, empty, with unknown items (1 and 2), some of them alone.
SESSIONS = [[5, 9, 30, 7, 8, 9, 10], [], [4], [5, 6], [5, 1, 9, 2], [1, 2, 5, 6], [9, 9, 9, 9], [1, 1, 1, 1, 5, 1]]


NETWORKS = {
    "default": {},
    "attention": {"model.attention": "last_state"},
    "bidirectional": {"model.bidirectional": True},
}


@pytest.fixture(scope="module", params=NETWORKS.values(), ids=NETWORKS.keys())
def scorer(request):
    tf_keras.utils.set_random_seed(3)
    settings = {"model.embedding_size": 8, "model.hidden_units": 8, "features.oov_buckets": OOV, **request.param}
    model = build_model(configuration.replace(Config(), settings), ITEMS)
    model.embedding.assign(tf.random.stateless_normal(model.embedding.shape, [1, 1]))  # unknown items, too
    return Scorer(model, LOOKBACK)


def naive(scorer, prefix, target):
    """Rank of the target, and the best five items, by the plainest way."""
    prefix = prefix[-LOOKBACK:]
    if max(prefix) < FIRST:
        scores = np.arange(ITEMS, 0, -1.0)
    else:
        vector = scorer.model(tf.constant([prefix]))[0, -1].numpy()
        scores = scorer.model.item_vectors().numpy() @ vector
    best = (np.argsort(-scores, kind="stable")[:5] + FIRST).tolist()
    if target < FIRST:
        return UNKNOWN, best
    return 1 + sum(scores[other] >= scores[target - FIRST] for other in range(ITEMS) if other != target - FIRST), best


def expected(scorer):
    return [[naive(scorer, session[:i], session[i]) for i in range(1, len(session))] for session in SESSIONS]


@pytest.mark.parametrize("chunk", [2, 5, 512])
def test_ranks_and_recommendations_equal_one_prefix_at_a_time(scorer, chunk, monkeypatch):
    monkeypatch.setattr(positions, "_CHUNK_ROWS", chunk)
    monkeypatch.setattr(positions, "_CHUNK_SCORES", chunk * ITEMS)
    ranks, top, _ = position_ranks(scorer, tf.ragged.constant(SESSIONS, tf.int64), 5)
    assert ranks.to_list() == [[rank for rank, _ in session] for session in expected(scorer)]
    assert top.to_list() == [[best for _, best in session] for session in expected(scorer)]


def test_a_session_of_five_gives_four_predictions(scorer):
    ranks, _, _ = position_ranks(scorer, tf.ragged.constant([[5, 6, 7, 8, 9]], tf.int64), 1)
    assert ranks.row_lengths().numpy().tolist() == [4]


def test_no_predictions_at_all(scorer):
    ranks, top, tied = position_ranks(scorer, tf.ragged.constant([[], [5]], tf.int64, ragged_rank=1), 5)
    assert ranks.to_list() == [[], []]
    assert top.flat_values.shape == (0, 5)
    assert tied.to_list() == [[], []]


@pytest.mark.parametrize("chunk", [2, 512])
def test_ties_are_with_other_items_of_the_vocabulary_and_of_scored_items_alone(scorer, chunk, monkeypatch):
    """Items 9 and 30 get one vector; unknown items are no candidates, and after them alone nothing is scored."""
    monkeypatch.setattr(positions, "_CHUNK_SCORES", chunk * ITEMS)
    vectors = scorer.vectors.numpy()
    scorer.vectors.assign(np.where(np.arange(ITEMS) == 30 - FIRST, vectors[:, [9 - FIRST]], vectors))
    _, _, tied = position_ranks(scorer, tf.ragged.constant([*SESSIONS, [1, 9], [9, 30, 9]], tf.int64), 5)
    scorer.vectors.assign(vectors)
    wanted = [
        [session[i] in (9, 30) and max(session[max(0, i - LOOKBACK) : i]) >= FIRST for i in range(1, len(session))]
        for session in [*SESSIONS, [1, 9], [9, 30, 9]]
    ]
    assert tied.to_list() == wanted
    assert wanted[-2:] == [[False], [True, True]]


def test_recommendations_beyond_the_vocabulary_are_padding(scorer):
    _, top, _ = position_ranks(scorer, tf.ragged.constant([[5, 6]], tf.int64), ITEMS + 2)
    assert sorted(top.to_list()[0][0]) == [0, 0, *range(FIRST, FIRST + ITEMS)]


def test_the_target_does_not_change_the_recommendations(scorer):
    _, one, _ = position_ranks(scorer, tf.ragged.constant([[5, 6, 7]], tf.int64), 5)
    _, other, _ = position_ranks(scorer, tf.ragged.constant([[5, 6, 30]], tf.int64), 5)
    assert one.to_list() == other.to_list()


def test_padding_and_unknown_items_are_never_recommended_whatever_their_vectors(scorer):
    embedding = scorer.model.embedding.numpy()
    scorer.model.embedding.assign(np.where(np.arange(FIRST + ITEMS)[:, None] < FIRST, 1000.0, embedding))
    scorer.refresh()
    _, top, _ = position_ranks(scorer, tf.ragged.constant([[5, 6], [1, 2, 9]], tf.int64), ITEMS)
    scorer.model.embedding.assign(embedding)
    assert {len(set(best)) for session in top.to_list() for best in session} == {ITEMS}
    assert min(min(best) for session in top.to_list() for best in session) == FIRST


def test_a_model_that_scores_nothing_fails(scorer):
    vectors = scorer.vectors.numpy()
    scorer.vectors.assign(np.where(np.arange(ITEMS) == 3, np.nan, vectors))
    with pytest.raises(tf.errors.InvalidArgumentError, match="NaN"):
        position_ranks(scorer, tf.ragged.constant([[5, 6]], tf.int64), 5)
    scorer.vectors.assign(vectors)
