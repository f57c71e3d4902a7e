"""From the ranks of whole sessions to named metrics, in counts that merge exactly.

Evaluator's metrics (tfma_metrics.py) and the tests go through `Counts`: sessions in, sums of whole numbers kept, the
metrics computed from them once, at the end.

The names of the metrics, where "popular" stands for any baseline:

    recall@20, mrr@5/known, ...         the model's, see metrics.py
    predictions, predictions_known      how many there were; how many with a next item of the vocabulary
    popular/recall@20                   the same metric of a baseline on the same predictions
    best_baseline_lift/recall@20        the model's metric less the best rival's
    recall@20|position=2                of the predictions after exactly two clicks
    popular/mrr@20|position=10+         of a baseline, after ten clicks or more
    coverage@20, novelty@20, ...        of the recommended lists
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nextclick.components import metrics
from nextclick.components.metrics import Catalogue, Integers, RankCounts

BASELINE_LIFT = "best_baseline_lift"
LIFTED_METRICS = ("recall@20", "mrr@20")
SLICED_METRICS = ("recall@20", "mrr@20")

# Clicks before a prediction: the lower bounds of the buckets, and their names.
_POSITION_BOUNDS = np.array([1, 2, 3, 4, 6, 10])
POSITIONS = ("1", "2", "3", "4-5", "6-9", "10+")
_GROUPS = 1 + len(POSITIONS)  # all predictions, then the positions


@dataclasses.dataclass(frozen=True)
class SessionRanks:
    """One session of n predictions, each after one click more than the one before.

    Attributes:
        ranks: integers [rankers, n], of the model and then of each baseline.
        top_ids: integers [n, k], the model's recommended item indices; k may be 0.
        targets: integers [n], index of each next item; may be empty.
    """

    ranks: npt.NDArray[Any]
    top_ids: npt.NDArray[Any]
    targets: npt.NDArray[Any]


@dataclasses.dataclass(frozen=True)
class Counts:
    """What is kept of any number of sessions; `+` merges exactly.

    Attributes:
        ranks: counts [rankers, groups]; group 0 holds all predictions, the others the positions.
        shown: int64 [any], how often each item index was recommended.
        targets: int64 [any], how often each item index was the next item.
    """

    ranks: RankCounts
    shown: Integers
    targets: Integers

    @classmethod
    def none(cls, rankers: int) -> Counts:
        """Of no sessions."""
        return cls(RankCounts.none(rankers, _GROUPS), metrics.count_items([]), metrics.count_items([]))

    @classmethod
    def of(cls, sessions: Sequence[SessionRanks], rankers: int) -> Counts:
        """Of some sessions, counted at once."""
        if not sessions:
            return cls.none(rankers)
        ranks = np.concatenate([session.ranks for session in sessions], axis=1)  # [rankers, predictions]
        positions = np.concatenate([_position_groups(session.ranks.shape[1]) for session in sessions])
        counts = RankCounts.none(rankers, _GROUPS)
        for groups in (np.zeros_like(positions), positions):  # [predictions]
            cells = np.arange(rankers)[:, None] * _GROUPS + groups  # [rankers, predictions]
            counted = RankCounts.by_group(ranks, cells, rankers * _GROUPS).counts
            counts += RankCounts(counted.reshape(rankers, _GROUPS, metrics.PLACES))
        return cls(
            ranks=counts,
            shown=metrics.count_items(np.concatenate([session.top_ids.ravel() for session in sessions])),
            targets=metrics.count_items(np.concatenate([session.targets for session in sessions])),
        )

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            ranks=self.ranks + other.ranks,
            shown=_add_padded(self.shown, other.shown),
            targets=_add_padded(self.targets, other.targets),
        )


def values(
    counts: Counts, baselines: Sequence[str], rivals: Sequence[str], catalogue: Catalogue | None
) -> dict[str, float]:
    """Every metric by its name (see the module's text).

    Args:
        counts: of the sessions.
        baselines: names of the rankers after the model.
        rivals: those of them that the model's lift is taken over.
        catalogue: the items; None: no metrics of lists.
    """
    model, *others = (counts.ranks[ranker] for ranker in range(1 + len(baselines)))
    found = dict(_ranker_values("", model))
    for name, ranker in zip(baselines, others, strict=True):
        found.update(_ranker_values(f"{name}/", ranker))
    if rivals:
        for metric in LIFTED_METRICS:
            found[f"{BASELINE_LIFT}/{metric}"] = found[metric] - max(found[f"{rival}/{metric}"] for rival in rivals)
    if catalogue:
        found.update(metrics.list_metrics(catalogue, counts.shown, model[0].predictions, counts.targets))
    return found


def _ranker_values(prefix: str, ranker: RankCounts) -> Iterator[tuple[str, float]]:
    """Of one ranker, counts [groups]; how many predictions there were is said once, for the model."""
    for metric, value in ranker[0].metrics().items():
        yield f"{prefix}{metric}", value
    for group, position in enumerate(POSITIONS, start=1):
        for metric in SLICED_METRICS:
            yield f"{prefix}{metric}|position={position}", ranker[group].value(metric)
        if not prefix:
            yield f"predictions|position={position}", float(ranker[group].predictions)
    if not prefix:
        yield "predictions", float(ranker[0].predictions)
        yield "predictions_known", float(ranker[0].known)


def _position_groups(predictions: int) -> Integers:
    """Group of each prediction of a session, int64 [predictions], from 1."""
    return np.searchsorted(_POSITION_BOUNDS, np.arange(1, predictions + 1), side="right").astype(np.int64)


def _add_padded(one: Integers, other: Integers) -> Integers:
    if len(one) < len(other):
        one, other = other, one
    total = one.copy()
    total[: len(other)] += other
    return total
