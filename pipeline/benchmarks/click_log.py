"""A click log of any size for the ingest benchmark: the same rows for the same size and seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Integers = npt.NDArray[np.int64]

ITEMS = 40_000
_DAYS = 14
_DAY_SECONDS = 24 * 3600
_START_SECONDS = 1_700_000_000
_MEAN_LENGTH = 5
_LONGEST = 100
# Popularity of the item of rank r is 1 / (r + shift)^power: the most popular one gets 2 % of the clicks.
_ZIPF_SHIFT, _ZIPF_POWER = 3.0, 0.9
_ROWS_A_BATCH = 1 << 20


def write(path: Path, clicks: int, seed: int) -> None:
    """Writes a plain CSV of that many clicks, ordered by time as a log is, so that sessions lie across each other."""
    chance = np.random.default_rng(seed)
    session, seconds = _sessions(clicks, chance)
    order = np.argsort(seconds, kind="stable")
    session, seconds = session[order], seconds[order]
    item = draw_items(ITEMS, clicks, chance)
    with path.open("wb") as stream:
        stream.write(b"session_id,item_id,timestamp,event_type\n")
        for first in range(0, clicks, _ROWS_A_BATCH):
            rows = slice(first, first + _ROWS_A_BATCH)
            columns = _named("s", session[rows]), _named("item-", item[rows]), _text(seconds[rows])
            lines = pc.binary_join_element_wise(*columns, "click\n", ",")
            stream.write(memoryview(lines.buffers()[2]))  # the values lie end to end


def draw_items(items: int, clicks: int, chance: np.random.Generator) -> Integers:
    """So many clicks on items 0, 1, …, of which the first is the most popular: int64 [clicks]."""
    popularity = 1 / (np.arange(items) + _ZIPF_SHIFT) ** _ZIPF_POWER
    cumulative = np.cumsum(popularity / popularity.sum())
    return np.minimum(np.searchsorted(cumulative, chance.random(clicks)), items - 1)


def _sessions(clicks: int, chance: np.random.Generator) -> tuple[Integers, Integers]:
    """Number of the session and time in seconds of each click, int64 [clicks] both; at least two clicks a session."""
    lengths = np.minimum(chance.geometric(1 / (_MEAN_LENGTH - 1), clicks // 2 + 1) + 1, _LONGEST)
    ends = np.cumsum(lengths)
    lengths = lengths[: int(np.searchsorted(ends, clicks)) + 1]
    session = np.repeat(np.arange(len(lengths)), lengths)[:clicks]
    pauses = chance.integers(1, 120, clicks)
    begins = np.flatnonzero(np.diff(session, prepend=-1))
    since_first = np.cumsum(pauses)
    since_first -= np.repeat(since_first[begins], np.diff(begins, append=clicks))
    starts = np.sort(chance.integers(0, _DAYS * _DAY_SECONDS, len(lengths)))
    return session, _START_SECONDS + starts[session] + since_first


def _named(prefix: str, numbers: Integers) -> pa.Array:
    return pc.binary_join_element_wise(prefix, _text(numbers), "")


def _text(numbers: Integers) -> pa.Array:
    return pa.array(numbers).cast(pa.string())
