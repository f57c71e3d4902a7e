"""Any log with one click a row: a reader made of the names of its columns, in code or in `data.columns`."""

from __future__ import annotations

from collections.abc import Sequence

from nextclick.components import timestamps
from nextclick.components.inputs import InputFile
from nextclick.components.reader import Reader
from nextclick.components.rows import Clicks, Rows, accept

NAME = "columns"


def by_column(
    name: str,
    summary: str,
    *,
    session_id: str,
    item_id: str,
    timestamp: str,
    event_type: str = "",
    of_users: bool = False,
) -> Reader:
    """A reader of one click a row; each argument names the column that holds the field, in small letters.

    Where `of_users`, `session_id` names the column of the user, whose clicks are then cut into sessions.
    """

    def clicks(rows: Rows, file: InputFile) -> Clicks:
        del file
        types = rows.text(event_type) if event_type in rows.columns else None
        times = timestamps.milliseconds(rows.columns[timestamp])
        return accept(rows, rows.text(session_id), rows.text(item_id), times_ms=times, event_type=types)

    required = (session_id, item_id, timestamp)
    return Reader(name, summary, required, (event_type,) if event_type else (), clicks, of_users=of_users)


def from_map(columns: Sequence[str]) -> Reader:
    """The reader that `data.columns` describes: "field=column" each, checked by the configuration."""
    names = {field: column.strip().lower() for field, _, column in (entry.partition("=") for entry in columns)}
    of_users = "user_id" in names
    return by_column(
        NAME,
        "one click a row, columns as data.columns says",
        session_id=names["user_id" if of_users else "session_id"],
        item_id=names["item_id"],
        timestamp=names["timestamp"],
        event_type=names.get("event_type", ""),
        of_users=of_users,
    )
