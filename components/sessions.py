"""Clicks grouped into sessions, and what is dropped of them; whole arrays at a time.

A session is all clicks of one session id, ordered by time; clicks at the same time keep the log's order (that of
the rows in a file, and of the files by name).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from nextclick.components.rows import ITEM_ID, SESSION_ID, TIME_MS, Integers

Booleans = npt.NDArray[np.bool_]
_Scalar = TypeVar("_Scalar", bound=np.generic)


@dataclasses.dataclass(frozen=True)
class Sessions:
    """Sessions as indices into clicks, so that no id is moved before the filters are done.

    Attributes:
        clicks: table of schema `rows.CLICKS`, one chunk a column.
        events: int64 [events], row in `clicks` of each event, session after session.
        lengths: int64 [sessions], events of each session.
    """

    clicks: pa.Table
    events: Integers
    lengths: Integers

    @property
    def offsets(self) -> Integers:
        """Where each session begins among the events, and their end; int64 [sessions + 1]."""
        return np.concatenate([np.zeros(1, np.int64), np.cumsum(self.lengths)])

    @property
    def times_ms(self) -> Integers:
        """Time of each event, int64 [events]."""
        times: Integers = column(self.clicks, TIME_MS).to_numpy()[self.events]
        return times

    @property
    def starts_ms(self) -> Integers:
        """Time of each session's first event, int64 [sessions]; there must be no empty session."""
        times: Integers = column(self.clicks, TIME_MS).to_numpy()[self.events[self.offsets[:-1]]]
        return times

    def per_event(self, values: npt.NDArray[_Scalar]) -> npt.NDArray[_Scalar]:
        """A value a session, [sessions], as a value an event, [events]."""
        return np.repeat(values, self.lengths)

    def keep_events(self, mask: Booleans) -> Sessions:
        """The sessions without the events where `mask`, bool [events], is false; some may be empty then."""
        kept = np.concatenate([[0], np.cumsum(mask)])[self.offsets]
        return dataclasses.replace(self, events=self.events[mask], lengths=np.diff(kept))

    def keep_sessions(self, mask: Booleans) -> Sessions:
        """The sessions where `mask`, bool [sessions], is true."""
        return dataclasses.replace(self, events=self.events[self.per_event(mask)], lengths=self.lengths[mask])


def group(batches: Sequence[pa.RecordBatch]) -> Sessions:
    """Sessions out of at least one batch of clicks (schema `rows.CLICKS`) in the log's order.

    Sessions are ordered by the time of their first event, then by id, whatever the order of the clicks was.
    """
    clicks = pa.Table.from_batches(batches).combine_chunks()
    ids = column(clicks, SESSION_ID).dictionary_encode()
    session = _ranks(ids.dictionary)[ids.indices.to_numpy()]
    times = column(clicks, TIME_MS).to_numpy()
    order = np.lexsort((times, session))  # stable, the last key first
    lengths = np.bincount(session)
    offsets = np.cumsum(lengths) - lengths
    by_start = np.argsort(times[order[offsets]], kind="stable") if len(order) else np.empty(0, np.int64)
    return Sessions(clicks, order[_ranges(offsets[by_start], lengths[by_start])], lengths[by_start])


def until(sessions: Sessions, ends_ms: Integers) -> Sessions:
    """Sessions without their events at or after a time, int64 [sessions]."""
    return sessions.keep_events(sessions.times_ms < sessions.per_event(ends_ms))


def first_events(sessions: Sessions, most: int) -> Sessions:
    """Sessions without the events after their first `most`."""
    positions = np.arange(len(sessions.events)) - sessions.per_event(sessions.offsets[:-1])
    return sessions.keep_events(positions < most)


def has_several_items(sessions: Sessions) -> Booleans:
    """Whether a session has at least two different items, bool [sessions]; there must be no empty session."""
    if not len(sessions.lengths):
        return np.empty(0, np.bool_)
    items = column(sessions.clicks, ITEM_ID).dictionary_encode().indices.to_numpy()[sessions.events]
    first = sessions.offsets[:-1]
    several: Booleans = np.minimum.reduceat(items, first) != np.maximum.reduceat(items, first)
    return several


def column(clicks: pa.Table, name: str) -> pa.Array:
    """A column of clicks as one array."""
    chunks = clicks.column(name).chunks
    return chunks[0] if chunks else pa.array([], clicks.schema.field(name).type)


def _ranks(ids: pa.Array) -> Integers:
    """Place of each of the distinct ids in their byte order, int64 [ids]."""
    order = pa.compute.sort_indices(ids).to_numpy()
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(len(order))
    return ranks


def _ranges(starts: Integers, lengths: Integers) -> Integers:
    """The whole numbers of several ranges, one range after another: (5, 0), (2, 3) → 5 6 0 1 2."""
    ends = np.cumsum(lengths)
    numbers: Integers = np.arange(lengths.sum()) + np.repeat(starts - (ends - lengths), lengths)
    return numbers
