"""Example sessions: what was seen, what was clicked, what would have been recommended."""

from __future__ import annotations

from typing import Any

from nextclick.pipeline.page import values
from nextclick.pipeline.page.blocks import Example, Section

MOST_EXAMPLES = 20


def section(metrics: Any) -> Section | None:
    """Twenty sessions say more than twenty metrics; None where the run kept none."""
    found = [values.mapping(entry) for entry in values.entries(metrics, "examples")][:MOST_EXAMPLES]
    if not found:
        return None
    hits = sum(entry.get("clicked") in values.entries(entry, "recommended") for entry in found)
    lead = (
        f"{len(found)} sessions of the test split. In {hits} of them the item that was clicked next is among "
        "those recommended; it is marked."
    )
    return Section(
        "examples", "Example sessions", lead, tuple(_example(place, entry) for place, entry in enumerate(found, 1))
    )


def _example(place: int, entry: dict[str, Any]) -> Example:
    recommended = tuple(str(item) for item in values.entries(entry, "recommended"))
    clicked = values.show_text(entry.get("clicked"))
    rank = (
        f"recommended at place {recommended.index(clicked) + 1}"
        if clicked in recommended
        else "not among the recommended"
    )
    session = tuple(str(item) for item in values.entries(entry, "session"))
    return Example(f"Session {place}: next click {rank}", session, clicked, recommended)
