"""This run among the earlier ones of the same root: a line per metric."""

from __future__ import annotations

import dataclasses
import json
import urllib.parse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nextclick.pipeline.page import rankers, values
from nextclick.pipeline.page.blocks import Block, Cell, Chart, Column, Note, Section, Table, figure, head, moment
from nextclick.pipeline.page.verdict import tone

LATEST = "latest"
MOST_RUNS = 60
LINES = ((rankers.RECALL, "Recall@20"), (rankers.MRR, "MRR@20"), ("coverage@20", "Coverage@20"))
OUTCOMES = {
    "pushed": "pushed",
    "passed": "passed",
    "refused": "refused",
    "overridden": "overridden",
    "unknown": "no verdict",
}


def earlier(folder: Path, metrics: Any) -> tuple[list[dict[str, Any]], int]:
    """Metrics of the runs beside `folder` that started before this one, oldest first, and how many were unreadable."""
    found, unreadable = [], 0
    for path in sorted(folder.parent.glob("*/metrics.json")):
        if path.parent.name in (LATEST, folder.name):
            continue
        try:
            run = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            unreadable += 1
            continue
        if not isinstance(run, dict):
            unreadable += 1
        elif _start(run) < _start(metrics):
            found.append({**run, "folder": path.parent.name})
    return sorted(found, key=_start)[-MOST_RUNS:], unreadable


def section(metrics: Any, before: Sequence[dict[str, Any]], unreadable: int = 0) -> Section:
    """Do the models get better, and were they measured on the same data?"""
    runs = [*before, metrics]
    blocks: list[Block] = []
    if before:
        blocks.append(_chart(runs))
    else:
        blocks.append(Note("This is the first run under this root: there is no history yet."))
    blocks.append(_table(runs))
    if unreadable:
        blocks.append(Note(f"Reports of {unreadable} other runs could not be read and are left out.", "warning"))
    lead = (
        "Each run is measured on its own newest days: figures are strictly comparable only where the data is the same."
    )
    return Section("history", "Run history", lead, tuple(blocks))


def _start(run: Any) -> float:
    found = values.milliseconds(values.part(run, "run", "started"))
    return float("inf") if found is None else found


def _labels(times: list[str]) -> list[str]:
    """Dates where each run has its own, else days with times: 2026-09-14 03:15 UTC is 2026-09-14 or 09-14 03:15."""
    dates = [time[:10] for time in times]
    return dates if len(set(dates)) == len(dates) else [time[5:16] for time in times]


def _chart(runs: Sequence[Any]) -> Chart:
    x = _labels([values.show_time(values.part(run, "run", "started")) for run in runs])
    panels = []
    for metric, title in LINES:
        model = [values.number(values.part(run, "evaluation", "model", metric)) for run in runs]
        best = [rankers.best_baseline(run, metric) for run in runs]
        series = [{"name": "This model", "role": "model", "values": model, "outcomes": [tone(run) for run in runs]}]
        if not metric.startswith("coverage"):
            series.append({"name": "Best baseline", "role": "baseline", "values": [pair and pair[1] for pair in best]})
        panels.append({"title": title, "x": x, "x_title": "run", "series": series, "fit": True})
    newest = values.show_figure(values.part(runs[-1], "evaluation", "model", rankers.RECALL))
    summary = f"{len(runs)} runs; the newest has Recall@20 {newest}."
    return Chart("lines", "Metrics by run, oldest first; ✗ marks a model that was refused", summary, {"panels": panels})


def _table(runs: Sequence[Any]) -> Table:
    columns = (
        Column("Run"),
        Column("Started (UTC)", True),
        Column("Outcome"),
        *(Column(title, True) for _, title in LINES),
        Column("Best baseline's Recall@20", True),
        Column("Predictions", True),
        Column("Data"),
    )
    return Table("Runs under this root, newest first", columns, tuple(_row(run) for run in reversed(runs)))


def _started(run: Any) -> Cell:
    cell = moment(values.part(run, "run", "started"))
    return dataclasses.replace(cell, text=cell.text.removesuffix(" UTC"))


def _row(run: Any) -> tuple[Cell, ...]:
    outcome = tone(run)
    best = rankers.best_baseline(run, rankers.RECALL)
    data = values.show_text(values.part(run, "run", "data_sha256"))[:8]
    folder = values.part(run, "folder")
    link = f"../{urllib.parse.quote(folder)}/index.html" if isinstance(folder, str) else ""
    return (
        head(values.show_text(values.part(run, "run", "id")), "" if link else "strong", link),
        _started(run),
        Cell(OUTCOMES[outcome], outcome, {"pushed": "good", "refused": "bad", "overridden": "bad"}.get(outcome, "")),
        *(figure(values.part(run, "evaluation", "model", metric)) for metric, _ in LINES),
        figure(best and best[1]),
        figure(values.part(run, "evaluation", "predictions"), values.show_count),
        Cell(data, data, "muted" if data == values.NOT_AVAILABLE else "hash"),
    )
