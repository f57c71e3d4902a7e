"""Where time cuts a log into train, validation and test; plain numbers in, plain numbers out.

A session belongs to the split in which it starts and ends with that split at the latest: its later events are cut
off. So every training event is earlier than every validation session's start, and those than every test session's.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from nextclick.components import contract
from nextclick.pipeline.config import DataConfig

Integers = npt.NDArray[np.int64]

DAY_MS = 24 * 3600 * 1000
_NEVER_MS = np.iinfo(np.int64).max
_TEST = contract.SPLITS.index(contract.TEST)


@dataclasses.dataclass(frozen=True)
class Cuts:
    """Validation begins at `validation_start_ms`, test at `test_start_ms`.

    Where the test split is a log of its own, `test_start_ms` is after every click of `data.paths`.
    """

    validation_start_ms: int
    test_start_ms: int

    def split_of(self, starts_ms: Integers) -> Integers:
        """Index into `contract.SPLITS` of sessions that start then, int64 [n]."""
        return np.searchsorted([self.validation_start_ms, self.test_start_ms], starts_ms, side="right").astype(np.int64)

    def end_of(self, split: Integers) -> Integers:
        """The first millisecond that is no longer in each split, int64 [n]."""
        return np.array([self.validation_start_ms, self.test_start_ms, _NEVER_MS])[split]


def cut_times(first_ms: int, last_ms: int, data: DataConfig) -> Cuts:
    """Cuts for a log whose clicks lie between two times, both included.

    The newest `data.test_days` are the test split unless `data.test_path` is; the `data.validation_days` before are
    the validation split. 0 days stand for one day, but no more than a seventh of the log.
    """
    end_ms = last_ms + 1
    automatic_ms = max(1, min(DAY_MS, (end_ms - first_ms) // 7))
    test_ms = 0 if data.test_path else (round(data.test_days * DAY_MS) or automatic_ms)
    validation_ms = round(data.validation_days * DAY_MS) or automatic_ms
    return Cuts(validation_start_ms=end_ms - test_ms - validation_ms, test_start_ms=end_ms - test_ms)


# Every session of an explicit test log is in the test split, whenever it starts.
ALL_TEST = Cuts(validation_start_ms=-_NEVER_MS, test_start_ms=-_NEVER_MS)
