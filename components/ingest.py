"""From the files of a log to TFRecord files of sessions: the Beam pipeline.

    files ─► ReadLog ─► batches of clicks by shard ─► GroupByKey ─► WriteSessions ─► one file a shard and split
                └─► rejected rows, tally ──────────────┘ (time range)     └─► tally ─► sum

An element is a batch of clicks (Arrow, in its stream format), never a click. A shard holds all clicks of the sessions
whose id hashes to it, and is worked on as a whole: its size bounds a worker's memory.
"""

from __future__ import annotations

import dataclasses
import posixpath
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf

from nextclick.components import (
    bots,
    contract,
    counts,
    filters,
    readers,
    records,
    sessions,
    sharding,
    span_drift,
    splits,
)
from nextclick.components.counts import CLICKS_LOG, TEST_LOG, Tally
from nextclick.components.dead_letter import DeadLetter
from nextclick.components.inputs import InputFile
from nextclick.components.rows import EVENT_TYPE, ITEM_ID, TIME_MS, Clicks, Integers
from nextclick.components.sessions import Sessions, UserSessions
from nextclick.pipeline.config import DataConfig

_TALLY, _ITEMS, _SPANS = "tally", "items", "spans"


@dataclasses.dataclass(frozen=True)
class Outputs:
    """Where things go.

    Attributes:
        splits: folder of each split.
        dead_letter: folder of rejected rows.
        temporary: folder of unfinished files.
        tally: the tally's file.
        span_drift: file of the comparison of the newest span with those before.
    """

    splits: dict[str, str]
    dead_letter: str
    temporary: str
    tally: str
    span_drift: str


class Task(NamedTuple):
    """One file to read: its place in the order of files and the log that it belongs to."""

    number: int
    log: str
    file: InputFile


def build(root: Any, clicks: list[InputFile], tests: list[InputFile], *, data: DataConfig, outputs: Outputs) -> None:
    """Adds all steps to a pipeline. When it has run, the splits, the dead letter and the tally are written."""
    files = [(CLICKS_LOG, file) for file in clicks] + [(TEST_LOG, file) for file in tests]
    shards = data.shards or sharding.shards_for((file.path, file.size_bytes) for _, file in files)
    read = (
        root
        | "Files" >> beam.Create([Task(number, log, file) for number, (log, file) in enumerate(files)], reshuffle=False)
        | "Spread" >> beam.Reshuffle()
        | "ReadLog" >> beam.ParDo(ReadLog(data, shards, outputs)).with_outputs(_TALLY, main="batches")
    )
    read_tally = read[_TALLY] | "SumRead" >> beam.CombineGlobally(counts.merge)
    all_read = beam.pvalue.AsSingleton(read_tally)
    sharded = read.batches | "GroupByShard" >> beam.GroupByKey()
    spans = tuple(span_drift.NO_SPAN if file.span is None else file.span for _, file in files)
    write = WriteSessions(data, shards, outputs, spans)
    written = sharded | "WriteSessions" >> beam.ParDo(write, all_read, _measured(sharded, data, all_read)).with_outputs(
        _ITEMS, _SPANS, main="tallies"
    )
    if has_spans(clicks):
        counted = written[_SPANS] | "SumSpans" >> beam.CombineGlobally(span_drift.add)
        _ = counted | "WriteSpanDrift" >> beam.Map(span_drift.write, outputs.span_drift)
    items = written[_ITEMS] | "TrainItems" >> beam.CombineGlobally(distinct_items)
    (
        (read_tally, written.tallies)
        | "AllTallies" >> beam.Flatten()
        | "SumAll" >> beam.CombineGlobally(counts.merge)
        | "WriteTally" >> beam.Map(write_tally, outputs.tally, beam.pvalue.AsSingleton(items))
    )


def has_spans(clicks: Iterable[InputFile]) -> bool:
    """Whether a log, or a part of it, comes in spans."""
    return any(file.span is not None for file in clicks)


def _measured(sharded: Any, data: DataConfig, all_read: Any) -> Any:
    """The tally from which the limits of bots are learnt, as a side input; it costs grouping twice."""
    if not data.bot_limit:
        return Tally()
    tallies = sharded | "MeasureSessions" >> beam.Map(measure, data, all_read)
    return beam.pvalue.AsSingleton(tallies | "SumMeasured" >> beam.CombineGlobally(counts.merge))


class Shard(NamedTuple):
    """A group of sessions: the log they are from, whether the session ids are user ids, its number."""

    log: str
    of_users: bool
    number: int


@beam.typehints.with_output_types(tuple[tuple[str, bool, int], tuple[int, int, bytes]])
class ReadLog(beam.DoFn):
    """A `Task` → (shard, (file number, batch number, clicks)); rejected rows to the dead letter; a tally a file."""

    def __init__(self, data: DataConfig, shards: int, outputs: Outputs) -> None:
        self._data, self._shards, self._outputs = data, shards, outputs

    def process(self, task: Task) -> Iterator[Any]:
        """Reads one file."""
        tally = Tally()
        log = readers.open_log(task.file, self._data)
        with DeadLetter(self._outputs.dead_letter, self._outputs.temporary, task.number, task.file) as dead_letter:
            for number, found in enumerate(readers.read_clicks(log)):
                dead_letter.add(found.rejects)
                _count_read(tally, task, found)
                wanted = _of_wanted_types(tally, found.batch, self._data.event_types)
                if wanted.num_rows:
                    _count_times(tally, task.log, wanted.column(TIME_MS))
                    for shard, part in sharding.partition(wanted, self._shards):
                        key = (task.log, log.reader.of_users, shard)
                        yield key, (task.number, number, sharding.to_bytes(part))
        if not tally.total("rows_read"):
            tally.warnings.append(f"{task.file.path} holds no rows but a header")
        yield beam.pvalue.TaggedOutput(_TALLY, tally)


class WriteSessions(beam.DoFn):
    """(shard, its clicks) → a file for each split that has sessions in it; a tally; the training items; span counts."""

    def __init__(self, data: DataConfig, shards: int, outputs: Outputs, spans: tuple[int, ...]) -> None:
        self._data, self._shards, self._outputs, self._spans = data, shards, outputs, spans

    def process(self, element: Any, read: Tally, measured: Tally) -> Iterator[Any]:
        """Writes one shard, given the tallies of all that was read and of the training sessions' lengths and paces."""
        shard, grouped, files = group(element, self._data)
        tally = Tally()
        limits = bots.limits(measured, self._data.bot_limit) if self._data.bot_limit else bots.Limits()
        found = filters.split_and_filter(grouped, shard.log, self._data, read=read, limits=limits, tally=tally)
        for split, kept in found.items():
            kind = "users" if shard.of_users else "sessions"
            name = f"{kind}_tfrecord-{shard.number:05d}-of-{self._shards:05d}.gz"
            path = posixpath.join(self._outputs.splits[split], name)
            records.write(path, records.to_examples(kept), self._outputs.temporary)
            if split == contract.TRAIN:
                items = sessions.column(kept.clicks, ITEM_ID).take(pa.array(kept.events)).unique()
                yield beam.pvalue.TaggedOutput(_ITEMS, sharding.to_bytes(pa.record_batch([items], [ITEM_ID])))
        span_of_click = np.array(self._spans)[files]
        if shard.log == CLICKS_LOG and (span_of_click != span_drift.NO_SPAN).any():
            yield beam.pvalue.TaggedOutput(_SPANS, span_drift.count(found.values(), span_of_click))
        yield tally


def measure(element: Any, data: DataConfig, read: Tally) -> Tally:
    """(shard, its clicks) → a tally of the lengths and paces of its training sessions."""
    shard, grouped, _ = group(element, data)
    tally = Tally()
    training = filters.training_sessions(grouped, shard.log, data, read)
    if training is not None:
        bots.measure(training, tally)
    return tally


def write_tally(tally: Tally, path: str, items: bytes) -> None:
    """Writes the tally of everything, with the number of distinct training items, where the executor reads it."""
    tally.add("items", "", sharding.from_bytes(items).num_rows)
    tf.io.gfile.makedirs(posixpath.dirname(path))
    with tf.io.gfile.GFile(path, "w") as stream:
        stream.write(counts.to_json(tally))


def distinct_items(parts: Iterable[bytes]) -> bytes:
    """The distinct items of several batches with a column of items, as such a batch."""
    columns = [sharding.from_bytes(part).column(ITEM_ID) for part in parts]
    items = pa.chunked_array(columns, pa.large_binary()).unique()
    return sharding.to_bytes(pa.record_batch([items], [ITEM_ID]))


def group(element: Any, data: DataConfig) -> tuple[Shard, Sessions, Integers]:
    """A shard, its sessions, and the number of each click's file, int64 [clicks]."""
    key, batches = element
    shard = Shard(*key)
    parts = sorted(batches, key=lambda part: part[:2])  # the log's order
    users = UserSessions(round(data.session_gap_minutes * 60_000), data.max_session_length)
    clicks = [sharding.from_bytes(part) for _, _, part in parts]
    files = np.repeat([number for number, _, _ in parts], [part.num_rows for part in clicks])
    return shard, sessions.group(clicks, users if shard.of_users else None), files


def _count_read(tally: Tally, task: Task, found: Clicks) -> None:
    tally.add("rows_read", "", found.batch.num_rows + len(found.rejects) + sum(found.dropped.values()))
    for reason, number in found.dropped.items():
        tally.add("events_dropped", reason, number)
    for reject in found.rejects:
        tally.add("rows_rejected", reject.reason, 1)
    if found.rejects:
        first = min(found.rejects)
        place = counts.FirstReject(task.number, first.row, task.file.path, first.reason)
        tally.first_reject = min(place, tally.first_reject or place)


def _count_times(tally: Tally, log: str, times_ms: pa.Array) -> None:
    """The log's range and, for the splits, how many clicks each hour holds."""
    bounds = pc.min_max(times_ms).as_py()
    tally.cover("log", log, bounds["min"], bounds["max"])
    if log == CLICKS_LOG:
        hours = np.floor_divide(times_ms.to_numpy(), splits.HOUR_MS)
        for hour in pc.value_counts(pa.array(hours)).tolist():
            tally.add("clicks_in_hour", str(hour["values"]), hour["counts"])


def _of_wanted_types(tally: Tally, clicks: pa.RecordBatch, event_types: tuple[str, ...]) -> pa.RecordBatch:
    if not event_types:
        return clicks
    wanted = pa.array([name.encode() for name in event_types], pa.large_binary())
    kept = clicks.filter(pc.is_in(clicks.column(EVENT_TYPE), wanted))
    tally.add("events_dropped", "unwanted_event_type", clicks.num_rows - kept.num_rows)
    return kept
