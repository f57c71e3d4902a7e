"""Folds: one that trains on what came after its sessions chooses by looking into the future."""

import numpy as np
import pytest
from test_fitting import SMALL

from nextclick.components import dataset, folds, recipe, sequences
from nextclick.pipeline import config as configuration
from nextclick.pipeline.config import Config
from nextclick.pipeline.errors import ConfigError


def config_of(count, **settings):
    return configuration.replace(Config(), {**SMALL, "training.folds": count, **settings})


def split(numbers):
    """Session i has the items i, i + 1 and ended at time i."""
    rows = sequences.from_lists([[2 + i, 3 + i] for i in numbers])
    return dataset.split_of(rows, 5, np.asarray(list(numbers), np.int64))


def parts(count, train, size):
    """End times of what each further fold is trained and judged on."""
    return [
        (sorted(before.end_times_ms.tolist()), sorted(judged.end_times_ms.tolist()))
        for before, judged in folds.earlier(config_of(count), train, size)
    ]


def test_each_fold_is_judged_on_sessions_later_than_all_it_is_trained_on():
    shuffled = split([4, 0, 7, 2, 5, 1, 6, 3])
    assert parts(3, shuffled, 2) == [([0, 1, 2, 3, 4, 5], [6, 7]), ([0, 1, 2, 3], [4, 5])]


def test_a_fold_has_the_sessions_and_windows_of_its_times():
    ((before, judged),) = folds.earlier(config_of(2), split([2, 0, 1]), 1)
    assert sorted(before.windows.values.tolist()) == [2, 3, 3, 4]
    assert sorted(judged.sessions.values.tolist()) == [4, 5]


def test_folds_for_which_nothing_is_left_are_not_made():
    assert parts(9, split(range(5)), 2) == [([0, 1, 2], [3, 4]), ([0], [1, 2])]
    assert parts(3, split(range(5)), 0) == []
    assert parts(1, split(range(5)), 2) == []


@pytest.mark.parametrize(("epochs", "expected"), [([4], 4), ([2, 5], 4), ([1, 2, 1], 1), ([0, 0], 1)])
def test_the_final_model_is_trained_for_the_rounded_mean(epochs, expected):
    assert folds.chosen(epochs) == expected


def test_the_refit_takes_as_many_epochs_as_the_folds_say():
    generator = np.random.default_rng(1)
    starts = generator.integers(0, 20, 120)
    rows = sequences.from_lists([[2 + (start + i) % 20 for i in range(4)] for start in starts])
    train = dataset.split_of(rows, 5, np.arange(120))
    validation = dataset.split_of(rows.take(np.arange(20)), 5, np.arange(200, 220))
    config = config_of(2, **{"training.epochs": 3})
    trained = recipe.train(config, train, validation, 20)
    assert len(trained.fold_epochs) == 2
    assert len(trained.fitted.refit_history) == folds.chosen(list(trained.fold_epochs))


def test_folds_without_a_refit_are_refused():
    with pytest.raises(ConfigError, match=r"training\.folds chooses the epochs of the refit"):
        config_of(3, **{"data.refit": False})
