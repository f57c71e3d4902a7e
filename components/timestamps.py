"""Values that say when, to milliseconds since the epoch, UTC; a column at a time.

Understood: epoch seconds (`1396437466.94`), epoch milliseconds (`1396437466940`), ISO 8601 dates and date-times with
or without a zone (`2019-10-01 00:00:00 UTC`, `2014-04-07T10:51:09.277Z`, `2016-05-09`); no zone means UTC.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Integers = npt.NDArray[np.int64]

# No time could be read.
BAD = np.iinfo(np.int64).min
# 1970 up to the end of 2099.
END_MS = 4_102_444_800_000
# A number from here on is milliseconds: as seconds it would be the year 5138, as milliseconds it is March 1973.
FIRST_MILLISECONDS = 1e11
_LARGEST = 2.0**53  # float64 holds whole numbers up to here; out of any range as milliseconds

_DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_CLOCK = r"[T ][0-9]{2}(:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?)?"
_NUMBER = r"^-?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]{1,2})?$"
_ZONE = r"(Z|[+-][0-9]{2}(:?[0-9]{2})?)"


def milliseconds(values: pa.Array) -> Integers:
    """Times of a column of texts, numbers or timestamps, int64 [n]; `BAD` where a value is not a time.

    A whole column is tried as each kind first, which is all that a clean log needs. Where kinds are mixed, or some
    texts are no times, texts are sorted by their looks.
    """
    if pa.types.is_timestamp(values.type) or pa.types.is_date(values.type):
        times = values.cast(pa.timestamp("us")).cast(pa.int64())
        return np.where(_is_null(values), BAD, _whole_milliseconds(pc.fill_null(times, 0)))
    if pa.types.is_integer(values.type) or pa.types.is_floating(values.type):
        return from_epoch(values.cast(pa.float64()).to_numpy(zero_copy_only=False))
    texts = pc.fill_null(values.cast(pa.large_string()), "")
    for convert in _CONVERTERS.values():
        try:
            return convert(texts)
        except pa.ArrowInvalid:
            continue
    return _each_by_its_looks(texts)


def numbers(values: pa.Array) -> npt.NDArray[np.float64]:
    """A column of numbers or of texts that should be numbers, float64 [n]; NaN where a value is none."""
    if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type)):
        texts = pc.fill_null(values.cast(pa.large_string()), "")
        values = pc.if_else(pc.match_substring_regex(texts, _NUMBER), texts, pa.scalar(None, texts.type))
    found: npt.NDArray[np.float64] = values.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return found


def from_numbers(values: npt.NDArray[np.float64], per_millisecond: float) -> Integers:
    """Numbers of a unit of which so many make a millisecond, to int64 milliseconds; NaN becomes `BAD`."""
    known = np.isfinite(values)
    scaled = np.clip(np.where(known, values, 0.0) / per_millisecond, -_LARGEST, _LARGEST)
    return np.where(known, np.floor(scaled).astype(np.int64), BAD)


def in_range(times_ms: Integers) -> npt.NDArray[np.bool_]:
    """Whether each time is one that a click log may hold, bool [n]."""
    return (times_ms >= 0) & (times_ms < END_MS)


def _from_numbers(texts: pa.Array) -> Integers:
    values = texts.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return from_epoch(values)


def from_epoch(values: npt.NDArray[np.float64]) -> Integers:
    """Seconds, or milliseconds from `FIRST_MILLISECONDS` on, to int64 milliseconds."""
    known = np.isfinite(values)
    values = np.clip(np.where(known, values, 0.0), -_LARGEST, _LARGEST)
    scale = np.where(np.abs(values) < FIRST_MILLISECONDS, 1000.0, 1.0)
    return np.where(known, np.rint(values * scale).astype(np.int64), BAD)


def _from_zoned(texts: pa.Array) -> Integers:
    return _to_milliseconds(pc.replace_substring(texts, " UTC", "Z").cast(pa.timestamp("us", "UTC")))


def _from_local(texts: pa.Array) -> Integers:
    return _to_milliseconds(texts.cast(pa.timestamp("us")))


def _to_milliseconds(times: pa.Array) -> Integers:
    return _whole_milliseconds(times.cast(pa.int64()))


def _whole_milliseconds(microseconds: pa.Array) -> Integers:
    return np.asarray(np.floor_divide(microseconds.to_numpy(zero_copy_only=False), 1000), np.int64)


def _is_null(values: pa.Array) -> npt.NDArray[np.bool_]:
    nulls: npt.NDArray[np.bool_] = values.is_null().to_numpy(zero_copy_only=False)
    return nulls


_CONVERTERS: dict[str, Callable[[pa.Array], Integers]] = {
    _NUMBER: _from_numbers,
    rf"^{_DAY}{_CLOCK}{_ZONE}$": _from_zoned,
    rf"^{_DAY}({_CLOCK})?$": _from_local,
}


def _each_by_its_looks(texts: pa.Array) -> Integers:
    texts = pc.utf8_trim_whitespace(texts)
    texts = pc.replace_substring_regex(texts, r" (UTC|Z)$", "Z")
    texts = pc.replace_substring_regex(texts, r"^([0-9-]{10}.[0-9:]{8})[.,]([0-9]{1,6})[0-9]*", r"\1.\2")
    times = np.full(len(texts), BAD)
    for looks, convert in _CONVERTERS.items():
        alike = pc.match_substring_regex(texts, looks)
        times[alike.to_numpy(zero_copy_only=False)] = _where_possible(texts.filter(alike), convert)
    return times


def _where_possible(texts: pa.Array, convert: Callable[[pa.Array], Integers]) -> Integers:
    """Converts what it can; halves the column until the texts that cannot be converted stand alone."""
    try:
        return convert(texts)
    except pa.ArrowInvalid:
        if len(texts) == 1:
            return np.array([BAD])
        half = len(texts) // 2
        return np.concatenate([_where_possible(texts[:half], convert), _where_possible(texts[half:], convert)])
