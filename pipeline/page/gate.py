"""The gate's checks, each with its figure, its limit and the reason."""

from __future__ import annotations

from typing import Any

from nextclick.pipeline.page import values
from nextclick.pipeline.page.blocks import Block, Cell, Column, Note, Section, Table, figure, head, sentence
from nextclick.pipeline.page.verdict import checks, reason, tone


def section(metrics: Any) -> Section:
    """Why the model was or was not pushed."""
    every = checks(metrics)
    passed = sum(bool(check.get("passed")) for check in every)
    blocks: list[Block] = []
    if tone(metrics) == "overridden":
        blocks.append(Note("The gate was overridden: the model did not have to pass these checks.", "bad"))
    looser = [values.show_text(text) for text in values.entries(metrics, "gate", "overrides")]
    if looser:
        blocks.append(Note(f"The gate was loosened for this run: {'; '.join(looser)}.", "bad"))
    if every:
        blocks.append(_table(every))
    else:
        blocks.append(Note(f"The gate's checks are {values.NOT_AVAILABLE}.", "warning"))
    lead = "A model is pushed only when it passes every check"
    lead += f"; this one passed {passed} of {len(every)}." if every else "."
    return Section("gate", "The gate", lead, tuple(blocks))


def _table(every: list[dict[str, Any]]) -> Table:
    failed_first = sorted(every, key=lambda check: bool(check.get("passed")))
    intervals = any(len(values.entries(check, "interval")) == 2 for check in every)
    columns = [Column("Check"), Column("Result"), Column("Measured", True), Column("Limit", True), Column("Reason")]
    if intervals:
        columns.insert(3, Column("Interval", True))
    return Table("The gate's checks", tuple(columns), tuple(_row(check, intervals) for check in failed_first))


def _row(check: dict[str, Any], intervals: bool) -> tuple[Cell, ...]:
    result = Cell("✓ passed", 1, "good") if check.get("passed") else Cell("✗ failed", 0, "bad")
    cells = [head(values.show_text(check.get("name"))), result, figure(check.get("value"))]
    if intervals:
        cells.append(_interval(check))
    return (*cells, figure(check.get("threshold")), sentence(reason(check)))


def _interval(check: dict[str, Any]) -> Cell:
    bounds = [values.number(bound) for bound in values.entries(check, "interval")]
    if len(bounds) != 2 or bounds[0] is None or bounds[1] is None:
        return figure(None)
    return Cell(f"{values.show_figure(bounds[0])} to {values.show_figure(bounds[1])}", bounds[0])
