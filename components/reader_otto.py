"""OTTO's session logs: JSON lines, one session a line with its events {aid, ts in milliseconds, type}."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from nextclick.components import timestamps
from nextclick.components.inputs import InputFile
from nextclick.components.reader import Reader
from nextclick.components.rows import Clicks, Rows, accept, exploded, text

_EVENTS = pa.list_(pa.struct([("aid", pa.int64()), ("ts", pa.int64()), ("type", pa.string())]))


def _clicks(rows: Rows, file: InputFile) -> Clicks:
    del file
    events, row_of = exploded(rows.columns["events"])
    aid, ts, kind = (pc.struct_field(events, [events.type.get_field_index(name)]) for name in ("aid", "ts", "type"))
    return accept(
        rows,
        rows.text("session").take(pa.array(row_of)),
        text(aid),
        times_ms=timestamps.milliseconds(ts),
        event_type=text(kind),
        row_of=row_of,
    )


READER = Reader(
    name="otto",
    summary="OTTO's JSON lines: session, events [{aid, ts, type}]",
    required=("session", "events"),
    optional=(),
    clicks=_clicks,
    nested={"events": _EVENTS},
)
