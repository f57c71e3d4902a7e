"""Parts that a run may add: how far the data drifted, and which items are recommended out of proportion."""

from __future__ import annotations

from typing import Any

from nextclick.pipeline.page import values
from nextclick.pipeline.page.blocks import Block, Cell, Chart, Column, Section, Table, figure, head


def drift(metrics: Any) -> Section | None:
    """`drift`: [{feature, distance, limit, bins: [text], train: [share], test: [share]}]; None where there is none."""
    found = [values.mapping(entry) for entry in values.entries(metrics, "drift")]
    if not found:
        return None
    blocks: list[Block] = [_distances(found)]
    for entry in found:
        bins = [str(name) for name in values.entries(entry, "bins")]
        if bins:
            blocks += [_shares(entry, bins), _share_table(entry, bins)]
    lead = "How far the test days are from the days that the model learnt from."
    return Section("drift", "Drift", lead, tuple(blocks))


def items(metrics: Any) -> Section | None:
    """`evaluation.items`: {over: [{item, recommended, clicked}], under: [...]}, counts; None where there is none."""
    blocks: list[Block] = []
    for key, caption in (("over", "Recommended more than clicked"), ("under", "Clicked more than recommended")):
        rows = []
        for entry in (values.mapping(entry) for entry in values.entries(metrics, "evaluation", "items", key)):
            name = values.show_text(entry.get("item"))
            rows.append(
                (head(name), *(figure(entry.get(count), values.show_count) for count in ("recommended", "clicked")))
            )
        if rows:
            columns = (Column("Item"), Column("Recommended", True), Column("Clicked next", True))
            blocks.append(Table(caption, columns, tuple(rows)))
    if not blocks:
        return None
    return Section("items", "Items out of proportion", "Counts over all predictions of the test split.", tuple(blocks))


def _distances(found: list[dict[str, Any]]) -> Table:
    rows = []
    for entry in found:
        distance, limit = values.number(entry.get("distance")), values.number(entry.get("limit"))
        over = distance is not None and limit is not None and distance > limit
        result = Cell("✗ above the limit", 0, "bad") if over else Cell("✓ within", 1, "good")
        rows.append((head(values.show_text(entry.get("feature"))), figure(distance), figure(limit), result))
    columns = (Column("Feature"), Column("Distance", True), Column("Limit", True), Column("Result"))
    return Table("Drift by feature", columns, tuple(rows))


def _shares(entry: dict[str, Any], bins: list[str]) -> Chart:
    series = [
        {"name": split, "role": split, "values": [values.number(share) for share in values.entries(entry, split)]}
        for split in ("train", "test")
    ]
    title = values.show_text(entry.get("feature"))
    panel = {"title": "Share of the split", "x": bins, "x_title": title, "series": series}
    return Chart("lines", f"Drift of {title}", "The shares stand in the table below.", {"panels": [panel]})


def _share_table(entry: dict[str, Any], bins: list[str]) -> Table:
    shares = {split: values.entries(entry, split) for split in ("train", "test")}
    rows = []
    for place, name in enumerate(bins):
        cells = [figure(share[place] if place < len(share) else None, values.show_percent) for share in shares.values()]
        rows.append((Cell(name, place), *cells))
    title = values.show_text(entry.get("feature"))
    return Table(
        f"Shares of {title}", (Column(title), Column("Train", True), Column("Test", True)), tuple(rows), folded=True
    )
