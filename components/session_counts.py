"""From the ranks of whole sessions to named metrics, in counts that merge exactly.

Evaluator's metrics (tfma_metrics.py) and the tests go through `Counts`: sessions in, sums of whole numbers kept; at
the end figures.py computes the metrics from them. Also kept are the counts of the bootstrap's replicates.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nextclick.components import bootstrap, metrics
from nextclick.components.metrics import MAX_CUTOFF, PLACES, Integers, RankCounts
from nextclick.components.prediction_slices import NO_SLICE, Codes, Dimension


@dataclasses.dataclass(frozen=True)
class SessionRanks:
    """One session of n predictions, each after one click more than the one before.

    Attributes:
        fingerprint: of the session, 64 bits (bootstrap.fingerprint).
        ranks: integers [rankers, n].
        slices: codes int64 [n] by dimension (prediction_slices.py); absent dimensions have none.
        top_ids: integers [n, k], the model's recommended item indices; k may be 0.
        targets: integers [n], index of each next item; may be empty.
        tied: predictions whose next item has the score of another candidate; None: the model does not say.
    """

    fingerprint: int
    ranks: npt.NDArray[Any]
    slices: Mapping[str, Codes]
    top_ids: npt.NDArray[Any]
    targets: npt.NDArray[Any]
    tied: int | None = None


@dataclasses.dataclass(frozen=True)
class Layout:
    """What is counted.

    Attributes:
        rankers: names, the model's first.
        dimensions: by which predictions are sliced.
    """

    rankers: tuple[str, ...]
    dimensions: tuple[Dimension, ...]

    @property
    def labels(self) -> tuple[tuple[str, str], ...]:
        """Dimension and label of every slice, in the order of the counts."""
        return tuple((dimension.name, label) for dimension in self.dimensions for label in dimension.labels)


@dataclasses.dataclass(frozen=True)
class Counts:
    """What is kept of any number of sessions; `+` merges exactly.

    Attributes:
        sessions: how many.
        ranks: counts [rankers] of all predictions.
        slices: counts [slices, rankers].
        resampled: counts [replicates, rankers] of all predictions.
        resampled_hits: int64 [replicates, slices, rankers], ranks up to the greatest cut-off.
        resampled_predictions: int64 [replicates, slices].
        shown: int64 [any], how often each item index was recommended.
        targets: int64 [any], how often each item index was the next item.
        tied: predictions whose next item has the score of another candidate.
        tied_of: predictions of which that is known.
    """

    sessions: int
    ranks: RankCounts
    slices: RankCounts
    resampled: RankCounts
    resampled_hits: Integers
    resampled_predictions: Integers
    shown: Integers
    targets: Integers
    tied: int
    tied_of: int

    @classmethod
    def none(cls, layout: Layout) -> Counts:
        """Of no sessions."""
        rankers, slices, replicates = len(layout.rankers), len(layout.labels), bootstrap.REPLICATES
        return cls(
            sessions=0,
            ranks=RankCounts.none(rankers),
            slices=RankCounts.none(slices, rankers),
            resampled=RankCounts.none(replicates, rankers),
            resampled_hits=np.zeros((replicates, slices, rankers), np.int64),
            resampled_predictions=np.zeros((replicates, slices), np.int64),
            shown=metrics.count_items([]),
            targets=metrics.count_items([]),
            tied=0,
            tied_of=0,
        )

    @classmethod
    def of(cls, sessions: Sequence[SessionRanks], layout: Layout) -> Counts:
        """Of some sessions, counted at once."""
        if not sessions:
            return cls.none(layout)
        by_session = _by_session(sessions, layout)  # [sessions, rankers]
        sliced = _by_session_and_slice(sessions, layout)  # [sessions, slices, rankers]
        weights = bootstrap.weights(np.array([session.fingerprint for session in sessions], np.uint64))
        hits = sliced.counts[..., :MAX_CUTOFF].sum(axis=-1)  # [sessions, slices, rankers]
        predictions = sliced.counts[:, :, 0].sum(axis=-1)  # [sessions, slices]: every ranker makes the same ones
        return cls(
            sessions=len(sessions),
            ranks=RankCounts(by_session.counts.sum(axis=0)),
            slices=RankCounts(sliced.counts.sum(axis=0)),
            resampled=RankCounts(_weighted(weights, by_session.counts)),
            resampled_hits=_weighted(weights, hits),
            resampled_predictions=_weighted(weights, predictions),
            shown=metrics.count_items(np.concatenate([session.top_ids.ravel() for session in sessions])),
            targets=metrics.count_items(np.concatenate([session.targets for session in sessions])),
            tied=sum(session.tied or 0 for session in sessions),
            tied_of=sum(session.ranks.shape[1] for session in sessions if session.tied is not None),
        )

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            sessions=self.sessions + other.sessions,
            ranks=self.ranks + other.ranks,
            slices=self.slices + other.slices,
            resampled=self.resampled + other.resampled,
            resampled_hits=self.resampled_hits + other.resampled_hits,
            resampled_predictions=self.resampled_predictions + other.resampled_predictions,
            shown=_add_padded(self.shown, other.shown),
            targets=_add_padded(self.targets, other.targets),
            tied=self.tied + other.tied,
            tied_of=self.tied_of + other.tied_of,
        )


def _by_session(sessions: Sequence[SessionRanks], layout: Layout) -> RankCounts:
    """Counts [sessions, rankers]."""
    ranks, session = _predictions(sessions)
    return _counted(ranks, session, len(sessions), len(layout.rankers))


def _by_session_and_slice(sessions: Sequence[SessionRanks], layout: Layout) -> RankCounts:
    """Counts [sessions, slices, rankers]; a prediction stands in one slice at most of each dimension."""
    ranks, session = _predictions(sessions)
    found = []
    for dimension in layout.dimensions:
        nowhere = [np.full(one.ranks.shape[1], NO_SLICE, np.int64) for one in sessions]
        codes = np.concatenate(
            [one.slices.get(dimension.name, none) for one, none in zip(sessions, nowhere, strict=True)]
        )
        inside = codes != NO_SLICE
        size = len(dimension.labels)
        cells = session[inside] * size + codes[inside]
        counted = _counted(ranks[:, inside], cells, len(sessions) * size, len(layout.rankers)).counts
        found.append(counted.reshape(len(sessions), size, len(layout.rankers), PLACES))
    return RankCounts(np.concatenate(found, axis=1) if found else _no_slices(sessions, layout))


def _no_slices(sessions: Sequence[SessionRanks], layout: Layout) -> Integers:
    return np.zeros((len(sessions), 0, len(layout.rankers), PLACES), np.int64)


def _predictions(sessions: Sequence[SessionRanks]) -> tuple[npt.NDArray[Any], Integers]:
    """All predictions: ranks [rankers, predictions], and the session of each, int64 [predictions]."""
    lengths = [session.ranks.shape[1] for session in sessions]
    return np.concatenate([session.ranks for session in sessions], axis=1), np.repeat(np.arange(len(lengths)), lengths)


def _counted(ranks: npt.NDArray[Any], cells: Integers, number: int, rankers: int) -> RankCounts:
    """Counts [number, rankers] of predictions that each belong to one of `number` cells."""
    groups = cells * rankers + np.arange(rankers)[:, None]  # [rankers, predictions]
    counted = RankCounts.by_group(ranks, groups, number * rankers).counts
    return RankCounts(counted.reshape(number, rankers, PLACES))


def _weighted(weights: npt.NDArray[np.float64], counts: Integers) -> Integers:
    """Weighted sums over sessions: [replicates, sessions] and [sessions, ...] → int64 [replicates, ...].

    Whole numbers far below 2^53: floating point keeps them exactly, and multiplies matrices faster than integers.
    """
    flat = counts.reshape(len(counts), -1).astype(np.float64)
    sums: Integers = np.rint(weights @ flat).astype(np.int64)
    return sums.reshape(len(weights), *counts.shape[1:])


def _add_padded(one: Integers, other: Integers) -> Integers:
    if len(one) < len(other):
        one, other = other, one
    total = one.copy()
    total[: len(other)] += other
    return total
