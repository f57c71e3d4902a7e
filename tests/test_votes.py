"""An ensemble's vote: a mean that outvotes a member, or members counted unequally, would not be a majority's word."""

import numpy as np
import pytest
import recommender_runs as runs
import tensorflow as tf

from nextclick.components import quantize, votes
from nextclick.components.model import build_model
from nextclick.components.positions import position_ranks
from nextclick.components.request_encoder import RequestEncoder
from nextclick.components.scorer import Scorer
from nextclick.components.signatures import Signatures
from nextclick.pipeline import config as configuration
from nextclick.pipeline.config import Config, FeaturesConfig
from nextclick.pipeline.errors import ConfigError

ITEMS, FIRST, LOOKBACK = 40, 2, 4
SESSIONS = [[5, 6, 7], [9, 10, 41, 3, 20, 21], [30, 1, 2], [1, 8, 9]]


def naive_points(scores):
    """Of one member and one session: 20 for the best item, 1 for the 20th."""
    found = np.zeros(len(scores))
    for place, item in enumerate(sorted(range(len(scores)), key=lambda item: (-scores[item], item))[:20]):
        found[item] = 20 - place
    return found


def naive_scores(models, session):
    """Points, and as a half at most what the mean of the members' scores says."""
    alone = [
        model.item_vectors().numpy() @ model(tf.constant([session[-LOOKBACK:]]))[0, -1].numpy()
        + model.item_bias().numpy()
        for model in models
    ]
    mean = np.mean(alone, axis=0)
    return sum(map(naive_points, alone)) + 0.5 * (mean - mean.min()) / (mean.max() - mean.min())


@pytest.fixture(scope="module")
def models():
    made = []
    for seed in (1, 2, 3):
        tf.random.set_seed(seed)
        config = configuration.replace(runs.CONFIG, {"model.output_bias": True, "model.normalize": False})
        made.append(build_model(config, ITEMS))
        made[-1].output_bias.assign(np.random.default_rng(seed).normal(size=ITEMS).astype(np.float32))
    return made


@pytest.fixture(scope="module")
def scorer(models):
    return Scorer(models, LOOKBACK, vote=True)


def test_points_by_hand():
    one = tf.constant([[0.1, 0.9, 0.5], [3.0, 2.0, 1.0]])
    other = tf.constant([[0.3, 0.2, 0.1], [1.0, 1.0, 1.0]])
    assert votes.points([one, other]).numpy().tolist() == [[38.0, 39.0, 37.0], [40.0, 38.0, 36.0]]


def test_beyond_the_20th_there_are_no_points():
    found = votes.points([-tf.range(25, dtype=tf.float32)[None, :]]).numpy()[0]
    assert found.tolist() == [*range(20, 0, -1), 0, 0, 0, 0, 0]


def test_the_mean_breaks_ties_and_nothing_else():
    # The first two have equal points; the third has a point less and by far the greatest mean.
    scores = votes.ranked(tf.constant([[5.0, 5.0, 4.0, 0.0]]), tf.constant([[1.0, 2.0, 1e6, -1e6]])).numpy()[0]
    assert np.argsort(-scores).tolist() == [1, 0, 2, 3]
    assert scores[2] < 5
    # All alike: no division by nothing.
    assert votes.ranked(tf.zeros([1, 3]), tf.ones([1, 3])).numpy().tolist() == [[0, 0, 0]]


def test_shares_of_the_points_sum_to_one_in_their_order():
    shares = tf.nn.softmax(votes.log_shares(tf.constant([[3.0, 1.0, 0.0]]), tf.constant([[0.0, 5.0, -200.0]]))).numpy()
    np.testing.assert_allclose(shares[0], [3.0033 / 4.5, 1.4966 / 4.5, 0.0], atol=1e-3)


def test_served_lists_and_evaluated_ranks_are_those_of_the_vote(models, scorer):
    encoder = RequestEncoder(None, "ragged", (), FeaturesConfig())
    signatures = Signatures(scorer, encoder, [b"x"] * ITEMS, ITEMS)
    ranks, _, _ = position_ranks(scorer, tf.ragged.constant(SESSIONS, tf.int64), 5)
    for session, found in zip(SESSIONS, ranks.to_list(), strict=True):
        for length in range(1, len(session)):
            prefix, target = session[:length], session[length] - FIRST
            if max(prefix[-LOOKBACK:]) < FIRST:
                continue
            expected = naive_scores(models, prefix)
            answer = signatures.predict_indices(tf.constant([prefix], tf.int64))
            items = answer["item_indices"].numpy()[0] - FIRST
            assert items.tolist() == np.argsort(-expected).tolist()
            np.testing.assert_allclose(answer["scores"].numpy()[0], expected[items], atol=1e-4)
            if target >= 0:
                assert found[length - 1] == (expected >= expected[target]).sum()


def test_scores_of_some_items_are_those_of_all(scorer):
    vectors, places = scorer.encode(tf.constant([[5, 6]]))[:, -1], tf.constant([[7, 0, 39]])
    every = scorer.scores(vectors, tf.zeros([1, 0], tf.int32)).numpy()[0]
    some = scorer.scores_of(vectors, tf.zeros([1, 0], tf.int32), places).numpy()[0]
    assert some.tolist() == every[[7, 0, 39]].tolist()


def test_narrow_weights_vote_too_and_one_network_is_no_ensemble(models, scorer):
    narrow = quantize.narrowed(scorer, "float16")
    scores = narrow.scores(narrow.encode(tf.constant([[5, 6]]))[:, -1], tf.zeros([1, 0], tf.int32)).numpy()
    assert np.floor(scores).sum() == 3 * 210  # 20 + 19 + … + 1 of each member
    assert not Scorer(models[0], LOOKBACK, vote=True).vote


def test_a_vote_of_one_is_refused():
    with pytest.raises(ConfigError, match=r"training\.ensemble=vote needs training\.members of 2 or more"):
        configuration.replace(Config(), {"training.ensemble": "vote"})
