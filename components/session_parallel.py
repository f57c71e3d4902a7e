"""Session-parallel batches (Hidasi et al. 2016, arXiv 1511.06939, section 3.1.1): sessions in lanes, end to end.

    lane 1   a1 a2 a3 a4|b1 b2|c1      a batch is the next few steps of all lanes; a state is carried from batch to
    lane 2   d1|e1 e2 e3 e4 e5|f1      batch, and begins anew where a session does (|)

A session lies whole in one lane, however long it is. The lanes are filled longest session first, each into the
emptiest lane (Graham 1969), so that all end at about the same step and hardly any place of an epoch is empty; within
a lane the sessions are shuffled. Every pair of an item and the next is in exactly one batch: an epoch does not end when
no session is left for a lane, but when all lanes have ended.
"""

from __future__ import annotations

import heapq

import numpy as np
import numpy.typing as npt

from nextclick.components.batches import Plan
from nextclick.components.sequences import Sequences
from nextclick.pipeline.config import TrainingConfig

# In a plan: no session is left for a lane.
EMPTY = -1


def lane_count(sessions: Sequences, config: TrainingConfig) -> int:
    """So many that a batch of `training.stateful_steps` steps has about `training.batch_size` events; none is empty."""
    return max(1, min(len(sessions), round(config.batch_size / config.stateful_steps)))


def make_session_parallel_plan(
    sessions: Sequences, lanes: int, steps: int, generator: np.random.Generator | None = None
) -> Plan:
    """The batches of an epoch; their number is the same in all epochs.

    Args:
      sessions: of two items or more each; a session of n items has n - 1 events, its last item being a target only.
      lanes: as many, at most, as there are sessions.
      steps: of a batch, about: an epoch is cut into the nearest whole number of batches, so that none is a small rest.
      generator: decides which sessions of one length share a lane, and their order there; None: they stay as they are.

    Returns: a plan whose `order` is int32 [all steps, lanes]: the places in `sessions.values` of the items that are
      read, `EMPTY` after the end of a lane; batch i has the steps from `starts[i]` up to `stops[i]`.
    """
    events = sessions.lengths - 1
    shuffled = generator.permutation(len(sessions)) if generator else np.arange(len(sessions))
    lane = _fill(events, shuffled[np.argsort(-events[shuffled], kind="stable")], lanes)
    order = shuffled[np.argsort(lane[shuffled], kind="stable")]  # lane after lane
    loads = np.bincount(lane, events, lanes).astype(np.int64)
    length = int(loads.max(initial=0))
    places = np.full([length, lanes], EMPTY, np.int32)
    of_lane = np.arange(events.sum()) - np.repeat(np.cumsum(loads) - loads, loads)  # step of each event
    places[of_lane, np.repeat(np.arange(lanes), loads)] = _read_places(sessions, order)
    batches = max(1, round(length / steps)) if length else 0
    edges = np.rint(np.linspace(0, length, batches + 1)).astype(np.int32)
    return Plan(places, edges[:-1], edges[1:])


def _fill(events: npt.NDArray[np.int64], order: npt.NDArray[np.int64], lanes: int) -> npt.NDArray[np.int64]:
    """The lane of each session, int64 [sessions], if in this order each goes where there are the fewest events."""
    loads = [(0, lane) for lane in range(lanes)]
    found = np.zeros(len(events), np.int64)
    for session, count in zip(order.tolist(), events[order].tolist(), strict=True):
        load, found[session] = loads[0]
        heapq.heapreplace(loads, (load + count, int(found[session])))
    return found


def _read_places(sessions: Sequences, order: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Places in `values` of all items but the last of each session, sessions in this order: int64 [events]."""
    events = sessions.lengths[order] - 1
    shift = sessions.splits[:-1][order] - (np.cumsum(events) - events)
    places: npt.NDArray[np.int64] = np.arange(events.sum()) + np.repeat(shift, events)
    return places
