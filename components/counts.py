"""What became of each row and each session: tallies that workers add up, and the checks on their sum."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from nextclick.components import contract, splits
from nextclick.pipeline.config import DataConfig
from nextclick.pipeline.errors import DataError

# The two logs of a run, by their place in keys and ranges.
CLICKS_LOG, TEST_LOG = "clicks", "test"
_LAST_ROW_NUMBER_MS = 365 * 24 * 3600 * 1000
_MAX_WARNINGS = 20


class FirstReject(NamedTuple):
    """Where to look first: the earliest rejected row."""

    file_index: int
    row: int
    file: str
    reason: str


@dataclasses.dataclass
class Tally:
    """Counts of one part of the work; tallies of parts add up to that of the whole.

    Attributes:
        numbers: by (count, key), such as ("rows_rejected", "bad_timestamp"); the key is "" where a count has none.
        ranges_ms: first and last time by what it is the range of: a log ("log", name) or a split ("split", name).
        warnings: sentences for the report.
        first_reject: the earliest rejected row; None: no row was.
    """

    numbers: collections.Counter[tuple[str, str]] = dataclasses.field(default_factory=collections.Counter)
    ranges_ms: dict[tuple[str, str], tuple[int, int]] = dataclasses.field(default_factory=dict)
    warnings: list[str] = dataclasses.field(default_factory=list)
    first_reject: FirstReject | None = None

    def add(self, count: str, key: str, amount: int) -> None:
        """Adds to a count; nothing appears where nothing was counted."""
        if amount:
            self.numbers[count, key] += int(amount)

    def cover(self, kind: str, name: str, first_ms: int, last_ms: int) -> None:
        """Widens a range."""
        bounds = (int(first_ms), int(last_ms))  # numpy's integers are no JSON
        first, last = self.ranges_ms.get((kind, name), bounds)
        self.ranges_ms[kind, name] = (min(first, bounds[0]), max(last, bounds[1]))

    def by_key(self, count: str) -> dict[str, int]:
        """A count's numbers by key."""
        return {key: n for (name, key), n in sorted(self.numbers.items()) if name == count}

    def total(self, count: str) -> int:
        """Sum of a count over its keys."""
        return sum(self.by_key(count).values())


def merge(tallies: Iterable[Tally]) -> Tally:
    """The tally of the whole; the order of the parts does not matter."""
    whole = Tally()
    for part in tallies:
        whole.numbers.update(part.numbers)
        for (kind, name), bounds in part.ranges_ms.items():
            whole.cover(kind, name, *bounds)
        whole.warnings = sorted({*whole.warnings, *part.warnings})
        rejects = [found for found in (whole.first_reject, part.first_reject) if found]
        whole.first_reject = min(rejects, default=None)
    return whole


def to_json(tally: Tally) -> str:
    """A tally as text that `from_json` reads."""
    return json.dumps(
        {
            "numbers": [[*key, n] for key, n in sorted(tally.numbers.items())],
            "ranges_ms": [[*key, *bounds] for key, bounds in sorted(tally.ranges_ms.items())],
            "warnings": tally.warnings,
            "first_reject": tally.first_reject,
        }
    )


def from_json(text: str) -> Tally:
    """Inverse of `to_json`."""
    values = json.loads(text)
    return Tally(
        collections.Counter({(count, key): n for count, key, n in values["numbers"]}),
        {(kind, name): (first, last) for kind, name, first, last in values["ranges_ms"]},
        values["warnings"],
        FirstReject(*values["first_reject"]) if values["first_reject"] else None,
    )


def summary(tally: Tally) -> dict[str, Any]:
    """The content of counts.json.

    Raises:
        RuntimeError: rows or sessions do not add up, which is an error of nextclick.
    """
    found = {
        "rows_read": tally.total("rows_read"),
        "rows_rejected": tally.by_key("rows_rejected"),
        "events_dropped": tally.by_key("events_dropped"),
        "sessions_read": tally.total("sessions_read"),
        "sessions_dropped": tally.by_key("sessions_dropped"),
        "sessions": {split: tally.numbers["sessions", split] for split in contract.SPLITS},
        "events": {split: tally.numbers["events", split] for split in contract.SPLITS},
        "items": tally.total("items"),
        "time_range_ms": {name: list(bounds) for (kind, name), bounds in tally.ranges_ms.items() if kind == "split"},
        "warnings": _warnings(tally),
    }
    _check_sums(found)
    return found


def cut_times(read: Tally, data: DataConfig) -> splits.Cuts:
    """Where the splits of the log lie whose reading gave a tally."""
    clicks = {int(hour): number for hour, number in read.by_key("clicks_in_hour").items()}
    return splits.cut_times(*read.ranges_ms["log", CLICKS_LOG], data, clicks)


def check(tally: Tally, data: DataConfig) -> None:
    """Whether the run can go on.

    Raises:
        DataError: no rows, too many rejected ones, no split by time possible, or an empty split.
    """
    check_rows(tally, data)
    if tally.total("sessions_read") == 1:
        raise DataError("the log holds one session only: training, validation and test need sessions of their own")
    first, last = tally.ranges_ms["log", CLICKS_LOG]
    if first == last:
        raise DataError(
            f"all clicks have the same time, {when(first)}: a split by time needs real timestamps, "
            "so check the timestamp column"
        )
    for split in contract.SPLITS:
        if not tally.numbers["sessions", split]:
            raise DataError(_empty_split(split, tally, data))


def check_rows(tally: Tally, data: DataConfig) -> None:
    """Raises DataError where there are no rows, too many rejected ones, or no clicks."""
    rows, rejected = tally.total("rows_read"), tally.by_key("rows_rejected")
    if not rows:
        raise DataError("the log holds no rows but a header: expected one row a click")
    share = sum(rejected.values()) / rows
    if share > data.max_rejected_share and tally.first_reject:
        commonest = sorted(rejected.items(), key=lambda entry: (-entry[1], entry[0]))[:3]
        first = tally.first_reject
        raise DataError(
            f"{sum(rejected.values())} of {rows} rows ({share:.2%}) were rejected, more than "
            f"data.max_rejected_share={data.max_rejected_share} allows: "
            f"{', '.join(f'{reason} {n}' for reason, n in commonest)}; "
            f"the first is {first.file}, row {first.row} ({first.reason})"
        )
    for name in (CLICKS_LOG, *([TEST_LOG] if data.test_path else [])):
        if ("log", name) not in tally.ranges_ms:
            path = data.test_path if name == TEST_LOG else ", ".join(data.paths)
            raise DataError(
                f"no click of {path} is left: all rows were rejected or are of another type than data.event_types"
            )


def _check_sums(found: dict[str, Any]) -> None:
    rows = sum(sum(found[count].values()) for count in ("rows_rejected", "events_dropped", "events"))
    sessions = sum(sum(found[count].values()) for count in ("sessions_dropped", "sessions"))
    if (rows, sessions) != (found["rows_read"], found["sessions_read"]):
        raise RuntimeError(f"counts do not add up to {rows} rows and {sessions} sessions: {found}")


def _warnings(tally: Tally) -> list[str]:
    warnings = list(tally.warnings[:_MAX_WARNINGS])
    early = tally.numbers["training_events_in_test_time", ""]
    if early:
        first_test = when(tally.ranges_ms["log", TEST_LOG][0])
        warnings.append(
            f"{early} of {tally.numbers['events', contract.TRAIN]} training events are not earlier than the first "
            f"click of the test log ({first_test}): the model may know what it is asked to predict"
        )
    bounds = tally.ranges_ms.get(("log", CLICKS_LOG))
    if bounds and bounds[1] < _LAST_ROW_NUMBER_MS:
        warnings.append("all times lie in 1970, as row numbers would: the split by time is only as good as their order")
    return warnings


def _empty_split(split: str, tally: Tally, data: DataConfig) -> str:
    first, last = tally.ranges_ms["log", CLICKS_LOG]
    if split == contract.TEST and data.test_path:
        return f"the test split is empty: {data.test_path} holds no session of two clicks or more"
    advice = {
        contract.TRAIN: "set data.validation_days and data.test_days to less",
        contract.VALIDATION: "set data.validation_days to more",
        contract.TEST: "set data.test_days to more, or name a test log with --test-data",
    }[split]
    cuts = cut_times(tally, data)
    bounds = (first, cuts.validation_start_ms, cuts.test_start_ms, last + 1)
    begin, end = bounds[contract.SPLITS.index(split) :][:2]
    return (
        f"the {split} split is empty: the log runs from {when(first)} to {when(last)} and no session of at least "
        f"{data.min_session_length} clicks is left that starts from {when(begin)} to {when(end)}: {advice}, "
        "or give more data"
    )


def when(time_ms: int) -> str:
    """A time as the sentences for people have it."""
    moment = datetime.datetime.fromtimestamp(time_ms / 1000, tz=datetime.timezone.utc)
    return moment.isoformat(sep=" ", timespec="seconds").replace("+00:00", " UTC")
