"""From rows as a file has them to clicks: what every reader shares.

`Rows` are columns of one batch of a file, `Clicks` the same batch in the four columns that the rest of nextclick
works on. No Python object is made for a row unless the row is rejected.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from nextclick.components import contract, timestamps

Integers = npt.NDArray[np.int64]

SESSION_ID, ITEM_ID, TIME_MS, EVENT_TYPE = "session_id", "item_id", "time_ms", "event_type"
# Whether the visitor let this click be used; true where a log does not say.
CONSENT = "consent"
CLICKS = pa.schema(
    [
        (SESSION_ID, pa.large_binary()),
        (ITEM_ID, pa.large_binary()),
        (TIME_MS, pa.int64()),
        (EVENT_TYPE, pa.large_binary()),
        (CONSENT, pa.bool_()),
    ]
)
MAX_TEXT_CHARACTERS = 1000


def clicks_schema(attributes: Iterable[str] = ()) -> pa.Schema:
    """`CLICKS` with a column for each attribute, called as its raw feature is (`contract.attribute_feature`)."""
    return pa.schema([*CLICKS, *((contract.attribute_feature(name), pa.large_binary()) for name in attributes)])


class Reject(NamedTuple):
    """A row that is no click: its number, why, and what it said (at most `MAX_TEXT_CHARACTERS` of it)."""

    row: int
    reason: str
    text: str

    @classmethod
    def of(cls, row: int, reason: str, raw: bytes) -> Reject:
        r"""A reject with the raw bytes as text; bytes that are not UTF-8 appear as \x.. escapes."""
        return cls(
            row, reason, raw[: 4 * MAX_TEXT_CHARACTERS].decode("utf-8", "backslashreplace")[:MAX_TEXT_CHARACTERS]
        )


@dataclasses.dataclass(frozen=True)
class Rows:
    """A batch of rows as a file has them.

    Attributes:
        columns: one Arrow array a wanted column, of any type; delimited files give texts.
        numbers: int64 [rows], as a person counts: the header is row 1.
        raw: the raw bytes of the row with that index.
        rejects: rows of this batch that are not among the columns, since they could not be taken apart.
        consent: bool [rows]; None: every row may be used.
        attributes: large_string [rows] of each column of `data.attributes`, empty where there is no value.
    """

    columns: Mapping[str, pa.Array]
    numbers: Integers
    raw: Callable[[int], bytes]
    rejects: tuple[Reject, ...] = ()
    consent: npt.NDArray[np.bool_] | None = None
    attributes: Mapping[str, pa.Array] = dataclasses.field(default_factory=dict)

    def text(self, name: str) -> pa.Array:
        """A column as large_string [rows]; what is missing is an empty text."""
        return text(self.columns[name])


@dataclasses.dataclass(frozen=True)
class Clicks:
    """What a batch of rows held.

    Attributes:
        batch: clicks, a record batch of schema `clicks_schema` in the file's order.
        rejects: rows that are none, though they should be.
        dropped: number of rows that need not be clicks, by reason.
    """

    batch: pa.RecordBatch
    rejects: tuple[Reject, ...]
    dropped: Mapping[str, int] = dataclasses.field(default_factory=dict)


def accept(
    rows: Rows,
    session_id: pa.Array,
    item_id: pa.Array,
    *,
    times_ms: Integers,
    event_type: pa.Array | None = None,
    row_of: Integers | None = None,
) -> Clicks:
    """Clicks out of columns; those with a missing or wrong value are rejected with the first reason that applies.

    Args:
        rows: where the columns come from.
        session_id: text or binary [n], opaque.
        item_id: text or binary [n], opaque.
        times_ms: int64 [n], `timestamps.BAD` where there is no time.
        event_type: text or binary [n]; empty, or None: "click".
        row_of: int64 [n], index into `rows` of each click; None: one click a row.
    """
    item_bytes = _lengths(item_id)
    checks = (
        ("missing_session_id", _lengths(session_id) == 0),
        ("missing_item_id", item_bytes == 0),
        ("item_id_too_long", item_bytes > contract.MAX_ITEM_ID_BYTES),
        ("line_break_in_item_id", _has_line_break(item_id)),
        ("bad_timestamp", times_ms == timestamps.BAD),
        ("timestamp_out_of_range", ~timestamps.in_range(times_ms)),
    )
    reason = np.full(len(times_ms), -1, np.int8)
    for code in reversed(range(len(checks))):
        reason[checks[code][1]] = code
    batch = pa.RecordBatch.from_arrays(
        [
            _binary(session_id),
            _binary(item_id),
            pa.array(times_ms),
            _event_types(event_type, len(times_ms)),
            _consent(rows, row_of, len(times_ms)),
            *_attributes(rows, row_of),
        ],
        schema=clicks_schema(rows.attributes),
    )
    bad = np.flatnonzero(reason >= 0)
    if len(bad) == 0:
        return Clicks(batch, rows.rejects)
    sources = bad if row_of is None else row_of[bad]
    rejects = [
        Reject.of(int(rows.numbers[source]), checks[reason[index]][0], rows.raw(int(source)))
        for index, source in zip(bad, sources, strict=True)
    ]
    return Clicks(batch.filter(pa.array(reason < 0)), (*rows.rejects, *rejects))


def text(values: pa.Array) -> pa.Array:
    """Values of any scalar type as large_string; null is an empty text, 7.0 is "7" (an id that met a NaN)."""
    if isinstance(values, pa.DictionaryArray):
        values = values.dictionary_decode()
    if pa.types.is_floating(values.type):
        whole = pc.equal(pc.floor(values), values)
        if pc.all(whole).as_py() is not False:  # nulls say nothing
            values = values.cast(pa.int64())
    return pc.fill_null(values.cast(pa.large_string()), "")


def exploded(lists: pa.Array) -> tuple[pa.Array, Integers]:
    """The values of all lists one after another, and the index of the list that each is from, int64 [values]."""
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    return pc.list_flatten(lists), np.repeat(np.arange(len(lengths)), lengths)


def constant(value: bytes, length: int) -> pa.Array:
    """A large_binary array of equal values."""
    return pa.array([value], pa.large_binary()).take(pa.array(np.zeros(length, np.int32)))


def _event_types(event_type: pa.Array | None, length: int) -> pa.Array:
    default = contract.DEFAULT_EVENT_TYPE.encode()
    if event_type is None:
        return constant(default, length)
    missing = pa.array(_lengths(event_type) == 0)
    return pc.if_else(missing, pa.scalar(default, pa.large_binary()), _binary(event_type))


def _consent(rows: Rows, row_of: Integers | None, length: int) -> pa.Array:
    if rows.consent is None:
        return pa.array(np.ones(length, np.bool_))
    return pa.array(rows.consent if row_of is None else rows.consent[row_of])


def _attributes(rows: Rows, row_of: Integers | None) -> list[pa.Array]:
    """Each click has the attributes of its row."""
    columns = [_binary(values) for values in rows.attributes.values()]
    return columns if row_of is None else [values.take(pa.array(row_of)) for values in columns]


def _lengths(values: pa.Array) -> Integers:
    lengths: Any = pc.binary_length(values).to_numpy(zero_copy_only=False)
    return np.asarray(lengths, np.int64)


def _has_line_break(item_id: pa.Array) -> npt.NDArray[np.bool_]:
    """Whether an id holds a line feed, a carriage return or a NUL, bool [n]; JSON and Parquet can write them."""
    data = item_id.buffers()[2] or b""
    if not np.isin(np.frombuffer(data, np.uint8), np.frombuffer(b"\n\r\0", np.uint8)).any():
        return np.zeros(len(item_id), np.bool_)
    found: npt.NDArray[np.bool_] = pc.match_substring_regex(item_id, r"[\n\r\x00]").to_numpy(zero_copy_only=False)
    return found


def _binary(values: pa.Array) -> pa.Array:
    return values.cast(pa.large_binary())
