"""Batches of an epoch: a lost tail is lost training, a tiny one is noise of full weight."""

import numpy as np
import pytest

from nextclick.components import sequences
from nextclick.components.batches import make_plan


def windows_of(lengths):
    return sequences.from_lists([[2] * length for length in lengths])


def batches_of(plan):
    return [plan.order[a:b].tolist() for a, b in zip(plan.starts, plan.stops, strict=True)]


@pytest.mark.parametrize("batch_size", [1, 3, 7, 100, 10_000])
def test_every_window_is_in_exactly_one_batch(batch_size):
    lengths = np.random.default_rng(1).integers(2, 20, 101)
    plan = make_plan(windows_of(lengths), batch_size, np.random.default_rng(2))
    assert sorted(number for batch in batches_of(plan) for number in batch) == list(range(101))


def test_batches_have_about_the_asked_events_and_no_small_rest():
    lengths = np.random.default_rng(1).integers(2, 12, 1000)
    plan = make_plan(windows_of(lengths), 64, np.random.default_rng(2))
    events = [sum(lengths[number] - 1 for number in batch) for batch in batches_of(plan)]
    assert len(events) == round(sum(lengths - 1) / 64)
    assert min(events) >= 64 - 12
    assert max(events) <= 64 + 12


def test_windows_of_a_batch_are_of_neighbouring_lengths():
    lengths = np.random.default_rng(1).integers(2, 12, 1000)
    plan = make_plan(windows_of(lengths), 64, np.random.default_rng(2))
    spread = [max(lengths[batch]) - min(lengths[batch]) for batch in map(np.array, batches_of(plan))]
    assert max(spread) <= 1


def test_one_window_more_than_a_whole_number_of_batches_is_trained_on():
    plan = make_plan(windows_of([3] * 31), 20, np.random.default_rng(0))  # 62 events
    assert sorted(map(len, batches_of(plan))) == [10, 10, 11]


def test_a_window_longer_than_a_batch_is_a_batch():
    plan = make_plan(windows_of([50, 50, 2]), 8, np.random.default_rng(0))
    assert sorted(number for batch in batches_of(plan) for number in batch) == [0, 1, 2]


def test_nothing_to_train_on_is_no_batch():
    assert len(make_plan(windows_of([]), 8, np.random.default_rng(0))) == 0


def test_the_order_is_the_seed_s_and_changes_from_epoch_to_epoch():
    windows = windows_of([3] * 40)
    one, two = np.random.default_rng(5), np.random.default_rng(5)
    first, second = make_plan(windows, 8, one), make_plan(windows, 8, one)
    assert batches_of(first) == batches_of(make_plan(windows, 8, two))
    assert batches_of(first) != batches_of(second)
