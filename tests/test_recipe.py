"""What is trained on what: a member that saw no data of its own, or a weight chosen on what is remembered, misleads."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from nextclick.components import dataset, recipe, sequences
from nextclick.components.scorer import Scorer
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


class Started:
    """A start from the weights of an earlier model that remembers what each training had to learn from."""

    def __init__(self, model):
        self._weights, self.events = model.get_weights(), []

    def __call__(self, model, windows):
        model.set_weights(self._weights)
        self.events.append(int((windows.lengths - 1).sum()))


WARM = configuration.replace(
    CONFIG,
    {
        "training.members": 1,
        "hybrid.kind": "off",
        "training.epochs": 6,
        "training.warm_refit_epochs": 4,
        "data.refit": True,
    },
)


# What no model can know: validation is judged as well before training as after.
SURPRISING = dataset.split_of(sequences.from_lists([[4, 1], [9, 1]] * 20), 10, np.full(40, 10**6))


def test_a_warm_start_is_refit_from_the_earlier_weights_and_not_for_fewer_epochs_than_it_takes(trained):
    start = Started(trained.scorer.models[0])
    found = recipe.train(WARM, split(150, 1), SURPRISING, ITEMS, start)
    events = (split(150, 1).windows.lengths - 1).sum()
    assert start.events == [events, events + 40]  # the fit, and the refit: both began at the earlier weights
    assert found.fitted.best_epoch < len(found.fitted.refit_history) == 4
    cold = recipe.train(WARM, split(150, 1), SURPRISING, ITEMS)
    assert len(cold.fitted.refit_history) == cold.fitted.best_epoch
    longer = configuration.replace(WARM, {"training.warm_refit_epochs": 1})
    found = recipe.train(longer, split(150, 1), SURPRISING, ITEMS, Started(trained.scorer.models[0]))
    assert len(found.fitted.refit_history) == found.fitted.best_epoch


def test_a_warm_start_has_no_folds_since_it_has_learnt_them(trained):
    config = configuration.replace(WARM, {"training.folds": 3})
    found = recipe.train(config, split(150, 1), SURPRISING, ITEMS, Started(trained.scorer.models[0]))
    assert found.fold_epochs == ()


def test_sessions_that_the_served_model_has_learnt_do_not_judge_a_warm_start(trained):
    """Half of the validation split was in the refit of the served model, which knows its answers by heart."""
    seen, unseen = split(40, 2), split(30, 3)
    unseen = dataclasses.replace(unseen, end_times_ms=unseen.end_times_ms + 1000)
    both = dataset.concatenate(seen, unseen)
    start = Started(trained.scorer.models[0])
    found = recipe.train(WARM, split(150, 1), both, ITEMS, start, seen_until_ms=int(seen.end_times_ms.max()))
    scorer = Scorer(trained.scorer.models[0], CONFIG.features.lookback)
    assert found.fitted.mrr_before == Judge(scorer, unseen.sessions)()[1]
    assert found.fitted.mrr_before != Judge(scorer, both.sessions)()[1]
    assert start.events[1] == sum(int((part.windows.lengths - 1).sum()) for part in (split(150, 1), seen, unseen))


def test_a_warm_start_that_has_learnt_the_whole_validation_split_is_not_judged(trained):
    start = Started(trained.scorer.models[0])
    config = configuration.replace(WARM, {"hybrid.kind": "session_knn"})
    found = recipe.train(config, split(150, 1), split(40, 2), ITEMS, start, seen_until_ms=10**9)
    assert np.isnan(found.fitted.mrr_before)
    assert found.hybrid_weight == pytest.approx(0.3)  # the default, where nothing is there to choose it on
    assert len(found.fitted.history) == len(found.fitted.refit_history) == 4


def test_an_untrained_model_stands_alone():
    config = configuration.replace(CONFIG, {"training.max_steps": 0})
    found = recipe.train(config, split(50, 1), split(10, 2), ITEMS)
    assert (len(found.scorer.models), found.scorer.hybrid, found.hybrid_weight) == (1, None, 0.0)
