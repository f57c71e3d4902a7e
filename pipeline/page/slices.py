"""The metrics of parts of the test split; parts with few predictions say so."""

from __future__ import annotations

import re
from typing import Any

from nextclick.components import contract
from nextclick.pipeline.page import quality, rankers, values
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
    for metric in (rankers.RECALL, rankers.MRR):
        overall = values.number(values.part(metrics, "evaluation", "model", metric))
        bars = [_bar(value, part, metric) for value, part in parts]
        panels.append(
            {
                "title": quality.label(metric),
                "bars": bars,
                "reference": overall,
                "reference_title": "overall",
            }
        )
    legend = (
        "; the red mark is the best baseline"
        if any(_best(part, rankers.RECALL) is not None for _, part in parts)
        else ""
    )
    legend += "; * few predictions" if any(_few(part) for _, part in parts) else ""
    return Chart("bars", f"{title(feature)}: Recall@20 and MRR@20{legend}", _extremes(parts), {"panels": panels})


def _bar(value: str, part: dict[str, Any], metric: str) -> dict[str, Any]:
    own = values.part(part, "metrics", metric)
    return {
        "label": value + (" *" if _few(part) else ""),
        "role": "faint" if _few(part) else "model",
        "value": values.number(own),
        "text": values.show_figure(own),
        "rival": _best(part, metric),
    }


def _best(part: dict[str, Any], metric: str) -> float | None:
    """The best baseline's figure in a slice, which names it "popular/recall@20"."""
    names = [f"{name}/{metric}" for name in contract.BASELINES]
    found = [values.number(values.part(part, "metrics", name)) for name in names]
    return max((figure for figure in found if figure is not None), default=None)


def _extremes(parts: list[tuple[str, dict[str, Any]]]) -> str:
    found = {
        value: values.number(values.part(part, "metrics", rankers.RECALL)) for value, part in parts if not _few(part)
    }
    known = {value: recall for value, recall in found.items() if recall is not None}
    if not known:
        return "The figures stand in the table below."
    if len(known) == 1:
        return "All predictions that are enough to tell are of this one kind."
    best, worst = max(known, key=lambda value: known[value]), min(known, key=lambda value: known[value])
    high, low = values.show_figure(known[best]), values.show_figure(known[worst])
    return f"Recall@20 is highest at {best} ({high}), lowest at {worst} ({low})."


def _table(feature: str, parts: list[tuple[str, dict[str, Any]]]) -> Table:
    columns = [Column(title(feature)), Column("Predictions", True)]
    for metric in (rankers.RECALL, rankers.MRR):
        columns += [Column(quality.label(metric), True), Column(f"Best baseline's {quality.label(metric)}", True)]
    rows = tuple(_row(place, value, part) for place, (value, part) in enumerate(parts))
    return Table(f"Metrics by slice: {title(feature).lower()}", (*columns, Column("Remark")), rows)


def _row(place: int, value: str, part: dict[str, Any]) -> tuple[Cell, ...]:
    tone = "muted" if _few(part) else ""
    cells = [Cell(value, place), figure(part.get("predictions"), values.show_count)]
    for metric in (rankers.RECALL, rankers.MRR):
        own, best = values.part(part, "metrics", metric), _best(part, metric)
        cells += [figure(own, tone=tone), figure(best, tone=tone)]
    remark = "few predictions" if _few(part) else ""
    return (*cells, Cell(remark, remark, tone))
