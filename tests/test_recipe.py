"""What is trained on what: a member that saw no data of its own, or a weight chosen on what is remembered, misleads."""

import numpy as np
import pytest
import tensorflow as tf

from nextclick.components import dataset, recipe, sequences
from nextclick.components.validation import Judge
from nextclick.pipeline import config as configuration
from nextclick.pipeline.config import Config

ITEMS, FIRST = 20, 2
CONFIG = configuration.replace(
    Config(),
    {
        "data.refit": False,
        "features.lookback": 5,
        "model.embedding_size": 8,
        "model.hidden_units": 8,
        "training.epochs": 2,
        "training.batch_size": 64,
        "training.learning_rate": 0.02,
        "training.members": 2,
        "hybrid.kind": "session_knn",
    },
)


def split(count, seed):
    generator = np.random.default_rng(seed)
    rows = [
        [int(start + i) % ITEMS + FIRST for i in range(generator.integers(2, 6))]
        for start in generator.integers(0, ITEMS, count)
    ]
    return dataset.split_of(sequences.from_lists(rows), 10, np.arange(count) + seed * count)


@pytest.fixture(scope="module")
def trained():
    return recipe.train(CONFIG, split(150, 1), split(40, 2), ITEMS)


def weights(model):
    return np.concatenate([values.ravel() for values in model.get_weights()])


def test_members_differ_and_each_is_trained_as_long_as_the_first_to_its_best(trained):
    one, other = trained.scorer.models
    assert not np.allclose(weights(one), weights(other))
    assert len(trained.fitted.member_history) == trained.fitted.best_epoch
    assert trained.parameters == 2 * one.count_params()
    losses = [line.loss for line in trained.fitted.member_history]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < np.log(ITEMS)


def test_scores_are_the_mean_of_the_members(trained):
    session = tf.constant([[5, 6, 7]])
    alone = [model.item_vectors().numpy() @ model(session)[0, -1].numpy() for model in trained.scorer.models]
    both = trained.scorer.encode(session)[0, -1].numpy() @ trained.scorer.vectors.numpy()
    np.testing.assert_allclose(both, np.mean(alone, axis=0), rtol=1e-4, atol=1e-5)


def test_the_weight_is_the_best_on_validation_of_an_index_of_the_training_split_alone(trained):
    scorer = trained.scorer
    judge = Judge(scorer, split(40, 2).sessions)
    figures = {}
    for weight in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6):
        scorer.hybrid.weight.assign(weight)
        figures[weight] = sum(judge())
    scorer.hybrid.weight.assign(trained.hybrid_weight)
    assert figures[trained.hybrid_weight] == max(figures.values())


def test_refit_makes_networks_and_index_again_from_both_splits(trained):
    new = dataset.split_of(sequences.from_lists([[4, 21, 4, 21]] * 30), 10, np.full(30, 10**6))
    config = configuration.replace(CONFIG, {"data.refit": True, "hybrid.weight": 0.9})
    again = recipe.train(config, split(150, 1), new, ITEMS)
    assert len(again.fitted.refit_history) == 2 * again.fitted.best_epoch
    assert not again.fitted.member_history  # what the refit would throw away is not trained before
    assert again.fitted.refit_history[0].events == (split(150, 1).windows.lengths - 1).sum() + 90
    assert again.hybrid_weight == 0.9
    place = tf.constant([[19, 2, -1, -1, -1]])
    best = again.scorer.hybrid.mix(tf.zeros([1, ITEMS]), place).numpy()[0].argmax()
    assert best in (2, 19)  # what validation alone has after 4 and 21; training goes on to 5, or to 2
    for model in again.scorer.models:
        assert not np.allclose(weights(model), weights(trained.scorer.models[0]))


def test_a_vote_chooses_the_weight_with_all_its_members():
    config = configuration.replace(CONFIG, {"data.refit": True, "training.ensemble": "vote", "training.epochs": 1})
    found = recipe.train(config, split(50, 1), split(10, 2), ITEMS)
    assert len(found.fitted.member_history) == found.fitted.best_epoch


def test_an_untrained_model_stands_alone():
    config = configuration.replace(CONFIG, {"training.max_steps": 0})
    found = recipe.train(config, split(50, 1), split(10, 2), ITEMS)
    assert (len(found.scorer.models), found.scorer.hybrid, found.hybrid_weight) == (1, None, 0.0)
