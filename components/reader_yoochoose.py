"""YooChoose (RecSys Challenge 2015): the raw .dat files without a header, and what preprocessing scripts make of them.

yoochoose-clicks.dat   session id, 2014-04-07T10:51:09.277Z, item id, category
rsc15_train_full.txt   SessionId, ItemId, Time in seconds, separated by tabs
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

from nextclick.components.reader_columns import by_column

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def _is_click(fields: Sequence[str]) -> bool:
    return len(fields) == 4 and fields[0].isdigit() and bool(_TIME.fullmatch(fields[1])) and fields[2].isdigit()


READER = dataclasses.replace(
    by_column(
        "yoochoose",
        "YooChoose's clicks.dat without a header: session, time, item, category",
        session_id="session_id",
        item_id="item_id",
        timestamp="timestamp",
    ),
    header=("session_id", "timestamp", "item_id", "category"),
    is_row=_is_click,
)
PREPARED = by_column(
    "rsc15",
    "YooChoose as prepared for GRU4Rec: SessionId, ItemId, Time",
    session_id="sessionid",
    item_id="itemid",
    timestamp="time",
)
