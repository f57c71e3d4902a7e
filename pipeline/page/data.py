"""Where every row and every session went, from the log to the splits."""

from __future__ import annotations

from typing import Any

from nextclick.components import contract
from nextclick.pipeline.page import values
from nextclick.pipeline.page.blocks import (
    Block,
    Chart,
    Column,
    Facts,
    Note,
    Section,
    Table,
    drop_table,
    figure,
    head,
    moment,
)

MOST_REASONS_DRAWN = 6


def section(metrics: Any) -> Section:
    """How much of the log is used, and why is the rest not?"""
    blocks: list[Block] = [_facts(metrics)]
    blocks += [Note(values.show_text(warning), "warning") for warning in values.entries(metrics, "data", "warnings")]
    blocks += _flow(
        metrics, "Rows", "rows_read", ("rows_rejected", "events_dropped"), "events", ("rejected", "dropped")
    )
    blocks += _flow(metrics, "Sessions", "sessions_read", ("sessions_dropped",), "sessions", ("dropped",))
    blocks += _times(metrics)
    lead = (
        "Rows of the log are clicks. Splits are cut by time, so that the model is tested on days later than any "
        "it learnt from."
    )
    return Section("data", "Data", lead, tuple(blocks))


def _facts(metrics: Any) -> Facts:
    data = values.mapping(metrics, "data")
    read, rejected = values.number(data.get("rows_read")), sum(values.counts(data, "rows_rejected").values())
    return Facts(
        (
            ("Rows read", values.show_count(read)),
            ("Rows rejected", values.show_percent(rejected / read, 2) if read else values.NOT_AVAILABLE),
            ("Sessions read", values.show_count(data.get("sessions_read"))),
            ("Items in the training split", values.show_count(data.get("items"))),
            *((f"Clicks, {split}", values.show_count(values.part(data, "events", split))) for split in contract.SPLITS),
        )
    )


def _flow(
    metrics: Any, unit: str, total: str, drops: tuple[str, ...], kept: str, verbs: tuple[str, ...]
) -> list[Block]:
    """A picture and a table of one kind of thing: `total` = each of `drops` by reason + `kept` by split."""
    data = values.mapping(metrics, "data")
    splits = values.counts(data, kept)
    if values.number(data.get(total)) is None or not splits:
        return [Note(f"Counts of {unit.lower()} at each stage are {values.NOT_AVAILABLE}.")]
    lost = [
        (verb, reason, n)
        for key, verb in zip(drops, verbs, strict=True)
        for reason, n in values.counts(data, key).items()
    ]
    missing = int(data[total]) - sum(n for _, _, n in lost) - sum(splits.values())
    table = drop_table(
        f"{unit} by outcome",
        unit,
        data[total],
        [(f"{split} split", "", n) for split, n in splits.items()]
        + [(f"{verb}: {values.words(reason)}", "", n) for verb, reason, n in lost]
        + ([("not accounted for", "bad", missing)] if missing else []),
    )
    blocks: list[Block] = [_drawing(unit, int(data[total]), splits, lost, missing), table]
    if missing:
        blocks.append(
            Note(f"{values.show_count(missing)} {unit.lower()} are not accounted for: this is a defect.", "bad")
        )
    return blocks


def _drawing(unit: str, total: int, splits: dict[str, int], lost: list[tuple[str, str, int]], missing: int) -> Chart:
    nodes = [{"label": f"{unit.lower()} read", "role": "neutral", "value": total}]
    links = []
    kept = sum(splits.values())
    if kept:
        nodes.append({"label": "used", "role": "model", "value": kept})
        links.append({"source": 0, "target": 1, "value": kept, "role": "model"})
    for split, n in splits.items():
        if n:
            links.append({"source": 1, "target": len(nodes), "value": n, "role": split})
            nodes.append({"label": split, "role": split, "value": n})
    for label, n in _merged(lost, missing):
        links.append({"source": 0, "target": len(nodes), "value": n, "role": "drop"})
        nodes.append({"label": label, "role": "drop", "value": n})
    used = f"{values.show_count(kept)} of {values.show_count(total)} {unit.lower()}"
    summary = f"{used} are used; the table gives the rest by reason."
    return Chart("flow", f"Way of the {unit.lower()} into the splits", summary, {"nodes": nodes, "links": links})


def _merged(lost: list[tuple[str, str, int]], missing: int) -> list[tuple[str, int]]:
    """The largest reasons, the others as one: a picture with forty hair-lines shows nothing."""
    drawn = sorted(((values.words(reason), n) for _, reason, n in lost if n), key=lambda pair: -pair[1])
    rest = sum(n for _, n in drawn[MOST_REASONS_DRAWN:])
    drawn = drawn[:MOST_REASONS_DRAWN] + ([("other reasons", rest)] if rest else [])
    return drawn + ([("not accounted for", missing)] if missing > 0 else [])


def _times(metrics: Any) -> list[Block]:
    known = values.mapping(metrics, "data", "time_range")
    names = [name for name in contract.SPLITS if name in known] + [
        name for name in known if name not in contract.SPLITS
    ]
    ranges = {name: values.entries(known, name) for name in names}
    rows, bars = [], []
    for split, bounds in ranges.items():
        if len(bounds) != 2:
            continue
        rows.append(
            (
                head(split),
                moment(bounds[0]),
                moment(bounds[1]),
                figure(values.part(metrics, "data", "sessions", split), values.show_count),
                figure(values.part(metrics, "data", "events", split), values.show_count),
            )
        )
        start, end = values.milliseconds(bounds[0]), values.milliseconds(bounds[1])
        if start is not None and end is not None:
            bars.append({"label": split, "role": split, "start": start, "end": end})
    if not rows:
        return [Note(f"The splits' times are {values.NOT_AVAILABLE}.")]
    columns = (
        Column("Split"),
        Column("First click", True),
        Column("Last click", True),
        Column("Sessions", True),
        Column("Clicks", True),
    )
    table = Table("The splits in time", columns, tuple(rows))
    return (
        [Chart("spans", "The splits in time", "The times stand in the table below.", {"bars": bars}), table]
        if bars
        else [table]
    )
