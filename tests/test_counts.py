"""If these failed, the counts of a run would depend on how its work was parted, or hide a loss."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextclick.components import counts
from nextclick.components.counts import FirstReject, Tally


def _tally(rows: int, first: int, last: int, reject_row: int) -> Tally:
    tally = Tally()
    tally.add("rows_read", "", rows)
    tally.add("rows_rejected", "bad_timestamp", rows)
    tally.cover("log", "clicks", min(first, last), max(first, last))
    tally.warnings.append(f"row {reject_row}")
    tally.first_reject = FirstReject(0, reject_row, "a.csv", "bad_timestamp")
    return tally


TALLIES = st.lists(st.builds(_tally, *[st.integers(0, 9)] * 4), max_size=5)


@settings(deadline=None)
@given(TALLIES, TALLIES)
def test_sum_does_not_depend_on_how_the_work_was_parted(some: list[Tally], others: list[Tally]) -> None:
    whole = counts.to_json(counts.merge([*some, *others]))
    assert counts.to_json(counts.merge([counts.merge(others), counts.merge(some)])) == whole
    assert counts.to_json(counts.from_json(whole)) == whole


def test_nothing_counted_is_no_entry() -> None:
    tally = Tally()
    tally.add("rows_rejected", "bad_timestamp", 0)
    assert counts.summary(tally)["rows_rejected"] == {}


def test_earliest_reject_of_the_first_file_is_named() -> None:
    late, early = _tally(1, 1, 1, 7), _tally(1, 1, 1, 3)
    other = Tally(first_reject=FirstReject(1, 1, "b.csv", "not_utf8"))
    assert counts.merge([other, late, early]).first_reject == FirstReject(0, 3, "a.csv", "bad_timestamp")


def test_lost_row_is_an_error_of_ours() -> None:
    tally = Tally()
    tally.add("rows_read", "", 3)
    tally.add("events", "train", 2)
    with pytest.raises(RuntimeError, match="do not add up"):
        counts.summary(tally)
