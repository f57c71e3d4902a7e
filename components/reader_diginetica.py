"""Diginetica (CIKM Cup 2016), train-item-views.csv: sessionId;userId;itemId;timeframe;eventdate.

`timeframe` counts milliseconds from the start of the session, `eventdate` is the day: together they put a session's
views in order, on the right day, but not at the right hour.
"""

from __future__ import annotations

import numpy as np

from nextclick.components import timestamps
from nextclick.components.inputs import InputFile
from nextclick.components.reader import Reader
from nextclick.components.rows import Clicks, Rows, accept


def _clicks(rows: Rows, file: InputFile) -> Clicks:
    del file
    days = timestamps.milliseconds(rows.columns["eventdate"])
    offsets = timestamps.from_numbers(timestamps.numbers(rows.columns["timeframe"]), per_millisecond=1)
    known = (days != timestamps.BAD) & (offsets != timestamps.BAD)
    times = np.where(known, days + offsets, timestamps.BAD)
    return accept(rows, rows.text("sessionid"), rows.text("itemid"), times_ms=times)


READER = Reader(
    name="diginetica",
    summary="Diginetica's train-item-views.csv: sessionId;userId;itemId;timeframe;eventdate",
    required=("sessionid", "itemid", "timeframe", "eventdate"),
    optional=(),
    clicks=_clicks,
)
