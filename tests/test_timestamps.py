"""If these failed, clicks would be ordered, split or rejected by times that nobody wrote."""

from __future__ import annotations

import datetime

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextclick.components import timestamps

SEVEN_APRIL = 1_396_867_869_277  # 2014-04-07T10:51:09.277Z
WRITTEN = {
    "1396867869.277": SEVEN_APRIL,
    "1396867869277": SEVEN_APRIL,
    "1396867869": SEVEN_APRIL - 277,
    "1.396867869277e9": SEVEN_APRIL,
    "0": 0,
    "99999999999": 99_999_999_999_000,
    "100000000000": 100_000_000_000,
    "2014-04-07T10:51:09.277Z": SEVEN_APRIL,
    "2014-04-07 10:51:09.277 UTC": SEVEN_APRIL,
    "2014-04-07T12:51:09.277+02:00": SEVEN_APRIL,
    "2014-04-07T05:21:09.277-0530": SEVEN_APRIL,
    "2014-04-07 10:51:09.277": SEVEN_APRIL,
    "2014-04-07T10:51:09.277999": SEVEN_APRIL,
    "2014-04-07T10:51:09.277999999Z": SEVEN_APRIL,
    "2014-04-07T10:51:09": SEVEN_APRIL - 277,
    "2014-04-07T10:51": SEVEN_APRIL - 9277,
    "2014-04-07": 1_396_828_800_000,
    "9999-12-31": 253_402_214_400_000,
}
NO_TIMES = (
    "",
    " ",
    "soon",
    "nan",
    "-inf",
    "0x5F",
    "1_000",
    "2014-02-30",
    "2014-04-07T25:00:00",
    "07.04.2014",
    "12:00",
    "١",
)


@pytest.mark.parametrize(("text", "time"), WRITTEN.items())
def test_each_way_to_write_a_time(text: str, time: int) -> None:
    assert timestamps.milliseconds(pa.array([text])).tolist() == [time]


@pytest.mark.parametrize("text", NO_TIMES)
def test_what_is_no_time(text: str) -> None:
    assert timestamps.milliseconds(pa.array([text])).tolist() == [timestamps.BAD]


def test_mixed_column_gives_what_each_text_gives_alone() -> None:
    texts = [*WRITTEN, *NO_TIMES, *(f" {text}\t" for text in WRITTEN)] * 3
    expected = [*WRITTEN.values(), *[timestamps.BAD] * len(NO_TIMES), *WRITTEN.values()] * 3
    assert timestamps.milliseconds(pa.array(texts)).tolist() == expected


def test_no_rows() -> None:
    assert timestamps.milliseconds(pa.array([], pa.string())).tolist() == []


@settings(deadline=None)
@given(
    st.lists(st.datetimes(datetime.datetime(1970, 1, 2), datetime.datetime(2099, 12, 31)), min_size=1), st.booleans()
)
def test_python_agrees_on_iso_times(moments: list[datetime.datetime], zoned: bool) -> None:
    zone = "+00:00" if zoned else ""
    times = timestamps.milliseconds(pa.array([f"{moment.isoformat()}{zone}" for moment in moments]))
    epoch = datetime.datetime(1970, 1, 1)
    assert times.tolist() == [(moment - epoch) // datetime.timedelta(milliseconds=1) for moment in moments]


@settings(deadline=None)
@given(st.lists(st.integers(100_000_000_000, timestamps.END_MS - 1), min_size=1))
def test_seconds_with_fractions_and_milliseconds_are_the_same_times(times_ms: list[int]) -> None:
    seconds = [f"{time // 1000}.{time % 1000:03d}" for time in times_ms]
    assert timestamps.milliseconds(pa.array(seconds)).tolist() == times_ms
    assert timestamps.milliseconds(pa.array([str(time) for time in times_ms])).tolist() == times_ms


def test_range_of_times_that_a_log_may_hold() -> None:
    times = timestamps.milliseconds(pa.array(["1970-01-01", "2099-12-31 23:59:59.999", "2100-01-01", "-0.001"]))
    assert timestamps.in_range(times).tolist() == [True, True, False, False]
