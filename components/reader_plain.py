"""The plain format: one click a row, `session_id,item_id,timestamp[,event_type[,...]]` in any order of columns."""

from __future__ import annotations

from nextclick.components import timestamps
from nextclick.components.inputs import InputFile
from nextclick.components.reader import Reader
from nextclick.components.rows import Clicks, Rows, accept


def _clicks(rows: Rows, file: InputFile) -> Clicks:
    del file
    return accept(
        rows,
        rows.columns["session_id"],
        rows.columns["item_id"],
        times_ms=timestamps.milliseconds(rows.columns["timestamp"]),
        event_type=rows.columns.get("event_type"),
    )


READER = Reader(
    name="plain",
    summary="one click a row: session_id, item_id, timestamp[, event_type]",
    required=("session_id", "item_id", "timestamp"),
    optional=("event_type",),
    clicks=_clicks,
)
