"""Plans of session-parallel batches: a session in two lanes, or out of order, would get the state of another."""

import itertools

import numpy as np
import pytest

from nextclick.components import sequences
from nextclick.components.session_parallel import EMPTY, lane_count, make_session_parallel_plan
from nextclick.pipeline import config as configuration
from nextclick.pipeline.config import Config

RANDOM = np.random.default_rng(1)
LENGTHS = {
    "one session": [2],
    "as many sessions as lanes": [4, 2, 9],
    "one giant": [200, 2, 2, 3, 2],
    "many": RANDOM.geometric(0.3, 300) + 1,
}


def sessions_of(lengths):
    """Every item is there once: it is its own place."""
    edges = np.concatenate([[0], np.cumsum(lengths)])
    return sequences.from_lists([range(first, last) for first, last in itertools.pairwise(edges)])


@pytest.fixture(params=LENGTHS.values(), ids=LENGTHS.keys())
def sessions(request):
    return sessions_of(request.param)


@pytest.fixture(params=[1, 3])
def plan(request, sessions):
    return make_session_parallel_plan(sessions, min(request.param, len(sessions)), 4, np.random.default_rng(2))


def test_every_pair_is_in_the_plan_once(sessions, plan):
    last = set(sessions.splits[1:] - 1)
    expected = [place for place in range(len(sessions.values)) if place not in last]
    assert sorted(plan.order[plan.order != EMPTY].tolist()) == expected


def test_a_lane_is_whole_sessions_and_then_nothing(sessions, plan):
    first, last = set(sessions.splits[:-1]), set(sessions.splits[1:] - 2)
    for lane in plan.order.T.tolist():
        events = lane[: lane.index(EMPTY)] if EMPTY in lane else lane
        assert set(lane[len(events) :]) <= {EMPTY}
        for before, after in zip([None, *events], [*events, None], strict=True):
            if before is None or before in last:
                assert after is None or after in first
            else:
                assert after == before + 1


def test_batches_are_all_steps_in_their_order(plan):
    steps = [step for start, stop in zip(plan.starts, plan.stops, strict=True) for step in range(start, stop)]
    assert steps == list(range(len(plan.order)))
    sizes = plan.stops - plan.starts
    assert sizes.max() - sizes.min() <= 1
    assert len(plan) == 1 or 3 <= sizes.min() <= sizes.max() <= 5


def test_lanes_end_together_where_sessions_allow_it():
    plan = make_session_parallel_plan(sessions_of([9, 2, 4, 2, 4, 3, 2, 2, 2, 2]), 3, 4)
    assert plan.order.shape == (8, 3)  # 22 events: 8, 7 and 7
    assert (plan.order == EMPTY).sum() == 2


def test_epochs_differ_but_not_in_their_number_of_batches(sessions):
    generator = np.random.default_rng(0)
    lanes = min(3, len(sessions))
    first, second = (make_session_parallel_plan(sessions, lanes, 4, generator) for _ in range(2))
    assert len(first) == len(second) == len(make_session_parallel_plan(sessions, lanes, 4))
    again = make_session_parallel_plan(sessions, lanes, 4, np.random.default_rng(0))
    np.testing.assert_array_equal(first.order, again.order)
    if len(sessions) > 10:
        assert (first.order != second.order).any()


@pytest.mark.parametrize(("sessions", "steps", "lanes"), [(1000, 16, 32), (1000, 512, 1), (3, 16, 3)])
def test_a_batch_has_about_batch_size_events_and_no_lane_is_empty(sessions, steps, lanes):
    config = configuration.replace(Config(), {"training.stateful_steps": steps, "training.batch_size": 512})
    assert lane_count(sessions_of([2] * sessions), config.training) == lanes


def test_no_sessions_have_no_batches():
    nothing = sessions_of([])
    assert len(make_session_parallel_plan(nothing, lane_count(nothing, Config().training), 4)) == 0
