"""The trials of the newest `nextclick tune` under this root, best first."""

from __future__ import annotations

from typing import Any

from nextclick.pipeline.page import values
from nextclick.pipeline.page.blocks import Cell, Column, Section, Table, figure


def section(metrics: Any) -> Section | None:
    """Which settings were tried? None where nothing was tuned."""
    trials = [values.mapping(entry) for entry in values.entries(metrics, "tuning", "trials")]
    if not trials:
        return None
    keys = list(values.mapping(trials[0].get("values")))
    columns = (
        Column("Rank", True),
        Column("Validation MRR@20", True),
        *(Column(key, True) for key in keys),
    )
    rows = []
    for place, trial in enumerate(trials, 1):
        chosen = values.mapping(trial.get("values"))
        cells = (_cell(chosen.get(key)) for key in keys)
        rows.append((figure(place, values.show_count), figure(trial.get("score")), *cells))
    lead = (
        f"The {len(trials)} trials of `nextclick tune` ({values.show_text(values.part(metrics, 'tuning', 'run'))}), "
        "judged on its validation split; this run need not have used their best settings."
    )
    return Section("tuning", "Tuning", lead, (Table("Trials, best first", columns, tuple(rows)),))


def _cell(value: Any) -> Cell:
    """Four digits of a number are enough to tell trials apart."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return Cell(f"{value:.4g}", value)
    return Cell(values.show_text(value), values.show_text(value))
