"""Calendar of a place, computed by TensorFlow: the graph carries the zone's changes, so that serving needs no database.

A zone is a list of moments from which on its clocks differ from UTC by so much; summer time is two changes a year.
"""

from __future__ import annotations

import datetime
import functools
import zoneinfo

import numpy as np
import tensorflow as tf

# The changes are looked for in the years that a click may have (contract: event_times_ms).
_FIRST, _LAST = 0, 4_102_444_800  # 1970 to 2099, seconds
_DAY = 86_400
# 1 January 1970 was a Thursday; days of the week are counted from Monday.
_EPOCH_DAY_OF_WEEK = 3
_UTC = datetime.timezone.utc


def local_seconds(times_ms: tf.Tensor, time_zone: str) -> tf.Tensor:
    """Seconds since 1970 began on the clocks of a zone: int64 of int64 milliseconds since the epoch, of any shape."""
    seconds = tf.math.floordiv(times_ms, 1000)
    if time_zone == "UTC":
        return seconds
    starts, offsets = zone_changes(time_zone)
    period = tf.searchsorted(tf.constant(starts, tf.int64), tf.reshape(seconds, [-1]), side="right") - 1
    offset = tf.gather(tf.constant(offsets, tf.int64), tf.maximum(period, 0))
    return seconds + tf.reshape(offset, tf.shape(seconds))


def hour_of_day(seconds: tf.Tensor) -> tf.Tensor:
    """0 … 23, int64."""
    return tf.math.floordiv(tf.math.floormod(seconds, _DAY), 3600)


def day_of_week(seconds: tf.Tensor) -> tf.Tensor:
    """0 (Monday) … 6, int64."""
    return tf.math.floormod(tf.math.floordiv(seconds, _DAY) + _EPOCH_DAY_OF_WEEK, 7)


def season(seconds: tf.Tensor) -> tf.Tensor:
    """0 (December to February), 1 (March to May), 2, 3, int64; what weather that is depends on the hemisphere."""
    return tf.math.floordiv(tf.math.floormod(month(seconds), 12), 3)


def month(seconds: tf.Tensor) -> tf.Tensor:
    """1 … 12, int64, in the Gregorian calendar.

    Counted in years that begin in March, so that a leap day is the last one: the month is then
    (5 * day of that year + 2) // 153 (Richards, "Calendars", in: Explanatory Supplement to the Astronomical Almanac).
    """
    days = tf.math.floordiv(seconds, _DAY) + 719_468  # since 1 March of the year 0
    of_era = tf.math.floormod(days, 146_097)  # an era has 400 years
    leap = -tf.math.floordiv(of_era, 1460) + tf.math.floordiv(of_era, 36_524) - tf.math.floordiv(of_era, 146_096)
    year = tf.math.floordiv(of_era + leap, 365)
    of_year = of_era - (365 * year + tf.math.floordiv(year, 4) - tf.math.floordiv(year, 100))
    return tf.math.floormod(tf.math.floordiv(5 * of_year + 2, 153) + 2, 12) + 1


@functools.lru_cache(maxsize=8)
def zone_changes(time_zone: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """When the clocks of a zone change (seconds since the epoch, ascending, the first is 0), and what they then add.

    Two changes within a day would be missed; there are none that end where they began.
    """
    zone = zoneinfo.ZoneInfo(time_zone)
    samples = range(_FIRST, _LAST, _DAY)
    found = [_offset(zone, second) for second in samples]
    starts, offsets = [_FIRST], [found[0]]
    for place in np.flatnonzero(np.diff(found)):
        starts.append(_first_with(zone, found[place + 1], samples[place], samples[place + 1]))
        offsets.append(found[place + 1])
    return tuple(starts), tuple(offsets)


def _first_with(zone: zoneinfo.ZoneInfo, offset: int, before: int, after: int) -> int:
    """The first second with an offset that the clocks have at `after` and not yet at `before`."""
    while after - before > 1:
        middle = (before + after) // 2
        if _offset(zone, middle) == offset:
            after = middle
        else:
            before = middle
    return after


def _offset(zone: zoneinfo.ZoneInfo, second: int) -> int:
    difference = datetime.datetime.fromtimestamp(second, _UTC).astimezone(zone).utcoffset()
    return int(difference.total_seconds()) if difference else 0
