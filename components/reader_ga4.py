"""Google Analytics 4 as exported to BigQuery: one event a row, from there as JSON lines or Parquet.

A session is a visitor's (`user_pseudo_id`) with the event parameter `ga_session_id`; each item of an event is a
click. Events that show no item (page_view, scroll, ...) or only list what was on the page (impressions) are no clicks
and are counted as dropped.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from nextclick.components import timestamps
from nextclick.components.inputs import InputFile
from nextclick.components.reader import Reader
from nextclick.components.rows import Clicks, Rows, accept, exploded, text

# Their items were shown, not chosen.
IMPRESSIONS = ("view_item_list", "view_promotion", "view_search_results")

_VALUE = pa.struct([("string_value", pa.string()), ("int_value", pa.string())])
_NESTED = {
    "event_params": pa.list_(pa.struct([("key", pa.string()), ("value", _VALUE)])),
    "items": pa.list_(pa.struct([("item_id", pa.string())])),
}


def _clicks(rows: Rows, file: InputFile) -> Clicks:
    del file
    sessions, names = _session_ids(rows), rows.text("event_name")
    items, row_of = exploded(rows.columns["items"])
    has_items = np.bincount(row_of, minlength=len(names)) > 0
    listed = _truth(pc.is_in(names, pa.array(IMPRESSIONS, pa.large_string())))
    has_session = _truth(pc.not_equal(sessions, ""))
    taken = (has_session & ~listed)[row_of]
    row_of, taken_rows = row_of[taken], pa.array(row_of[taken])
    found = accept(
        rows,
        sessions.take(taken_rows),
        text(_field(items, "item_id")).filter(pa.array(taken)),
        times_ms=timestamps.from_numbers(timestamps.numbers(rows.columns["event_timestamp"]), per_millisecond=1000)[
            row_of
        ],
        event_type=names.take(taken_rows),
        row_of=row_of,
    )
    dropped = {
        "event_without_item": int((~has_items).sum()),
        "impression": int((has_items & listed).sum()),
        "event_without_session": int((has_items & ~listed & ~has_session).sum()),
    }
    return dataclasses.replace(found, dropped=dropped)


def _session_ids(rows: Rows) -> pa.Array:
    """`<user_pseudo_id>.<ga_session_id>`, large_string [rows]; empty where one of the two is missing."""
    params, row_of = exploded(rows.columns["event_params"])
    value = _field(params, "value")
    either = pc.coalesce(_texts_or_null(_field(value, "int_value")), _texts_or_null(_field(value, "string_value")))
    wanted = _truth(pc.equal(_field(params, "key").cast(pa.large_string()), "ga_session_id"))
    place = np.full(len(rows.numbers), -1, np.int64)
    place[row_of[wanted]] = np.flatnonzero(wanted)
    session = either.take(pa.array(place, mask=place < 0))
    user = rows.columns["user_pseudo_id"].cast(pa.large_string())
    return pc.fill_null(pc.binary_join_element_wise(user, session, pa.scalar(".", pa.large_string())), "")


def _texts_or_null(values: pa.Array) -> pa.Array:
    return values.cast(pa.large_string())


def _field(structs: pa.Array, name: str) -> pa.Array:
    return pc.struct_field(structs, [structs.type.get_field_index(name)])


def _truth(values: pa.Array) -> npt.NDArray[np.bool_]:
    truth: npt.NDArray[np.bool_] = pc.fill_null(values, False).to_numpy(zero_copy_only=False)
    return truth


READER = Reader(
    name="ga4",
    summary="Google Analytics 4 from BigQuery: event_name, event_timestamp, event_params, items, user_pseudo_id, ...",
    required=("event_name", "event_timestamp", "event_params", "user_pseudo_id", "items"),
    optional=(),
    clicks=_clicks,
    nested=_NESTED,
)
