"""How training went, epoch by epoch."""

from __future__ import annotations

from typing import Any

from nextclick.pipeline.page import values
from nextclick.pipeline.page.blocks import Block, Cell, Chart, Column, Facts, Note, Section, Table, figure

CURVES = (
    ("loss", "Training loss", "neutral"),
    ("validation_recall@20", "Validation Recall@20", "model"),
    ("validation_mrr@20", "Validation MRR@20", "model"),
)


def section(metrics: Any) -> Section:
    """Did training converge, and what did it cost?"""
    history = [values.mapping(entry) for entry in values.entries(metrics, "training", "history")]
    best = values.number(values.part(metrics, "training", "best_epoch"))
    blocks: list[Block] = [_facts(metrics)]
    if history:
        blocks += [_chart(history, best), _table(history, best)]
    else:
        blocks.append(Note(f"Training curves are {values.NOT_AVAILABLE}."))
    lead = "The weights of the epoch with the best validation figure are kept; the test split has no say in it."
    return Section("training", "Training", lead, tuple(blocks))


def _facts(metrics: Any) -> Facts:
    training = values.mapping(metrics, "training")
    warm = values.mapping(metrics, "training", "warm_start")
    speed = values.show_count(training.get("events_per_second"))
    return Facts(
        (
            ("Epochs", values.show_count(training.get("epochs"))),
            ("Best epoch", values.show_count(training.get("best_epoch"))),
            ("Time", values.show_seconds(training.get("seconds"))),
            ("Events", values.show_count(training.get("events"))),
            ("Events per second", speed),
            ("Parameters", values.show_count(training.get("parameters"))),
            ("Peak memory", values.show_bytes(training.get("peak_memory_bytes"))),
            *((("Started from", _warm_start(warm)),) if warm else ()),
        )
    )


def _warm_start(warm: dict[str, Any]) -> str:
    """What a warm start carried over."""
    if not warm.get("found"):
        return "fresh weights: no model was served yet"
    return (
        f"the served model: {values.show_count(warm.get('items'))} items keep their vectors, "
        f"{values.show_count(warm.get('new_items'))} are new, {values.show_count(warm.get('dropped_items'))} are gone; "
        f"validation MRR@20 before the first step {values.show_figure(warm.get('validation_mrr@20'))}"
    )


def _epoch(place: int, entry: dict[str, Any]) -> float:
    found = values.number(entry.get("epoch"))
    return place + 1 if found is None else found


def _chart(history: list[dict[str, Any]], best: float | None) -> Chart:
    epochs = [_epoch(place, entry) for place, entry in enumerate(history)]
    panels = []
    for key, title, role in CURVES:
        line = [values.number(entry.get(key)) for entry in history]
        if any(value is not None for value in line):
            panels.append(
                {
                    "title": title,
                    "x": [values.show_count(epoch) for epoch in epochs],
                    "x_title": "epoch",
                    "series": [{"name": title, "role": role, "values": line}],
                    "mark": {"index": epochs.index(best), "label": "best"} if best in epochs else None,
                    "fit": True,
                }
            )
    summary = f"{len(history)} epochs" + (
        f", the best was epoch {values.show_count(best)}." if best is not None else "."
    )
    return Chart("lines", "Training curves", summary, {"panels": panels})


def _table(history: list[dict[str, Any]], best: float | None) -> Table:
    columns = (
        Column("Epoch", True),
        *(Column(title, True) for _, title, _ in CURVES),
        Column("Seconds", True),
        Column("Remark"),
    )
    rows = []
    for place, entry in enumerate(history):
        epoch = _epoch(place, entry)
        remark = "best" if epoch == best else ""
        rows.append(
            (
                figure(epoch, values.show_count),
                *(figure(entry.get(key)) for key, _, _ in CURVES),
                figure(entry.get("seconds"), _one_decimal),
                Cell(remark, remark, "good"),
            )
        )
    return Table("Figures by epoch", columns, tuple(rows))


def _one_decimal(value: Any) -> str:
    return f"{value:,.1f}"
