"""What a section of the report is made of; the template knows how each block looks, and escapes every text."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from nextclick.pipeline.page import values


@dataclasses.dataclass(frozen=True)
class Cell:
    """One cell: what is read, what it is sorted by, and "good", "bad", "muted", "strong", "text", "code" or "hash"."""

    text: str
    sort: float | str
    tone: str = ""
    link: str = ""


@dataclasses.dataclass(frozen=True)
class Column:
    """Head of a column; numbers are aligned at the right."""

    title: str
    numeric: bool = False


@dataclasses.dataclass(frozen=True)
class Table:
    """A sortable table; the first cell of a row is its head. `folded`: behind a line that opens it."""

    kind: ClassVar[str] = "table"
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    folded: bool = False


@dataclasses.dataclass(frozen=True)
class Chart:
    """A picture drawn by assets/charts.js: `drawing` names the function, `data` is its input.

    `summary` says in words what is to be seen, for those who cannot see it; the figures stand in a table beside it.
    """

    kind: ClassVar[str] = "chart"
    drawing: str
    caption: str
    summary: str
    data: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Note:
    """A paragraph: "plain", "warning" or "bad"."""

    kind: ClassVar[str] = "note"
    text: str
    tone: str = "plain"


@dataclasses.dataclass(frozen=True)
class Facts:
    """Names with their values; `glossary` sets them as text rather than as figures."""

    kind: ClassVar[str] = "facts"
    pairs: tuple[tuple[str, str], ...]
    caption: str = ""
    glossary: bool = False


@dataclasses.dataclass(frozen=True)
class Example:
    """One session: what was seen, what was clicked next, what was recommended (best first)."""

    kind: ClassVar[str] = "example"
    title: str
    session: tuple[str, ...]
    clicked: str
    recommended: tuple[str, ...]


Block = Table | Chart | Note | Facts | Example


@dataclasses.dataclass(frozen=True)
class Section:
    """One chapter of the report; `name` is its anchor."""

    name: str
    title: str
    lead: str
    blocks: tuple[Block, ...]


def head(text: str, tone: str = "", link: str = "") -> Cell:
    """The first cell of a row."""
    return Cell(text, text, tone, link)


def figure(value: Any, show: Callable[[Any], str] = values.show_figure, tone: str = "") -> Cell:
    """A cell with a number; a missing one is sorted below all others."""
    found = values.number(value)
    if found is None:
        return Cell(values.NO_FIGURE, float("-inf"), "muted")
    return Cell(show(found), found, tone)


def moment(value: Any) -> Cell:
    """A cell with a point in time."""
    found = values.milliseconds(value)
    return Cell(values.show_time(value), float("-inf") if found is None else found, "muted" if found is None else "")


def sentence(value: str) -> Cell:
    """A cell with a sentence."""
    return Cell(value, value, "text")


def drop_table(caption: str, unit: str, total: Any, reasons: Iterable[tuple[str, str, int]]) -> Table:
    """Where everything went: rows of (outcome, tone, count) with their share of the total."""
    whole = values.number(total)
    rows = []
    for outcome, tone, amount in reasons:
        share = amount / whole if whole else None
        rows.append((head(outcome, tone), figure(amount, values.show_count), figure(share, _show_share)))
    return Table(
        caption, (Column("Outcome"), Column(unit, True), Column(f"Share of {unit.lower()}", True)), tuple(rows)
    )


def _show_share(value: Any) -> str:
    return values.show_percent(value, 2)
