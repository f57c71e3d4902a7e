"""Sessions as serialised raw tf.Examples (`contract`), and TFRecord files of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import tensorflow as tf
from tfx_bsl.coders.example_coder import RecordBatchToExamplesEncoder

from nextclick.components import contract, whole_file
from nextclick.components.rows import CLICKS, EVENT_TYPE, ITEM_ID, Integers
from nextclick.components.sessions import Sessions, column

# Examples are encoded some thousand at a time, which keeps the list of them small beside the clicks.
_SESSIONS_PER_BATCH = 1 << 15
_BUCKETS = [low for low, _ in contract.SESSION_LENGTH_BUCKETS]
_BUCKET_NAMES = [contract.session_length_bucket(low).encode() for low in _BUCKETS]


def to_examples(sessions: Sessions) -> Iterable[Sequence[bytes]]:
    """Serialised raw tf.Examples of sessions of at least one event, in batches."""
    encoder = RecordBatchToExamplesEncoder()
    for batch in to_record_batches(sessions):
        yield encoder.encode(batch)


def to_record_batches(sessions: Sessions) -> Iterable[pa.RecordBatch]:
    """The raw features as record batches, one row a session."""
    for first in range(0, len(sessions.lengths), _SESSIONS_PER_BATCH):
        yield _record_batch(sessions, first, min(first + _SESSIONS_PER_BATCH, len(sessions.lengths)))


def write_options() -> Any:
    """How TFRecord files are written: gzip's level 1 takes a third of the default's time, files are a tenth larger."""
    return tf.io.TFRecordOptions(compression_type="GZIP", compression_level=1)


def write(path: str, examples: Iterable[Sequence[bytes]], temporary_folder: str) -> None:
    """Writes a gzip TFRecord file (see whole_file.py)."""
    with (
        whole_file.written(path, temporary_folder) as unfinished,
        tf.io.TFRecordWriter(unfinished, write_options()) as writer,
    ):
        for batch in examples:
            for example in batch:
                writer.write(example)


def _record_batch(sessions: Sessions, first: int, end: int) -> pa.RecordBatch:
    lengths, offsets = sessions.lengths[first:end], sessions.offsets[first : end + 1]
    events = sessions.events[offsets[0] : offsets[-1]]
    offsets = offsets - offsets[0]
    items = column(sessions.clicks, ITEM_ID).take(pa.array(events))
    types = column(sessions.clicks, EVENT_TYPE).take(pa.array(events))
    attributes = [name for name in sessions.clicks.column_names if name not in CLICKS.names]
    bucket = np.searchsorted(_BUCKETS, lengths, side="right") - 1
    return pa.RecordBatch.from_pydict(
        {
            contract.SESSION_ID: _one_each(sessions.ids.slice(first, end - first)),
            contract.ITEM_IDS: _lists(offsets, items),
            contract.EVENT_TIMES_MS: _lists(
                offsets, pa.array(sessions.times_ms[sessions.offsets[first] : sessions.offsets[end]])
            ),
            contract.EVENT_TYPES: _lists(offsets, types),
            contract.SESSION_LENGTH: _one_each(pa.array(_BUCKET_NAMES, pa.large_binary()).take(pa.array(bucket))),
            **{name: _lists(offsets, column(sessions.clicks, name).take(pa.array(events))) for name in attributes},
        }
    )


def _one_each(values: pa.Array) -> pa.Array:
    return _lists(np.arange(len(values) + 1), values)


def _lists(offsets: Integers, values: pa.Array) -> pa.Array:
    return pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), values)
