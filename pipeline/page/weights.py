"""What narrower weights cost and save, where the model was exported with float16 or int8 weights."""

from __future__ import annotations

from typing import Any

from nextclick.pipeline.page import values
from nextclick.pipeline.page.blocks import Column, Section, Table, figure, head

_ROWS = (
    ("mrr@20", "MRR@20"),
    ("p50_ms", "one request in process, median, ms"),
    ("p99_ms", "one request in process, 99th percentile, ms"),
    ("megabytes", "size of the files, MB"),
)


def section(metrics: Any) -> Section | None:
    """Quality, latency and size before and after; None for a model of float32 weights."""
    before, after = (values.mapping(metrics, "weights", side) for side in ("before", "after"))
    if not before:
        return None
    kind = values.show_text(values.part(metrics, "config", "serving", "weights"))
    columns = (Column("Figure"), Column("float32", True), Column(kind, True))
    rows = tuple((head(label), figure(before.get(name)), figure(after.get(name))) for name, label in _ROWS)
    lead = f"The model was exported with {kind} weights; both forms were asked about the same test sessions."
    return Section("weights", "Weights", lead, (Table(f"float32 and {kind} weights", columns, rows),))
