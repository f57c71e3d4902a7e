"""Training batches: windows bucketed by length into dense integer tables, and each epoch's plan of rows.

Nothing is padded but to its bucket's width, every window is in exactly one batch of an epoch, and the last batch
of a bucket is no smaller than its others: a bucket's rows are spread evenly over the nearest whole number of batches.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from nextclick.components.sequences import Sequences

# A bucket's longest window has at most this many times the inputs of the next shorter bucket's.
_GROWTH = 1.25


@dataclasses.dataclass(frozen=True)
class Bucket:
    """Windows of about one length.

    Attributes:
      rows: int32 [windows, width + 1], items of a window, then 0: inputs are `rows[:, :-1]`, targets `rows[:, 1:]`.
      events: pairs of input and target in all rows together.
    """

    rows: npt.NDArray[np.int32]
    events: int


@dataclasses.dataclass(frozen=True)
class Plan:
    """The batches of one epoch: batch i has the rows `order[starts[i]:starts[i + 1]]` of bucket `buckets[i]`."""

    buckets: npt.NDArray[np.int32]
    starts: npt.NDArray[np.int32]
    stops: npt.NDArray[np.int32]
    order: npt.NDArray[np.int32]

    def __len__(self) -> int:
        """Number of batches."""
        return len(self.buckets)


def make_buckets(windows: Sequences, batch_size: int) -> list[Bucket]:
    """Buckets of windows (two items or more each), short ones first, of one batch or more each where there is enough.

    Args:
      windows: what to train on.
      batch_size: events of a batch, about.
    """
    widths = windows.lengths - 1  # [windows]
    found, last = [], 0
    for width in _bucket_widths(widths, batch_size):
        rows = windows.take(np.flatnonzero((widths > last) & (widths <= width)))
        found.append(Bucket(rows.padded(width + 1), int(rows.lengths.sum() - len(rows))))
        last = width
    return found


def make_plan(buckets: list[Bucket], batch_size: int, generator: np.random.Generator) -> Plan:
    """The batches of an epoch: rows shuffled within each bucket, batches shuffled among the buckets."""
    names, bounds, order = [], [], []
    offset = 0
    for number, bucket in enumerate(buckets):
        count = len(bucket.rows)
        batches = min(count, max(1, round(bucket.events / batch_size)))
        edges = offset + np.linspace(0, count, batches + 1).round().astype(np.int32)
        names += [number] * batches
        bounds.append(np.stack([edges[:-1], edges[1:]], axis=1))
        order.append(generator.permutation(count).astype(np.int32))
        offset += count
    shuffled = generator.permutation(len(names))
    edges = np.concatenate([np.zeros((0, 2), np.int32), *bounds])[shuffled]
    flat = np.concatenate([np.zeros(0, np.int32), *order])
    return Plan(np.array(names, np.int32)[shuffled], edges[:, 0], edges[:, 1], flat)


def _bucket_widths(widths: npt.NDArray[np.int64], batch_size: int) -> list[int]:
    """Widest window of each bucket, ascending; the last is the widest of all."""
    if not len(widths):
        return []
    events = np.bincount(widths) * np.arange(widths.max() + 1)  # events in windows of each width
    found: list[int] = []
    waiting = 0  # events since the last edge
    edge = 1
    for width in range(1, len(events)):
        waiting += events[width]
        if width >= edge:
            edge = max(width + 1, int(width * _GROWTH))
            if waiting >= batch_size:
                found.append(width)
                waiting = 0
    if waiting and found and waiting < batch_size:
        found.pop()
    if not found or found[-1] < len(events) - 1:
        found.append(len(events) - 1)
    return found
