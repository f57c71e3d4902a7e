"""Reads parts of metrics.json that may be missing, and writes figures the way a person reads them.

Nothing here trusts a type: earlier runs' files come from earlier versions and may have been edited.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping
from typing import Any

NOT_AVAILABLE = "not available"
NO_FIGURE = "n/a"  # in a column of figures
MINUS = "\N{MINUS SIGN}"
RANKERS = {
    "model": "This model",
    "served": "Model served before",
    "popular": "Popular items",
    "popular_recent": "Popular on the newest day",
    "last_viewed": "Last viewed",
    "item_to_item": "Item to item",
    "session_knn": "Session kNN",
}


def part(metrics: Any, *path: str) -> Any:
    """The value at `path`, or None where any step of it is missing."""
    for name in path:
        if not isinstance(metrics, Mapping):
            return None
        metrics = metrics.get(name)
    return metrics


def mapping(metrics: Any, *path: str) -> dict[str, Any]:
    """The dictionary at `path`, empty where there is none."""
    found = part(metrics, *path)
    return {str(key): value for key, value in found.items()} if isinstance(found, Mapping) else {}


def entries(metrics: Any, *path: str) -> list[Any]:
    """The list at `path`, empty where there is none."""
    found = part(metrics, *path)
    return list(found) if isinstance(found, (list, tuple)) else []


def number(value: Any) -> float | None:
    """A finite number as it is, anything else as None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return value


def counts(metrics: Any, *path: str) -> dict[str, int]:
    """The counters at `path`, without what is no number."""
    found = {name: number(value) for name, value in mapping(metrics, *path).items()}
    return {name: int(value) for name, value in found.items() if value is not None}


def ranker(name: str) -> str:
    """What a reader calls a model or baseline."""
    return RANKERS.get(name, words(name))


def words(name: str) -> str:
    """An identifier as words: `empty_item_id` is "empty item id"."""
    return name.replace("_", " ")


def show_count(value: Any) -> str:
    """A whole number with thousands separated: 10,152."""
    found = number(value)
    return NOT_AVAILABLE if found is None else f"{found:,.0f}"


def show_figure(value: Any) -> str:
    """A metric with four decimals, a large one with fewer: 0.6712, 11.42."""
    found = number(value)
    if found is None:
        return NOT_AVAILABLE
    if float(found).is_integer() and abs(found) >= 10:
        return show_count(found)
    text = f"{found:.4f}" if abs(found) < 10 else f"{found:,.2f}"
    return text.replace("-", MINUS)


def show_difference(value: Any) -> str:
    """A signed difference of two metrics: +0.0429."""
    found = number(value)
    return NOT_AVAILABLE if found is None else f"{found:+.4f}".replace("-", MINUS)


def show_percent(value: Any, decimals: int = 1) -> str:
    """A share as a percentage: 67.1 %."""
    found = number(value)
    return NOT_AVAILABLE if found is None else f"{100 * found:.{decimals}f} %".replace("-", MINUS)


def show_seconds(value: Any) -> str:
    """A duration: 0.4 s, 58 s, 9 min 44 s, 2 h 5 min."""
    found = number(value)
    if found is None:
        return NOT_AVAILABLE
    if found < 10:
        return f"{found:.1f} s"
    minutes, seconds = divmod(round(found), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


def show_bytes(value: Any) -> str:
    """A size of memory: 2.0 GiB."""
    found = number(value)
    if found is None:
        return NOT_AVAILABLE
    for unit in ("B", "KiB", "MiB"):
        if abs(found) < 1024:
            return f"{found:.0f} {unit}"
        found /= 1024
    return f"{found:.1f} GiB"


def moment(value: Any) -> datetime.datetime | None:
    """A point in time from ISO 8601 text, epoch seconds or epoch milliseconds, in UTC; None for anything else."""
    try:
        if isinstance(value, str):
            found = datetime.datetime.fromisoformat(value.replace("Z", "+00:00"))
            return (
                found.astimezone(datetime.timezone.utc) if found.tzinfo else found.replace(tzinfo=datetime.timezone.utc)
            )
        seconds = number(value)
        if seconds is None:
            return None
        # Epoch seconds stay below 10^11 until the year 5138.
        return datetime.datetime.fromtimestamp(
            seconds / 1000 if abs(seconds) >= 1e11 else seconds, tz=datetime.timezone.utc
        )
    except (ValueError, OverflowError, OSError):
        return None


def milliseconds(value: Any) -> float | None:
    """A point in time as milliseconds since the epoch."""
    found = moment(value)
    return None if found is None else found.timestamp() * 1000


def show_time(value: Any) -> str:
    """A point in time: 2026-09-14 03:15 UTC."""
    found = moment(value)
    return NOT_AVAILABLE if found is None else f"{found:%Y-%m-%d %H:%M} UTC"


def show_text(value: Any) -> str:
    """Text of any value; nothing is "not available"."""
    if value is None or value == "":
        return NOT_AVAILABLE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(show_text(entry) for entry in value) or "none"
    return str(value)
