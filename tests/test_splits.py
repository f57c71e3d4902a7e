"""If these failed, the model would be trained on clicks that lie after those it is tested on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextclick.components import splits
from nextclick.pipeline.config import DataConfig

HOUR = 3_600_000
DAY = 24 * HOUR
MONDAY = 1_709_510_400_000


@pytest.mark.parametrize(
    ("settings_", "days", "validation", "test"),
    [
        (DataConfig(test_days=7, validation_days=2), 28, 19 * DAY, 21 * DAY),
        (DataConfig(test_days=0.5, validation_days=0.25), 28, 27.25 * DAY, 27.5 * DAY),
        (DataConfig(), 28, 26 * DAY, 27 * DAY),
        (DataConfig(), 3.5, 2.5 * DAY, 3 * DAY),  # a seventh of the log
        (DataConfig(validation_days=2), 28, 25 * DAY, 27 * DAY),
        (DataConfig(test_path="x"), 28, 27 * DAY, 28 * DAY),
        (DataConfig(test_path="x", test_days=5, validation_days=3), 28, 25 * DAY, 28 * DAY),
        (DataConfig(test_days=20, validation_days=20), 28, -12 * DAY, 8 * DAY),
    ],
)
def test_cuts_are_days_from_the_end(settings_: DataConfig, days: float, validation: float, test: float) -> None:
    last = MONDAY + int(days * DAY) - 1
    even = dict.fromkeys(range(MONDAY // HOUR, last // HOUR + 1), 100)
    found = splits.cut_times(MONDAY, last, settings_, even)
    assert (found.validation_start_ms - MONDAY, found.test_start_ms - MONDAY) == (validation, test)


@pytest.mark.parametrize(
    ("days", "clicks_on_day", "validation", "test"),
    [
        # One day is enough though it holds 3.6 % of the clicks.
        (28, dict.fromkeys(range(28), 24_000), 26, 27),
        # 20,000 clicks are five days.
        (210, dict.fromkeys(range(210), 4_800), 200, 205),
        # Few in the last days: the test split reaches back to what holds 3 %, validation begins before it.
        (28, {**dict.fromkeys(range(25), 100), 27: 1}, 23, 24),
        # One click with a time long after all others.
        (2800, {**dict.fromkeys(range(25), 100), 2799: 1}, 23, 24),
    ],
)
def test_an_automatic_split_holds_enough_clicks_to_judge_by(
    days: int, clicks_on_day: dict[int, int], validation: int, test: int
) -> None:
    """A last day of a handful of clicks would choose the number of epochs, or end the run with an empty split."""
    noon = MONDAY // HOUR + 12
    clicks = {noon + 24 * day: number for day, number in clicks_on_day.items()}
    found = splits.cut_times(MONDAY, MONDAY + days * DAY - 1, DataConfig(), clicks)
    assert ((found.validation_start_ms - MONDAY) / DAY, (found.test_start_ms - MONDAY) / DAY) == (validation, test)


def test_session_belongs_to_the_split_in_which_it_starts() -> None:
    cuts = splits.Cuts(validation_start_ms=100, test_start_ms=200)
    assert cuts.split_of(np.array([0, 99, 100, 199, 200, 999])).tolist() == [0, 0, 1, 1, 2, 2]
    assert cuts.end_of(np.array([0, 1, 2])).tolist() == [100, 200, np.iinfo(np.int64).max]


@settings(deadline=None)
@given(
    st.integers(0, 4_000_000_000_000),
    st.integers(0, 100 * DAY),
    st.floats(0, 40),
    st.floats(0, 40),
    st.sampled_from(["", "test.csv"]),
    st.lists(st.floats(0, 1), min_size=1),
)
def test_splits_follow_each_other_in_time(
    first: int, length: int, validation_days: float, test_days: float, test_path: str, places: list[float]
) -> None:
    data = DataConfig(validation_days=validation_days, test_days=test_days, test_path=test_path)
    times = np.array([first, *(first + round(place * length) for place in places), first + length])
    hours, clicks = np.unique(times // HOUR, return_counts=True)
    cuts = splits.cut_times(first, first + length, data, dict(zip(hours.tolist(), clicks.tolist(), strict=True)))
    split = cuts.split_of(times)
    assert cuts.validation_start_ms <= cuts.test_start_ms
    assert (times < cuts.end_of(split)).all()
    for earlier, later in ((0, 1), (1, 2), (0, 2)):
        if (split == earlier).any() and (split == later).any():
            assert times[split == earlier].max() < times[split == later].min()
    if test_path:
        assert (split < 2).all()
