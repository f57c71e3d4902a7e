"""What the model was made from, and what each step cost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nextclick.pipeline import config as configuration
from nextclick.pipeline.page import values
from nextclick.pipeline.page.blocks import (
    Block,
    Cell,
    Chart,
    Column,
    Note,
    Section,
    Table,
    figure,
    head,
    sentence,
)

ORIGINS = (
    ("Run", ("run", "id")),
    ("Why it ran", ("run", "reason")),
    ("Code version", ("run", "code_version")),
    ("Configuration, SHA-256", ("run", "config_sha256")),
    ("Data, SHA-256", ("run", "data_sha256")),
    ("Seed", ("run", "seed")),
    ("Model version", ("pushed", "version")),
    ("Model folder", ("pushed", "path")),
)


def section(metrics: Any) -> Section:
    """Everything that is needed to make this model again."""
    lead = "The same code, configuration and data give the same model; ML Metadata holds the lineage of every artifact."
    blocks: list[Block] = [_origins(metrics), *_times(metrics), *_settings(metrics)]
    return Section("lineage", "Configuration and lineage", lead, tuple(blocks))


def _origins(metrics: Any) -> Table:
    rows = []
    for title, path in ORIGINS:
        text = values.show_text(values.part(metrics, *path))
        rows.append((head(title), Cell(text, text, "muted" if text == values.NOT_AVAILABLE else "code")))
    return Table("Where the model comes from", (Column("What"), Column("Value")), tuple(rows))


def _times(metrics: Any) -> list[Block]:
    every = values.mapping(metrics, "run", "seconds_by_component")
    measured = {name: found for name, value in every.items() if (found := values.number(value)) is not None}
    seconds = dict(sorted(measured.items(), key=lambda pair: -pair[1]))
    if not seconds:
        return [Note(f"Times by component are {values.NOT_AVAILABLE}.")]
    bars = [
        {"label": name, "role": "neutral", "value": value, "text": values.show_seconds(value)}
        for name, value in seconds.items()
    ]
    slowest = next(iter(seconds))
    whole = values.show_seconds(sum(seconds.values()))
    summary = f"{slowest} took longest: {values.show_seconds(seconds[slowest])} of {whole}."
    picture = Chart("bars", "Time by component", summary, {"panels": [{"title": "seconds", "bars": bars}]})
    return [picture, _time_table(seconds, values.entries(metrics, "run", "cached_components"))]


def _time_table(seconds: dict[str, float], cached: list[Any]) -> Table:
    whole = sum(seconds.values())
    rows = []
    for place, (name, value) in enumerate(seconds.items()):
        share = figure(value / whole if whole else None, values.show_percent)
        remark = "from the cache" if name in cached else ""
        rows.append((Cell(name, place), figure(value, values.show_seconds), share, Cell(remark, remark)))
    columns = (Column("Component"), Column("Time", True), Column("Share", True), Column("Remark"))
    return Table("Time by component", columns, tuple(rows), folded=True)


def _settings(metrics: Any) -> list[Block]:
    flat = dict(_flat(values.mapping(metrics, "config")))
    if not flat:
        return [Note(f"The configuration is {values.NOT_AVAILABLE}.")]
    known = configuration.settings()
    rows, changed = [], 0
    for key, value in flat.items():
        default = known[key].default if key in known else None
        differs = key in known and value != (list(default) if isinstance(default, tuple) else default)
        changed += differs
        text = values.show_text(value)
        meaning = known[key].meaning if key in known else ""
        mark = "changed" if differs else "default" if key in known else "unknown key"
        rows.append(
            (
                head(key, "code"),
                Cell(text, text, "strong" if differs else ""),
                Cell(mark, mark, "" if differs else "muted"),
                sentence(meaning),
            )
        )
    columns = (Column("Key"), Column("Value"), Column("Against the default"), Column("Meaning"))
    note = Note(f"{changed} of {len(flat)} settings differ from the defaults.")
    return [note, Table("Configuration", columns, tuple(rows), folded=True)]


def _flat(section: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in section.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", list(value) if isinstance(value, tuple) else value
