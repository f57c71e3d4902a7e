"""The metrics of parts of the test split; parts with few predictions say so."""

from __future__ import annotations

import re
from typing import Any

from nextclick.pipeline.page import rankers, values
from nextclick.pipeline.page.blocks import Block, Cell, Chart, Column, Note, Section, Table, figure

# Below this many predictions the standard error of a share near one half is more than five points.
FEW_PREDICTIONS = 100
TITLES = {"session_length": "Events in the session", "position": "Position in the session"}


def section(metrics: Any) -> Section:
    """For whom does the model work, and for whom less?"""
    groups = _groups(values.entries(metrics, "evaluation", "slices"))
    lead = (
        f"A part with fewer than {FEW_PREDICTIONS} predictions is marked: its figures are mostly chance. "
        "Every click counts once, so that the overall figure is not the mean of these."
    )
    blocks: list[Block] = []
    for feature, parts in groups.items():
        blocks += [_chart(metrics, feature, parts), _table(feature, parts)]
    if not blocks:
        blocks.append(Note(f"Slices are {values.NOT_AVAILABLE}."))
    return Section("slices", "Slices", lead, tuple(blocks))


def _groups(slices: list[Any]) -> dict[str, list[tuple[str, dict[str, Any]]]]:
    """Slices by the feature that they cut by; the overall one is elsewhere in the report."""
    groups: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for entry in slices:
        feature, mark, value = re.match(r"([^:=]*)([:=]?)(.*)", str(values.part(entry, "slice")), re.DOTALL).groups()  # type: ignore[union-attr]
        if mark:
            groups.setdefault(feature.strip(), []).append((value.strip(), values.mapping(entry)))
        elif feature.strip().lower() not in ("overall", "", "none"):
            groups.setdefault("slice", []).append((feature.strip(), values.mapping(entry)))
    return {feature: sorted(parts, key=_order) for feature, parts in groups.items()}


def _order(named: tuple[str, dict[str, Any]]) -> tuple[float, str]:
    """Buckets by the number that they start with, the rest by name: 2, 3-4, 10-19, 20+."""
    digits = re.match(r"\d+(\.\d+)?", named[0])
    return (float(digits.group()) if digits else float("inf")), named[0]


def title(feature: str) -> str:
    """What a slice cuts by, as read."""
    return TITLES.get(feature, values.words(feature).capitalize())


def _few(part: dict[str, Any]) -> bool:
    predictions = values.number(part.get("predictions"))
    return predictions is not None and predictions < FEW_PREDICTIONS


def _chart(metrics: Any, feature: str, parts: list[tuple[str, dict[str, Any]]]) -> Chart:
    panels = []
    for metric, name in ((rankers.RECALL, "Recall@20"), (rankers.MRR, "MRR@20")):
        bars = [
            {
                "label": value + (" *" if _few(part) else ""),
                "role": "faint" if _few(part) else "model",
                "value": values.number(values.part(part, "metrics", metric)),
                "text": values.show_figure(values.part(part, "metrics", metric)),
            }
            for value, part in parts
        ]
        overall = values.number(values.part(metrics, "evaluation", "model", metric))
        panels.append(
            {"title": name, "format": "figure", "bars": bars, "reference": overall, "reference_title": "overall"}
        )
    summary = _extremes(parts)
    few = "; * few predictions" if any(_few(part) for _, part in parts) else ""
    return Chart("bars", f"{title(feature)}: Recall@20 and MRR@20{few}", summary, {"panels": panels})


def _extremes(parts: list[tuple[str, dict[str, Any]]]) -> str:
    found = {
        value: values.number(values.part(part, "metrics", rankers.RECALL)) for value, part in parts if not _few(part)
    }
    known = {value: recall for value, recall in found.items() if recall is not None}
    if not known:
        return "The figures stand in the table below."
    best, worst = max(known, key=lambda value: known[value]), min(known, key=lambda value: known[value])
    high, low = values.show_figure(known[best]), values.show_figure(known[worst])
    return f"Recall@20 is highest at {best} ({high}), lowest at {worst} ({low})."


def _table(feature: str, parts: list[tuple[str, dict[str, Any]]]) -> Table:
    columns = (
        Column(title(feature)),
        Column("Predictions", True),
        Column("Recall@20", True),
        Column("MRR@20", True),
        Column("Recall@1", True),
        Column("Remark"),
    )
    rows = []
    for place, (value, part) in enumerate(parts):
        tone = "muted" if _few(part) else ""
        shown = [
            figure(values.part(part, "metrics", metric), tone=tone)
            for metric in (rankers.RECALL, rankers.MRR, "recall@1")
        ]
        remark = "few predictions" if _few(part) else ""
        rows.append(
            (Cell(value, place), figure(part.get("predictions"), values.show_count), *shown, Cell(remark, remark, tone))
        )
    return Table(f"Metrics by slice: {title(feature).lower()}", columns, tuple(rows))
