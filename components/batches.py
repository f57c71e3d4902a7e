"""Training batches: windows of about the same length together, so that hardly anything is padded.

Every window is in exactly one batch of an epoch, and no batch is a small rest of the others: the windows, shuffled
and then sorted by length, are cut into the nearest whole number of batches of about equally many events.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from nextclick.components.sequences import Sequences


@dataclasses.dataclass(frozen=True)
class Plan:
    """The batches of one epoch: batch i has the windows `order[starts[i]:stops[i]]`.

    Attributes:
      order: int32 [windows], each window's number once; what session_parallel.py has instead is told there.
      starts, stops: int32 [batches].
    """

    order: npt.NDArray[np.int32]
    starts: npt.NDArray[np.int32]
    stops: npt.NDArray[np.int32]

    def __len__(self) -> int:
        """Number of batches."""
        return len(self.starts)


def make_plan(windows: Sequences, batch_size: int, generator: np.random.Generator) -> Plan:
    """The batches of an epoch.

    Args:
      windows: of two items or more each; a window of n items has n - 1 events.
      batch_size: events of a batch, about.
      generator: decides which windows of one length share a batch, and the order of the batches.
    """
    events = windows.lengths - 1
    order = generator.permutation(len(windows))
    order = order[np.argsort(events[order], kind="stable")]
    after = np.cumsum(events[order])  # events up to and with each window
    batches = min(len(windows), max(1, round(int(events.sum()) / batch_size))) if len(windows) else 0
    targets = np.arange(1, batches + 1) * (after[-1] / batches) if batches else np.zeros(0)
    edges = np.unique(np.concatenate([[0], np.searchsorted(after, targets - 0.5) + 1])) if batches else np.zeros(1)
    edges = np.minimum(edges, len(windows)).astype(np.int32)
    batch = generator.permutation(len(edges) - 1)
    return Plan(order.astype(np.int32), edges[:-1][batch], edges[1:][batch])
