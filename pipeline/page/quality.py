"""The model's metrics beside the baselines' and the model's that was served before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nextclick.components import contract
from nextclick.pipeline.page import rankers, values
from nextclick.pipeline.page.blocks import Block, Cell, Chart, Column, Facts, Note, Section, Table, figure, head

HEADLINES = (rankers.RECALL, rankers.MRR, "ndcg@20", "recall@1", "coverage@20", "novelty@20", "popularity_lift@20")
FAMILIES = ("recall", "mrr", "ndcg", "map")
LABELS = {"recall": "Recall", "mrr": "MRR", "ndcg": "NDCG", "map": "MAP"}
LABELS |= {"coverage": "Coverage", "novelty": "Novelty", "popularity_lift": "Popularity lift"}
MEANINGS = (
    ("Recall@K", "share of predictions whose next click is among the first K recommended (the hit rate)"),
    ("MRR@K", "mean of 1/rank of the next click, 0 below rank K: how far up the list it stands"),
    ("NDCG@K", "as MRR, falling more slowly with the rank: mean of 1/log2(rank + 1)"),
    ("MAP@K", "equals MRR@K, since there is one right item"),
    ("Coverage@20", "share of the catalogue that is recommended to anybody"),
    ("Novelty@20", "mean of -log2 of the recommended items' share of clicks: higher means less obvious"),
    ("Popularity lift@20", "how much more popular the recommended items are than the clicked ones; 1 is even"),
    ("Invalid@20", "share of the recommended places that hold no item of the catalogue: must be 0"),
    ("known", "the mean over predictions whose next click is in the model's vocabulary"),
)


def section(metrics: Any) -> Section:
    """Is the model better than what costs nothing, and than what is served?"""
    scores = rankers.scores(metrics)
    predictions = values.part(metrics, "evaluation", "predictions")
    many = (
        "Each prediction"
        if values.number(predictions) is None
        else f"Each of {values.show_count(predictions)} predictions"
    )
    lead = (
        f"{many} is one click of the test split, foretold from the clicks before it in its session, against every "
        "item of the catalogue. Ties count against the model."
    )
    blocks: list[Block] = [_facts(metrics)]
    if "model" in scores:
        blocks += [_bars(metrics, scores), _headlines(metrics, scores), _cutoffs(scores), _everything(scores)]
    else:
        blocks.append(Note(f"The model's metrics are {values.NOT_AVAILABLE}.", "warning"))
    blocks.append(Facts(MEANINGS, "What the metrics mean", glossary=True))
    return Section("quality", "Quality against the baselines", lead, tuple(blocks))


def label(metric: str) -> str:
    """A metric's name as read: "recall@20/known" is "Recall@20, known"."""
    name, _, rest = metric.partition("@")
    return f"{LABELS.get(name, values.words(name))}@{rest.replace('/', ', ')}" if rest else values.words(metric)


def show(metric: str) -> Callable[[Any], str]:
    """How a metric's figures are written: shares with four decimals, bits and ratios with two."""
    return _two_decimals if metric.startswith(("novelty", "popularity_lift")) else values.show_figure


def _two_decimals(value: Any) -> str:
    return f"{value:,.2f}".replace("-", values.MINUS)


def _facts(metrics: Any) -> Facts:
    evaluation = values.mapping(metrics, "evaluation")
    predictions, known = (
        values.number(evaluation.get(key)) for key in ("predictions", "predictions_with_known_target")
    )
    share = known / predictions if predictions and known is not None else None
    served = "yes" if rankers.served(metrics) else "no, none was served"
    return Facts(
        (
            ("Predictions", values.show_count(predictions)),
            ("Next click in the vocabulary", values.show_percent(share)),
            ("Tied scores", values.show_percent(evaluation.get("tied_share"), 2)),
            ("Compared with a served model", served),
        )
    )


def _bars(metrics: Any, scores: dict[str, dict[str, Any]]) -> Chart:
    panels = []
    for metric in (rankers.RECALL, rankers.MRR):
        bars = []
        for name, figures in scores.items():
            low, high = rankers.interval(metrics, name, metric) or (None, None)
            value = values.number(figures.get(metric))
            bars.append(
                {
                    "label": values.ranker(name),
                    "role": name,
                    "value": value,
                    "text": values.show_figure(value),
                    "low": low,
                    "high": high,
                }
            )
        panels.append({"title": label(metric), "bars": bars})
    best = rankers.best_baseline(metrics, rankers.RECALL)
    against = f"; best baseline {values.ranker(best[0])} {values.show_figure(best[1])}" if best else ""
    summary = f"This model: {label(rankers.RECALL)} {values.show_figure(scores['model'].get(rankers.RECALL))}{against}."
    return Chart("bars", "Recall@20 and MRR@20 of every ranker; longer is better", summary, {"panels": panels})


def _headlines(metrics: Any, scores: dict[str, dict[str, Any]]) -> Table:
    present = tuple(metric for metric in HEADLINES if any(metric in figures for figures in scores.values()))
    columns = (Column("Ranker"), *(Column(label(metric), True) for metric in present))
    rows = [
        (
            head(values.ranker(name), "strong" if name == "model" else ""),
            *(figure(figures.get(m), show(m)) for m in present),
        )
        for name, figures in scores.items()
    ]
    for title, other in (("Gain over the best baseline", _best), ("Gain over the served model", _served)):
        gains = [other(metrics, scores, metric) for metric in present]
        if any(gain is not None for gain in gains):
            rows.append(
                (head(title, "strong"), *(_gain(metric, gain) for metric, gain in zip(present, gains, strict=True)))
            )
    return Table("Headline figures", columns, tuple(rows))


def _best(metrics: Any, scores: dict[str, dict[str, Any]], metric: str) -> float | None:
    best = rankers.best_baseline(metrics, metric) if metric.startswith(FAMILIES) else None
    value = values.number(scores["model"].get(metric))
    return None if best is None or value is None else value - best[1]


def _served(metrics: Any, scores: dict[str, dict[str, Any]], metric: str) -> float | None:
    before, value = (values.number(scores.get(name, {}).get(metric)) for name in ("served", "model"))
    return None if before is None or value is None else value - before


def _gain(metric: str, gain: float | None) -> Cell:
    """Only for the metrics of which more is better has a gain a colour."""
    if gain is None:
        return Cell("", float("-inf"))
    tone = ("good" if gain > 0 else "bad" if gain < 0 else "") if metric.startswith(FAMILIES) else ""
    return figure(gain, values.show_difference, tone)


def _cutoffs(scores: dict[str, dict[str, Any]]) -> Chart:
    panels = []
    for family in FAMILIES[:2]:
        series = [
            {
                "name": values.ranker(name),
                "role": name,
                "values": [values.number(figures.get(f"{family}@{k}")) for k in contract.CUTOFFS],
            }
            for name, figures in scores.items()
        ]
        panels.append(
            {
                "title": f"{LABELS[family]}@K",
                "x": [str(k) for k in contract.CUTOFFS],
                "x_title": "K, length of the list",
                "series": series,
            }
        )
    return Chart(
        "lines",
        "Recall and MRR by the length of the list",
        "The figures stand in the table of all metrics.",
        {"panels": panels},
    )


def _everything(scores: dict[str, dict[str, Any]]) -> Table:
    names: dict[str, None] = {}
    for figures in scores.values():
        names.update(dict.fromkeys(figures))
    columns = (Column("Metric"), *(Column(values.ranker(name), True) for name in scores))
    rows = tuple(
        (head(label(metric)), *(figure(figures.get(metric), show(metric)) for figures in scores.values()))
        for metric in names
    )
    return Table("All metrics", columns, rows, folded=True)
