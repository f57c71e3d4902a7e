"""Batches of clicks on their way through Beam: as bytes, and parted by a hash of the session id."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from nextclick.components.rows import SESSION_ID, Integers

# Text of a log that one shard takes; about a million clicks, 200 MB while they are sorted.
_BYTES_PER_SHARD = 32 << 20
# A gzip file of clicks is about a fifth of its text; not worth opening the file to know.
_UNZIPPED = 5
_MAX_SHARDS = 1024
# Odd constants of SplitMix64 (Steele et al., "Fast splittable pseudorandom number generators", 2014).
_GOLDEN, _MIX = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9)


def shards_for(files: Iterable[tuple[str, int]]) -> int:
    """How many shards suit files of (path, size in bytes)."""
    total = sum(size * (_UNZIPPED if path.endswith((".gz", ".parquet")) else 1) for path, size in files)
    return max(1, min(_MAX_SHARDS, -(-total // _BYTES_PER_SHARD)))


def partition(batch: pa.RecordBatch, shards: int) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Parts of a batch by shard, each in the batch's order; shards without a click are left out."""
    if shards == 1:
        yield 0, batch
        return
    ids = batch.column(SESSION_ID).dictionary_encode()
    shard = (fingerprints(ids.dictionary) % np.uint64(shards)).astype(np.int16)[ids.indices.to_numpy()]
    parted = batch.take(pa.array(np.argsort(shard, kind="stable")))
    ends = np.cumsum(np.bincount(shard, minlength=shards))
    for number, end in enumerate(ends):
        first = ends[number - 1] if number else 0
        if end > first:
            yield number, parted.slice(first, end - first)


def fingerprints(ids: pa.Array) -> npt.NDArray[np.uint64]:
    """A hash of each id, the same on every machine and in every process; uint64 [ids].

    A polynomial in the id's bytes modulo 2^64, then mixed, since its low bits alone depend on few bits of the id.

    Args:
        ids: large_binary [ids], not empty texts.
    """
    offsets = np.frombuffer(ids.buffers()[1], np.int64, len(ids) + 1, ids.offset * 8)
    data = np.frombuffer(ids.buffers()[2] or b"", np.uint8)[offsets[0] : offsets[-1]]
    lengths = np.diff(offsets)
    terms = (data.astype(np.uint64) + np.uint64(1)) * _powers(int(lengths.max(initial=0)))[_positions(lengths)]
    hashes = np.add.reduceat(terms, offsets[:-1] - offsets[0]) if len(ids) else terms
    hashes = (hashes ^ (hashes >> np.uint64(30))) * _MIX
    mixed: npt.NDArray[np.uint64] = hashes ^ (hashes >> np.uint64(31))
    return mixed


def to_bytes(batch: pa.RecordBatch) -> bytes:
    """A record batch in Arrow's stream format."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())


def from_bytes(data: bytes) -> pa.RecordBatch:
    """Inverse of `to_bytes`; the batch points into `data`."""
    with pa.ipc.open_stream(pa.BufferReader(data)) as reader:
        return reader.read_next_batch()


def _powers(count: int) -> npt.NDArray[np.uint64]:
    return np.cumprod(np.concatenate([np.ones(min(count, 1), np.uint64), np.full(max(count - 1, 0), _GOLDEN)]))


def _positions(lengths: Integers) -> Integers:
    starts = np.cumsum(lengths) - lengths
    return np.arange(lengths.sum()) - np.repeat(starts, lengths)
