"""The model, the model served before and the baselines: their metrics, and which baseline is the one to beat."""

from __future__ import annotations

from typing import Any

from nextclick.components import contract
from nextclick.pipeline.page import values

RECALL = f"recall@{max(contract.CUTOFFS)}"
MRR = f"mrr@{max(contract.CUTOFFS)}"


def scores(metrics: Any) -> dict[str, dict[str, Any]]:
    """Metrics by ranker: "model", "served" where one was, then the baselines in the report's order."""
    found = {"model": values.mapping(metrics, "evaluation", "model")}
    found["served"] = served(metrics)
    baselines = values.mapping(metrics, "evaluation", "baselines")
    known = [name for name in contract.BASELINES if name in baselines]
    for name in known + [name for name in baselines if name not in known]:
        found[name] = values.mapping(baselines, name)
    return {name: figures for name, figures in found.items() if figures}


def served(metrics: Any) -> dict[str, Any]:
    """Metrics of the model that was served before, on the same predictions; empty where none was."""
    return values.mapping(metrics, "evaluation", "served") or values.mapping(metrics, "evaluation", "baseline_model")


def best_baseline(metrics: Any, metric: str) -> tuple[str, float] | None:
    """Name and figure of the baseline that is best at a metric."""
    figures = {
        name: values.number(values.part(metrics, "evaluation", "baselines", name, metric))
        for name in values.mapping(metrics, "evaluation", "baselines")
    }
    present = {name: figure for name, figure in figures.items() if figure is not None}
    if not present:
        return None
    best = max(present, key=lambda name: present[name])
    return best, present[best]


def interval(metrics: Any, name: str, metric: str) -> tuple[float, float] | None:
    """Confidence interval of a ranker's metric, where the evaluation gave one."""
    bounds = [values.number(bound) for bound in values.entries(metrics, "evaluation", "intervals", name, metric)]
    if len(bounds) != 2 or bounds[0] is None or bounds[1] is None:
        return None
    return bounds[0], bounds[1]
