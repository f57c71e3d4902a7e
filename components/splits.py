"""Where time cuts a log into train, validation and test; plain numbers in, plain numbers out.

A session belongs to the split in which it starts and ends with that split at the latest: its later events are cut
off. So every training event is earlier than every validation session's start, and those than every test session's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from nextclick.pipeline.config import DataConfig

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

HOUR_MS = 3600 * 1000
DAY_MS = 24 * HOUR_MS
# What an automatic split holds at least: this share of the log's clicks, or so many where that is less. One day of
# four weeks alike is enough.
_ENOUGH_SHARE, _ENOUGH_CLICKS = 0.03, 20_000
_NEVER_MS = np.iinfo(np.int64).max


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


def cut_times(first_ms: int, last_ms: int, data: DataConfig, clicks_in_hour: Mapping[int, int]) -> Cuts:
    """Cuts for a log whose clicks lie between two times, both included.

    The newest `data.test_days` are the test split unless `data.test_path` is; the `data.validation_days` before are
    the validation split. 0 days stand for as many as hold enough clicks to judge by, 3 % of all or 20,000; of a log of
    less than a week, for as many sevenths of it.

    Args:
        first_ms: time of the first click.
        last_ms: time of the last click.
        data: the lengths of the splits.
        clicks_in_hour: by the hour's number since 1970; within an hour clicks count as spread evenly.
    """
    end_ms = last_ms + 1
    clicks_before = _clicks_before(first_ms, end_ms, clicks_in_hour)
    log_ms = end_ms - first_ms
    test_ms = 0
    if not data.test_path:
        test_ms = round(data.test_days * DAY_MS) or _automatic_ms(end_ms, log_ms, clicks_before)
    test_start_ms = end_ms - test_ms
    validation_ms = round(data.validation_days * DAY_MS) or _automatic_ms(test_start_ms, log_ms, clicks_before)
    return Cuts(validation_start_ms=test_start_ms - validation_ms, test_start_ms=test_start_ms)


def _automatic_ms(end_ms: int, log_ms: int, clicks_before: Callable[[Integers], Floats]) -> int:
    """The length of a split that ends then and has none of its own."""
    day_ms = max(1, min(DAY_MS, log_ms // 7))
    lengths_ms = day_ms * np.arange(1, log_ms // day_ms + 1)
    ends = np.array([end_ms])
    held = clicks_before(ends) - clicks_before(ends - lengths_ms)
    total = clicks_before(np.array([_NEVER_MS]))
    enough = held >= np.minimum(_ENOUGH_SHARE * total, _ENOUGH_CLICKS)
    return int(lengths_ms[np.argmax(enough) if enough.any() else -1])


def _clicks_before(first_ms: int, end_ms: int, clicks_in_hour: Mapping[int, int]) -> Callable[[Integers], Floats]:
    """The function from times, int64 [n], to the number of clicks before each, float64 [n]."""
    hours = np.array(sorted(clicks_in_hour), np.int64)
    after = np.cumsum([clicks_in_hour[hour] for hour in hours])
    bounds_ms = np.stack([hours * HOUR_MS, (hours + 1) * HOUR_MS], axis=1).clip(first_ms, end_ms).ravel()
    clicks = np.stack([np.concatenate([[0], after[:-1]]), after], axis=1).ravel()
    return lambda times_ms: np.interp(times_ms, bounds_ms, clicks)
