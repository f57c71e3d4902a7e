"""Parts that a run may add: how far the data drifted, and which items are recommended out of proportion."""

from __future__ import annotations

from typing import Any

from nextclick.pipeline.page import values
from nextclick.pipeline.page.blocks import Block, Cell, Chart, Column, Section, Table, figure, head

# What is compared, the earlier first: keys of an entry, and its names where it has none of its own.
_SIDES = ("train", "test")
_MANY_BINS, _OTHER = 12, "other"


def drift(metrics: Any) -> Section | None:
    """`drift`: [{feature, distance, limit, bins: [text], train: [share], test: [share]}]; None where there is none.

    `names`: what is compared, where it is not the training and the test split.
    """
    found = [values.mapping(entry) for entry in values.entries(metrics, "drift")]
    if not found:
        return None
    blocks: list[Block] = [_distances(found)]
    drawn = [entry for entry in found if values.entries(entry, "bins")]
    for names in dict.fromkeys(map(_names, drawn)):
        alike = [entry for entry in drawn if _names(entry) == names]
        blocks += [_shares(alike, names), *(_share_table(entry, names) for entry in alike)]
    lead = (
        "How far the test days are from the days that the model learnt from, and the newest span of the log, where it "
        "has spans, from those before. A distance is 0 where nothing moved and 1 where nothing is as before."
    )
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
        rows.append((head(_title(entry)), figure(distance), figure(limit), result))
    columns = (Column("Feature"), Column("Distance", True), Column("Limit", True), Column("Result"))
    return Table("Drift by feature", columns, tuple(rows))


def _names(entry: dict[str, Any]) -> tuple[str, ...]:
    names = [str(name) for name in values.entries(entry, "names")]
    return tuple(names) if len(names) == len(_SIDES) else _SIDES


def _title(entry: dict[str, Any]) -> str:
    feature = values.show_text(entry.get("feature"))
    names = _names(entry)
    return feature if names == _SIDES else f"{feature}, {names[1]}"


def _shares(found: list[dict[str, Any]], names: tuple[str, ...]) -> Chart:
    panels = []
    for entry in found:
        shares = [[values.number(share) for share in values.entries(entry, side)] for side in _SIDES]
        bins = [str(name) for name in values.entries(entry, "bins")]
        kept = [
            place
            for place, name in enumerate(bins)
            if any(place < len(side) and side[place] for side in shares)
            and not (len(bins) > _MANY_BINS and name == _OTHER)  # beside it nothing else would be seen
        ]
        series = [
            {"name": name, "role": side, "values": [share[place] if place < len(share) else None for place in kept]}
            for name, side, share in zip(names, _SIDES, shares, strict=True)
        ]
        title = values.show_text(entry.get("feature"))
        panels.append({"title": title, "x": [bins[place] for place in kept], "series": series})
    caption = f"Shares in {names[0]} and in {names[1]}"
    return Chart(
        "shares", caption, f"Figures beside bars are those of {names[1]}; all figures stand below.", {"panels": panels}
    )


def _share_table(entry: dict[str, Any], names: tuple[str, ...]) -> Table:
    shares = [values.entries(entry, side) for side in _SIDES]
    rows = []
    for place, name in enumerate(values.entries(entry, "bins")):
        cells = [figure(share[place] if place < len(share) else None, values.show_percent) for share in shares]
        rows.append((Cell(str(name), place), *cells))
    title = _title(entry)
    columns = (Column(title), *(Column(name, True) for name in names))
    return Table(f"Shares of {title}", columns, tuple(rows), folded=True)
