"""Training: it must learn, count every event, stop where validation says, and do the same twice."""

import math
import random

import numpy as np
import pytest

from nextclick.components import dataset, sequences
from nextclick.components.fitting import fit, fit_epochs, settled
from nextclick.components.scorer import Scorer
from nextclick.components.validation import Judge
from nextclick.pipeline import config as configuration
from nextclick.pipeline.config import Config

ITEMS = 20
SMALL = {
    "model.embedding_size": 12,
    "model.hidden_units": 12,
    "features.window_length": 5,
    "features.lookback": 5,
    "training.batch_size": 32,
    "training.epochs": 4,
    "training.learning_rate": 0.02,
    "model.dropout": 0.1,
}


def config_of(**settings):
    return configuration.replace(Config(), {**SMALL, **{f"training.{name}": value for name, value in settings.items()}})


def cycles(count, seed):
    """Item i is followed by item i + 1 modulo 20, always."""
    chance = random.Random(seed)
    starts = [(chance.randrange(ITEMS), chance.randint(2, 9)) for _ in range(count)]
    return dataset.split_of(
        sequences.from_lists([[2 + (start + i) % ITEMS for i in range(length)] for start, length in starts]), 5
    )


TRAIN, VALIDATION = cycles(200, 1), cycles(40, 2)
NOTHING = dataset.split_of(sequences.from_lists([]), 5)


def quiet(_):
    pass


@pytest.fixture(scope="module")
def fitted():
    return fit(config_of(), TRAIN, VALIDATION, ITEMS, report=quiet)


def test_the_cycle_is_learnt(fitted):
    recall, mrr = Judge(Scorer(fitted.model, 5), VALIDATION.sessions)()
    assert recall == 1.0
    assert mrr > 0.95


def test_shuffled_targets_are_not_learnt():
    sessions = TRAIN.sessions
    generator = np.random.default_rng(0)
    shuffled = sequences.Sequences(generator.permutation(sessions.values), sessions.splits)
    noise = fit(config_of(), dataset.split_of(shuffled, 5), VALIDATION, ITEMS, report=quiet)
    assert noise.history[-1].mrr < 0.35  # 20 items at random give 0.18


def test_every_epoch_trains_on_every_event(fitted):
    events = int((TRAIN.sessions.lengths - 1).sum())
    assert [line.events for line in fitted.history] == [events] * len(fitted.history)


@pytest.mark.parametrize("loss", ["softmax", "sampled_softmax"])
def test_one_seed_gives_the_same_weights_and_another_does_not(loss):
    def weights(seed):
        config = configuration.replace(config_of(epochs=2, loss=loss, negatives=10), {"seed": seed})
        return [value.tobytes() for value in fit(config, TRAIN, VALIDATION, ITEMS, report=quiet).model.get_weights()]

    first = weights(1)
    assert first == weights(1)
    assert first != weights(2)


@pytest.mark.parametrize(
    "settings",
    [
        {"loss": "sampled_softmax"},
        {"loss": "bpr_max", "score_regularization": 0.01},
        {"loss": "top1_max"},
        {"schedule": "cosine", "warmup_steps": 5, "clip_value": 0.01, "rare_target_power": 0.5},
    ],
)
def test_the_cycle_is_learnt_by_any_loss_and_schedule(settings):
    found = fit(config_of(negatives=10, epochs=6, **settings), TRAIN, VALIDATION, ITEMS, report=quiet)
    assert found.history[found.best_epoch - 1].mrr > 0.8


def test_a_rate_that_has_decayed_to_zero_changes_nothing_more():
    """All of the line is over after one epoch's steps, where these are all there are; one more would be seen."""
    one = fit_epochs(config_of(epochs=1, schedule="linear"), TRAIN, ITEMS, 1, report=quiet)
    two = fit_epochs(config_of(epochs=1, schedule="linear"), TRAIN, ITEMS, 2, report=quiet)
    for weight, other in zip(one.model.get_weights(), two.model.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, other)


def test_unknown_targets_are_not_trained_on():
    windows = dataset.split_of(sequences.from_lists([[2, 1, 3, 1], [1, 1, 1]]), 5)
    assert fit(config_of(epochs=1), windows, NOTHING, ITEMS, report=quiet).history[0].events == 1


def test_no_step_leaves_the_model_untrained():
    found = fit(config_of(max_steps=0), TRAIN, VALIDATION, ITEMS, report=quiet)
    assert (found.best_epoch, found.history) == (0, [])
    assert Judge(Scorer(found.model, 5), VALIDATION.sessions)()[1] < 0.5


def test_nothing_to_train_on_leaves_the_model_untrained():
    assert fit(config_of(), NOTHING, VALIDATION, ITEMS, report=quiet).best_epoch == 0


def test_steps_end_at_their_limit():
    events = int((TRAIN.sessions.lengths - 1).sum())
    batches = round(events / 32)
    found = fit(config_of(max_steps=batches + 3), TRAIN, NOTHING, ITEMS, report=quiet)
    assert len(found.history) == 2
    assert found.history[0].events == events
    assert 3 * 25 < found.history[1].events < 3 * 40


def test_training_stops_after_its_patience_and_keeps_the_best_weights():
    # At this rate the network is soon no better than at first.
    found = fit(config_of(learning_rate=3.0, epochs=20, patience=2), TRAIN, VALIDATION, ITEMS, report=quiet)
    figures = [line.mrr for line in found.history]
    assert found.best_epoch == 1 + figures.index(max(figures))
    assert len(figures) == found.best_epoch + 2
    assert Judge(Scorer(found.model, 5), VALIDATION.sessions)()[1] == pytest.approx(max(figures), abs=1e-7)


def test_without_validation_all_epochs_are_trained_and_the_last_is_kept():
    found = fit(config_of(), TRAIN, NOTHING, ITEMS, report=quiet)
    assert (found.best_epoch, len(found.history)) == (4, 4)
    assert math.isnan(found.history[0].mrr)


def test_a_given_number_of_epochs_is_trained_from_scratch(fitted):
    again = fit_epochs(config_of(), TRAIN, ITEMS, 2, report=quiet)
    assert len(again.history) == 2
    assert again.history[0].loss == pytest.approx(fitted.history[0].loss)


def test_progress_tells_epochs_loss_and_speed():
    lines = []
    fit(config_of(epochs=1), TRAIN, VALIDATION, ITEMS, report=lines.append)
    assert lines[-1].startswith("epoch 1: loss ")
    assert "MRR@20" in lines[-1]
    assert "events/s" in lines[-1]


@pytest.mark.parametrize(
    ("events", "dropout"),
    [(10, 0.35), (50_000, 0.35), (158_114, 0.275), (500_000, 0.2), (2_000_000, 0.2)],
)
def test_less_is_dropped_where_there_is_more_to_learn_from(events, dropout):
    windows = sequences.Sequences(np.zeros(events + 1, np.int32), np.array([0, events + 1]))
    assert settled(Config(), windows).model.dropout == pytest.approx(dropout, abs=1e-5)


@pytest.mark.parametrize(
    ("events", "batch_size"),
    [(0, 32), (2_400, 32), (7_500, 100), (38_400, 512), (2_000_000, 512)],
)
def test_a_small_log_is_learnt_from_in_small_batches(events, batch_size):
    windows = sequences.Sequences(np.zeros(events + 1, np.int32), np.array([0, events + 1]))
    assert settled(Config(), windows).training.batch_size == batch_size


def test_a_configured_dropout_and_batch_size_stay():
    windows = sequences.Sequences(np.zeros(11, np.int32), np.array([0, 11]))
    for dropout in (0.0, 0.6):
        config = configuration.replace(Config(), {"model.dropout": dropout, "training.batch_size": 7})
        assert settled(config, windows) == config


def test_the_weights_are_the_mean_over_the_newest_epochs():
    """Training goes on from the newest weights, not from the mean: so two epochs' mean is that of one's and two's."""
    one, two = (fit_epochs(config_of(), TRAIN, ITEMS, epochs, report=quiet).model.get_weights() for epochs in (1, 2))
    mean = fit_epochs(config_of(average_epochs=2), TRAIN, ITEMS, 2, report=quiet).model.get_weights()
    for first, second, weight in zip(one, two, mean, strict=True):
        np.testing.assert_allclose(weight, (first + second) / 2, rtol=1e-6, atol=1e-7)


def test_the_averaged_weights_are_what_is_validated_and_kept():
    found = fit(config_of(average_epochs=3), TRAIN, VALIDATION, ITEMS, report=quiet)
    best = found.history[found.best_epoch - 1]
    assert Judge(Scorer(found.model, 5), VALIDATION.sessions)() == (best.recall, best.mrr)
