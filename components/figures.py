"""The metrics of an evaluation by their names, from the counts of its sessions.

    recall@20, mrr@5/known, ...           the model's, see metrics.py
    predictions, predictions_known        how many there were; how many with a next item of the vocabulary
    sessions                              how many there were
    tied_share                            share of the predictions whose next item has the score of another candidate
    popular/recall@20                     the same metric of a baseline on the same predictions
    best_baseline_lift/recall@20          the model's metric less the best rival's
    recall@20/low, recall@20/high         95 % interval of a figure (bootstrap.py), where it has one: of the model,
    popular/mrr@20/low, ...               the baselines and the lift
    recall@20|position=2                  of a slice of the predictions (prediction_slices.py)
    popular/mrr@20|popularity=tail        of a baseline
    predictions|position=2                how many there were
    coverage@20, novelty@20, ...          of the recommended lists
    popular/coverage@20, ...              of a baseline's; of the whole split alone
    recommended|over=ID, clicked|over=ID  how often an item was, of those most over-recommended; under: the contrary
    unknown_inputs, drift/popularity, ... of the data (data_drift.py)

And of the differences, the model less the model now served:

    recall@20/low, recall@20/high         95 % interval
    worst_slice/recall@20                 the least of the slices' upper ends: how much worse the model surely is in
                                          some slice
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from nextclick.components import bootstrap, metrics
from nextclick.components.evaluation_facts import Facts
from nextclick.components.session_counts import Counts, Layout

BASELINE_LIFT = "best_baseline_lift"
WORST_SLICE = "worst_slice"
SERVED = "served"
# The metrics that have intervals, lifts and slices.
MAIN_METRICS = ("recall@20", "mrr@20")
# Of fewer predictions a slice is no reason to refuse a model.
MIN_SLICE_PREDICTIONS = 100
# Items of either kind that are named as recommended out of proportion.
MAX_ITEMS = 10

Figures = dict[str, float]


def model_figures(counts: Counts, layout: Layout, rivals: Sequence[str], facts: Facts | None) -> Figures:
    """The model's and the baselines' (see the module's text).

    Args:
        counts: of the sessions.
        layout: of the counts.
        rivals: the baselines that the model's lift is taken over.
        facts: of the evaluation; None: no metrics of lists and of the data.
    """
    found: Figures = {"sessions": float(counts.sessions)}
    found["predictions"], found["predictions_known"] = counts.ranks[0].predictions, counts.ranks[0].known
    if counts.tied_of:
        found["tied_share"] = counts.tied / counts.tied_of
    for place, ranker in enumerate(layout.rankers):
        if ranker != SERVED:
            found.update(_ranker_figures(counts, layout, place))
    if rivals:
        found.update(_lifts(counts, layout, rivals))
    if facts:
        predictions = counts.ranks[0].predictions
        found.update(metrics.list_metrics(facts.catalogue, counts.shown, predictions, counts.targets))
        found.update(_items_out_of_proportion(counts, facts))
        found.update(facts.data)
        if predictions == facts.predictions:  # the baselines' lists are known of the whole split alone
            found.update(facts.baseline_lists)
    return {name: float(value) for name, value in found.items()}


def served_figures(counts: Counts, layout: Layout) -> Figures:
    """Rank metrics of the model now served; none where there is none."""
    if SERVED not in layout.rankers:
        return {}
    return counts.ranks[layout.rankers.index(SERVED)].metrics()


def differences(counts: Counts, layout: Layout) -> Figures:
    """Intervals of the model's metrics less the served model's; none where there is none."""
    if SERVED not in layout.rankers:
        return {}
    served = layout.rankers.index(SERVED)
    found: Figures = {}
    for metric in MAIN_METRICS:
        replicates = counts.resampled.values(metric)  # [replicates, rankers]
        found.update(_interval(metric, replicates[:, 0] - replicates[:, served], counts.sessions, -1.0))
    found[f"{WORST_SLICE}/recall@20"] = min(_slice_upper_ends(counts, served), default=1.0)
    return found


def _ranker_figures(counts: Counts, layout: Layout, place: int) -> Iterator[tuple[str, float]]:
    """The first ranker is the model, whose names have no prefix; how many predictions there were is said once."""
    prefix = f"{layout.rankers[place]}/" if place else ""
    for metric, value in counts.ranks[place].metrics().items():
        yield f"{prefix}{metric}", value
    for metric in MAIN_METRICS:
        replicates = counts.resampled[:, place].values(metric)
        yield from _interval(f"{prefix}{metric}", replicates, counts.sessions, 0.0).items()
    for number, (dimension, label) in enumerate(layout.labels):
        for metric in MAIN_METRICS:
            yield f"{prefix}{metric}|{dimension}={label}", counts.slices[number, place].value(metric)
        if not prefix:
            yield f"predictions|{dimension}={label}", counts.slices[number, place].predictions


def _lifts(counts: Counts, layout: Layout, rivals: Sequence[str]) -> Iterator[tuple[str, float]]:
    """The rival is the best one of each replicate anew: an interval for one picked beforehand would be too kind."""
    places = [layout.rankers.index(rival) for rival in rivals]
    for metric in MAIN_METRICS:
        name = f"{BASELINE_LIFT}/{metric}"
        values, replicates = counts.ranks.values(metric), counts.resampled.values(metric)
        yield name, float(values[0] - values[places].max())
        lifts = replicates[:, 0] - replicates[:, places].max(axis=1)
        yield from _interval(name, lifts, counts.sessions, -1.0).items()


def _items_out_of_proportion(counts: Counts, facts: Facts) -> Iterator[tuple[str, float]]:
    found = metrics.out_of_proportion(facts.catalogue, counts.shown, counts.targets, MAX_ITEMS)
    for side, items in found.items():
        for place, recommended, clicked in items:
            if place < len(facts.item_ids):
                yield f"recommended|{side}={facts.item_ids[place]}", recommended
                yield f"clicked|{side}={facts.item_ids[place]}", clicked


def _interval(name: str, replicates: npt.NDArray[np.float64], sessions: int, least: float) -> Figures:
    """Both ends; of too few sessions, the least and the greatest value that there can be."""
    low, high = bootstrap.interval(replicates) if sessions >= bootstrap.MIN_SESSIONS else (least, 1.0)
    return {f"{name}/low": low, f"{name}/high": high}


def _slice_upper_ends(counts: Counts, served: int) -> Iterator[float]:
    """Upper end of the interval of the difference in Recall@20, of every slice that is large enough."""
    predictions = np.maximum(counts.resampled_predictions, 1)  # [replicates, slices]
    difference = (counts.resampled_hits[:, :, 0] - counts.resampled_hits[:, :, served]) / predictions
    for number in range(difference.shape[1]):
        if counts.slices[number, 0].predictions >= MIN_SLICE_PREDICTIONS:
            yield bootstrap.interval(difference[:, number])[1]
