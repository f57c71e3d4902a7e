"""The plain format: one click a row, `session_id,item_id,timestamp[,event_type[,...]]` in any order of columns.

With `user_id` in place of `session_id`, the clicks of a user are cut into sessions.
"""

from __future__ import annotations

from nextclick.components.reader_columns import by_column

READER = by_column(
    "plain",
    "one click a row: session_id, item_id, timestamp[, event_type]",
    session_id="session_id",
    item_id="item_id",
    timestamp="timestamp",
    event_type="event_type",
)
OF_USERS = by_column(
    "users",
    "one click a row: user_id, item_id, timestamp[, event_type]",
    session_id="user_id",
    item_id="item_id",
    timestamp="timestamp",
    event_type="event_type",
    of_users=True,
)
