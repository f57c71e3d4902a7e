"""RetailRocket's events.csv: timestamp in milliseconds, visitorid, event, itemid, transactionid.

A visitor id lasts for months, so that the clicks of a visitor are cut into sessions.
"""

from __future__ import annotations

from nextclick.components.reader_columns import by_column

READER = by_column(
    "retailrocket",
    "RetailRocket's events.csv: timestamp, visitorid, event, itemid, ...",
    session_id="visitorid",
    item_id="itemid",
    timestamp="timestamp",
    event_type="event",
    of_users=True,
)
