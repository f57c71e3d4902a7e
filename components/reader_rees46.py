"""REES46's shop logs: one event a row, among its columns event_time, event_type, product_id and user_session."""

from __future__ import annotations

from nextclick.components.reader_columns import by_column

READER = by_column(
    "rees46",
    "REES46 shops: event_time, event_type, product_id, user_session, ...",
    session_id="user_session",
    item_id="product_id",
    timestamp="event_time",
    event_type="event_type",
)
