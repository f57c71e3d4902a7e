"""How far the newest span of a log is from those before (data_drift.py), where a log comes in spans.

ExampleGen counts the events that it keeps, whichever split they are in, and writes the comparison beside its
examples; BaselineRanks takes it from there to the gate and the report.

A count is a record batch of schema `COUNTS`, so that the counts of all shards add up within Beam:

    feature         value                                        number
    session_length  bucket of contract.SESSION_LENGTH_BUCKETS    sessions
    item_id         the item                                     events
    event_type      the type                                     events
"""

from __future__ import annotations

import collections
import dataclasses
import json
from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf

from nextclick.components import contract, data_drift, sessions, sharding
from nextclick.components.data_drift import Drift
from nextclick.components.prediction_slices import popularity_thirds
from nextclick.components.rows import EVENT_TYPE, ITEM_ID, Integers
from nextclick.components.sessions import Sessions

FILE = "span_drift.json"
NO_SPAN = -1  # of an event whose file belongs to none
COUNTS = pa.schema(
    [("span", pa.int64()), ("feature", pa.large_binary()), ("value", pa.large_binary()), ("number", pa.int64())]
)
_LENGTH = b"session_length"
_BUCKETS = tuple(contract.session_length_bucket(low).encode() for low, _ in contract.SESSION_LENGTH_BUCKETS)
_BUCKET_STARTS = tuple(low for low, _ in contract.SESSION_LENGTH_BUCKETS)


@dataclasses.dataclass(frozen=True)
class _Span:
    """Counts of some spans, as data_drift compares them."""

    lengths: Integers
    popularity: Integers
    items: Integers
    event_types: collections.Counter[bytes]


def count(kept: Iterable[Sessions], span_of_click: Integers) -> bytes:
    """The counts of the sessions of a shard. A session belongs to the span of its first event.

    Args:
        kept: sessions of at least one event, all over the same clicks.
        span_of_click: int64 [clicks], `NO_SPAN` where there is none.
    """
    parts = []
    for some in kept:
        spans = span_of_click[some.events]
        buckets = np.searchsorted(_BUCKET_STARTS, some.lengths, side="right") - 1
        lengths = pa.array(_BUCKETS, pa.large_binary()).take(pa.array(buckets))
        parts.append(_counted(_LENGTH, lengths, spans[some.offsets[:-1]]))
        for name in (ITEM_ID, EVENT_TYPE):
            values = sessions.column(some.clicks, name).take(pa.array(some.events))
            parts.append(_counted(name.encode(), values, spans))
    return _to_bytes(_added(parts))


def add(counts: Iterable[bytes]) -> bytes:
    """The sum of several counts, as such."""
    return _to_bytes(_added([pa.Table.from_batches([sharding.from_bytes(part)]) for part in counts]))


def write(counts: bytes, path: str) -> None:
    """Compares, and writes what `read` reads."""
    found = compare(pa.Table.from_batches([sharding.from_bytes(counts)]))
    with tf.io.gfile.GFile(path, "w") as stream:
        stream.write(json.dumps(dataclasses.asdict(found), indent=1, ensure_ascii=False))


def read(path: str) -> Drift:
    """The comparison that `write` wrote; without figures where there is no such file: the log has no spans."""
    if not tf.io.gfile.exists(path):
        return Drift()
    with tf.io.gfile.GFile(path, "r") as stream:
        stored = json.loads(stream.read())
    return Drift(stored["figures"], tuple(stored["tables"]))


def compare(counts: pa.Table) -> Drift:
    """The newest span with all earlier ones together; no drift where it is the only one.

    Args:
        counts: of schema `COUNTS`.
    """
    spans = sorted(set(counts.column("span").to_pylist()))
    if len(spans) < 2:
        return Drift(dict.fromkeys(data_drift.SPAN_DRIFTS, 0.0))
    is_newest = pc.equal(counts.column("span"), spans[-1])
    before, after = _spans(counts.filter(pc.invert(is_newest)), counts.filter(is_newest))
    tables = data_drift.tables(before, after, data_drift.SPAN_DRIFTS)
    return Drift(
        data_drift.drifts(before, after, data_drift.SPAN_DRIFTS),
        tuple({**table, "names": [_named(spans[:-1]), _named(spans[-1:])]} for table in tables),
    )


def _spans(before: pa.Table, after: pa.Table) -> tuple[_Span, _Span]:
    """Items are known and have their popularity by the earlier spans."""
    items, clicks = _of(before, ITEM_ID.encode())
    order = pc.sort_indices(items).to_numpy()  # so that ties of popularity fall alike in every run
    items, clicks = items.take(pa.array(order)), clicks[order]
    thirds = np.append(popularity_thirds(clicks), 3)
    new_items, new_clicks = _of(after, ITEM_ID.encode())
    places = pc.fill_null(pc.index_in(new_items, items), len(items)).to_numpy(zero_copy_only=False)
    found = []
    for counts, by_item in (
        (before, np.append(clicks, 0)),
        (after, np.bincount(places, new_clicks, minlength=len(items) + 1).astype(np.int64)),
    ):
        popularity = np.bincount(thirds, by_item, minlength=4).astype(np.int64)
        found.append(_Span(_lengths(counts), popularity, by_item, _counter(counts, EVENT_TYPE.encode())))
    return found[0], found[1]


def _lengths(counts: pa.Table) -> Integers:
    by_bucket = _counter(counts, _LENGTH)
    return np.array([by_bucket[bucket] for bucket in _BUCKETS])


def _counter(counts: pa.Table, feature: bytes) -> collections.Counter[bytes]:
    values, numbers = _of(counts, feature)
    found: collections.Counter[bytes] = collections.Counter()
    found.update(dict(zip(values.to_pylist(), numbers.tolist(), strict=True)))
    return found


def _of(counts: pa.Table, feature: bytes) -> tuple[pa.Array, Integers]:
    """The distinct values of a feature over all spans of some counts, and the number of each."""
    mine = counts.filter(pc.equal(counts.column("feature"), pa.scalar(feature, pa.large_binary())))
    total = mine.group_by("value").aggregate([("number", "sum")]).combine_chunks()
    return sessions.column(total, "value"), sessions.column(total, "number_sum").to_numpy()


def _counted(feature: bytes, values: pa.Array, spans: Integers) -> pa.Table:
    """How often each value is there in each span."""
    found = pa.table({"span": spans, "value": values}).filter(pa.array(spans != NO_SPAN))
    found = found.group_by(["span", "value"]).aggregate([("value", "count")])
    feature_column = pa.array([feature], pa.large_binary()).take(pa.array(np.zeros(found.num_rows, np.int32)))
    columns = [found.column("span"), feature_column, found.column("value"), found.column("value_count")]
    return pa.Table.from_arrays(columns, schema=COUNTS)


def _added(parts: Sequence[pa.Table]) -> pa.Table:
    keys = ["span", "feature", "value"]
    if not parts:
        return COUNTS.empty_table()
    total = pa.concat_tables(parts).group_by(keys).aggregate([("number", "sum")])
    return pa.Table.from_arrays([*(total.column(key) for key in keys), total.column("number_sum")], schema=COUNTS)


def _to_bytes(counts: pa.Table) -> bytes:
    columns = [sessions.column(counts.combine_chunks(), name) for name in COUNTS.names]
    return sharding.to_bytes(pa.RecordBatch.from_arrays(columns, schema=COUNTS))


def _named(spans: Sequence[int]) -> str:
    """Spans for people: "span 7", "spans 4 to 6"."""
    return f"span {spans[0]}" if len(spans) == 1 else f"spans {spans[0]} to {spans[-1]}"
