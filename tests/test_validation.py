"""Recall and MRR that stop the training must be those of the Evaluator's protocol."""

import math

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from nextclick.components import sequences
from nextclick.components.model import build_model
from nextclick.components.scorer import Scorer
from nextclick.components.validation import Judge
from nextclick.pipeline import config as configuration
from nextclick.pipeline.config import Config

ITEMS, LOOKBACK = 60, 4


@pytest.fixture(scope="module")
def model():
    tf_keras.utils.set_random_seed(3)
    settings = {"model.embedding_size": 8, "model.hidden_units": 8}
    return build_model(configuration.replace(Config(), settings), ITEMS)


def naive_ranks(model, sessions):
    """None where the target is unknown."""
    found = []
    vectors = model.item_vectors().numpy()
    for session in sessions:
        for i in range(1, len(session)):
            scores = vectors @ model(tf.constant([session[:i][-LOOKBACK:]]))[0, -1].numpy()
            target = session[i] - 2
            found.append(None if target < 0 else 1 + int((scores > scores[target]).sum()))
    return found


def test_figures_are_means_over_all_predictions_and_unknown_targets_are_misses(model):
    generator = np.random.default_rng(5)
    sessions = [generator.integers(2, ITEMS + 2, generator.integers(1, 9)).tolist() for _ in range(60)] + [[5, 1, 6]]
    ranks = naive_ranks(model, sessions)
    recall, mrr = Judge(Scorer(model, LOOKBACK), sequences.from_lists(sessions))()
    hits = [rank for rank in ranks if rank is not None and rank <= 20]
    assert None in ranks
    assert recall == pytest.approx(len(hits) / len(ranks), abs=1e-9)
    assert mrr == pytest.approx(sum(1 / rank for rank in hits) / len(ranks), abs=1e-6)


def test_the_judge_follows_the_weights(model):
    sessions = sequences.from_lists([[2, 3, 4, 5]] * 3)
    judge = Judge(Scorer(model, LOOKBACK), sessions)
    before = judge.ranks()
    weights = model.get_weights()
    model.embedding.assign(tf.random.stateless_normal(model.embedding.shape, [8, 8]))
    assert judge.ranks().tolist() != before.tolist()
    model.set_weights(weights)
    assert judge.ranks().tolist() == before.tolist()


def test_nothing_to_judge_is_no_figure(model):
    assert all(math.isnan(value) for value in Judge(Scorer(model, LOOKBACK), sequences.from_lists([[5], []]))())
