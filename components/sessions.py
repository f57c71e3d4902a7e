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
import pyarrow.compute as pc

from nextclick.components.rows import EVENT_TYPE, ITEM_ID, SESSION_ID, TIME_MS, Integers

Booleans = npt.NDArray[np.bool_]
_Scalar = TypeVar("_Scalar", bound=np.generic)


@dataclasses.dataclass(frozen=True)
class Sessions:
    """Sessions as indices into clicks, so that no item id is moved before the filters are done.

    Attributes:
        clicks: table of schema `rows.clicks_schema`, one chunk a column.
        ids: large_binary [sessions].
        events: int64 [events], row in `clicks` of each event, session after session.
        lengths: int64 [sessions], events of each session.
    """

    clicks: pa.Table
    ids: pa.Array
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
        return Sessions(
            self.clicks, self.ids.filter(pa.array(mask)), self.events[self.per_event(mask)], self.lengths[mask]
        )


@dataclasses.dataclass(frozen=True)
class UserSessions:
    """A user's click begins a new session after a pause of more than `gap_ms`, and after `most_events` clicks."""

    gap_ms: int
    most_events: int


def group(batches: Sequence[pa.RecordBatch], users: UserSessions | None = None) -> Sessions:
    """Sessions out of at least one batch of clicks (schema `rows.clicks_schema`) in the log's order.

    Sessions are ordered by the time of their first event, then by id, whatever the order of the clicks was.

    Args:
        batches: clicks.
        users: how a user's clicks are cut into sessions, where session ids are user ids; a session's id is then
            `<user id>@<time of its first event>`.
    """
    clicks = pa.Table.from_batches(batches).combine_chunks()
    ids = column(clicks, SESSION_ID).dictionary_encode()
    visitor = _ranks(ids.dictionary)[ids.indices.to_numpy()]
    times = column(clicks, TIME_MS).to_numpy()
    order = np.lexsort((times, visitor))  # stable, the last key first
    starts = _starts(visitor[order], times[order], users)
    lengths = np.diff(starts, append=len(order))
    by_start = np.argsort(times[order[starts]], kind="stable")
    first = order[starts[by_start]]
    names = column(clicks, SESSION_ID).take(pa.array(first))
    if users:
        begun = pa.array(times[first]).cast(pa.large_string()).cast(names.type)
        names = pc.binary_join_element_wise(names, begun, pa.scalar(b"@", names.type))
    return Sessions(clicks, names, order[_ranges(starts[by_start], lengths[by_start])], lengths[by_start])


def until(sessions: Sessions, ends_ms: Integers) -> Sessions:
    """Sessions without their events at or after a time, int64 [sessions]."""
    return sessions.keep_events(sessions.times_ms < sessions.per_event(ends_ms))


def first_events(sessions: Sessions, most: int) -> Sessions:
    """Sessions without the events after their first `most`."""
    positions = np.arange(len(sessions.events)) - sessions.per_event(sessions.offsets[:-1])
    return sessions.keep_events(positions < most)


def without_duplicates(sessions: Sessions) -> Sessions:
    """Sessions without events that have the time, the item and the type of an earlier one."""
    item, kind = (
        column(sessions.clicks, name).dictionary_encode().indices.to_numpy()[sessions.events]
        for name in (ITEM_ID, EVENT_TYPE)
    )
    keys = (kind, item, sessions.times_ms, sessions.per_event(np.arange(len(sessions.lengths))))
    order = np.lexsort(keys)  # stable, so that the earliest of equal events comes first
    same = np.logical_and.reduce([key[order][1:] == key[order][:-1] for key in keys])
    keep = np.ones(len(order), np.bool_)
    keep[order[1:][same]] = False
    return sessions.keep_events(keep)


def all_events(sessions: Sessions, flags: Booleans) -> Booleans:
    """Whether a flag, bool [events], holds for all events of a session, bool [sessions]; none may be empty."""
    if not len(sessions.lengths):
        return np.empty(0, np.bool_)
    holds: Booleans = np.logical_and.reduceat(flags, sessions.offsets[:-1])
    return holds


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


def _starts(visitor: Integers, times_ms: Integers, users: UserSessions | None) -> Integers:
    """Index of each session's first event among events sorted by visitor and time, int64 [sessions]."""
    begins = np.ones(len(visitor), np.bool_)
    begins[1:] = visitor[1:] != visitor[:-1]
    if users:
        begins[1:] |= np.diff(times_ms) > users.gap_ms
        places = np.arange(len(begins))
        runs = np.flatnonzero(begins)
        position = places - np.repeat(runs, np.diff(runs, append=len(begins)))
        begins |= position % users.most_events == 0
    return np.flatnonzero(begins)


def _ranks(ids: pa.Array) -> Integers:
    """Place of each of the distinct ids in their byte order, int64 [ids]."""
    order = pc.sort_indices(ids).to_numpy()
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(len(order))
    return ranks


def _ranges(starts: Integers, lengths: Integers) -> Integers:
    """The whole numbers of several ranges, one range after another: (5, 0), (2, 3) → 5 6 0 1 2."""
    ends = np.cumsum(lengths)
    numbers: Integers = np.arange(lengths.sum()) + np.repeat(starts - (ends - lengths), lengths)
    return numbers
