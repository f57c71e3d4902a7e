"""Sessions that no person had: far longer or faster than almost all sessions of the training split.

The limits are a multiple (`data.bot_limit`) of what 99 of 100 training sessions keep to, so that they fit any shop.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from nextclick.components.counts import Tally
from nextclick.components.sessions import Booleans, Sessions

_PERCENTILE = 0.99
# Two clicks within a second are no sign of anything; nine in a row within seconds are.
_FEWEST_CLICKS_WITH_A_PACE = 10
_MINUTE_MS = 60_000
_LENGTHS, _PACES = "training_lengths", "training_paces"


@dataclasses.dataclass(frozen=True)
class Limits:
    """The most events, and the most events a minute, that a person's session has."""

    events: float = math.inf
    events_per_minute: float = math.inf


def measure(training: Sessions, tally: Tally) -> None:
    """Counts training sessions by length and by pace, as far as both are needed for `limits`."""
    for count, values in ((_LENGTHS, training.lengths), (_PACES, np.ceil(_paces(training)))):
        found, numbers = np.unique(values[np.isfinite(values)].astype(np.int64), return_counts=True)
        for value, number in zip(found, numbers, strict=True):
            tally.add(count, str(value), number)


def limits(tally: Tally, factor: float) -> Limits:
    """The limits that the measured training sessions give; without any there are none."""
    return Limits(factor * _percentile(tally.by_key(_LENGTHS)), factor * _percentile(tally.by_key(_PACES)))


def too_long(sessions: Sessions, most: Limits) -> Booleans:
    """Whether a session has more events than a person's, bool [sessions]."""
    return sessions.lengths > most.events


def too_fast(sessions: Sessions, most: Limits) -> Booleans:
    """Whether a session of ten events or more is faster than a person, bool [sessions]."""
    with np.errstate(invalid="ignore"):
        fast: Booleans = _paces(sessions) > most.events_per_minute
    return fast


def _paces(sessions: Sessions) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Events a minute, float64 [sessions]; NaN for short sessions, infinite where all events are at one time."""
    times, offsets = sessions.times_ms, sessions.offsets
    took_ms = times[offsets[1:] - 1] - times[offsets[:-1]]
    with np.errstate(divide="ignore", invalid="ignore"):
        paces = (sessions.lengths - 1) * _MINUTE_MS / took_ms
    return np.where(sessions.lengths >= _FEWEST_CLICKS_WITH_A_PACE, paces, np.nan)


def _percentile(numbers: dict[str, int]) -> float:
    values = sorted((int(value), number) for value, number in numbers.items())
    wanted, seen = _PERCENTILE * sum(numbers.values()), 0
    for value, number in values:
        seen += number
        if seen >= wanted:
            return value
    return math.inf
