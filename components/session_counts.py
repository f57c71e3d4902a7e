"""From the ranks of whole sessions to named metrics, in counts that merge exactly.

Evaluator's metrics (tfma_metrics.py) and the tests go through `Counts`: sessions in, sums of whole numbers kept; at
the end figures.py computes the metrics from them. Also kept are the counts of the bootstrap's replicates.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nextclick.components import bootstrap, metrics
from nextclick.components.metrics import MAX_CUTOFF, PLACES, Integers, ItemCounts, RankCounts
from nextclick.components.prediction_slices import NO_SLICE, Codes, Dimension

_FLOAT32_EXACT = 1 << 24  # up to here every whole number is one of float32's


@dataclasses.dataclass(frozen=True)
class SessionRanks:
    """Some sessions, each with a prediction after every click but the last; predictions session after session.

    Attributes:
        fingerprints: uint64 [sessions] (bootstrap.fingerprint).
        lengths: int64 [sessions], how many predictions each has.
        ranks: integers [rankers, predictions].
        slices: codes int64 [predictions] by dimension (prediction_slices.py); absent dimensions have none.
        top_ids: integers [predictions, k], the model's recommended item indices; k may be 0.
        targets: integers [any], index of each next item; may be empty.
        tied: predictions whose next item has the score of another candidate; None: the model does not say.
    """

    fingerprints: npt.NDArray[np.uint64]
    lengths: Integers
    ranks: npt.NDArray[Any]
    slices: Mapping[str, Codes]
    top_ids: npt.NDArray[Any]
    targets: npt.NDArray[Any]
    tied: int | None = None

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def predictions(self) -> int:
        """How many there are."""
        return int(self.ranks.shape[1])

    @functools.cached_property
    def weights(self) -> npt.NDArray[np.uint8]:
        """Of the bootstrap, [replicates, sessions]; kept, since TFMA counts the sessions in each of its slicings."""
        return bootstrap.weights(self.fingerprints)


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
        shown: how often each item index was recommended.
        targets: how often each item index was the next item.
        tied: predictions whose next item has the score of another candidate.
        tied_of: predictions of which that is known.
    """

    sessions: int
    ranks: RankCounts
    slices: RankCounts
    resampled: RankCounts
    resampled_hits: Integers
    resampled_predictions: Integers
    shown: ItemCounts
    targets: ItemCounts
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
        every = _Predictions.of(sessions, layout)
        by_session = every.counted(every.session, every.sessions)  # [sessions, rankers]
        hits, predictions = every.by_session_and_slice()  # [sessions, slices, rankers], [sessions, slices]
        weights = np.concatenate([some.weights for some in sessions], axis=1)
        resampled = _weighted(weights, [by_session.counts, hits, predictions])
        return cls(
            sessions=every.sessions,
            ranks=RankCounts(by_session.counts.sum(axis=0)),
            slices=every.by_slice(),
            resampled=RankCounts(resampled[0]),
            resampled_hits=resampled[1],
            resampled_predictions=resampled[2],
            shown=metrics.count_items(np.concatenate([some.top_ids.ravel() for some in sessions])),
            targets=metrics.count_items(np.concatenate([some.targets for some in sessions])),
            tied=sum(some.tied or 0 for some in sessions),
            tied_of=sum(some.predictions for some in sessions if some.tied is not None),
        )

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            sessions=self.sessions + other.sessions,
            ranks=self.ranks + other.ranks,
            slices=self.slices + other.slices,
            resampled=self.resampled + other.resampled,
            resampled_hits=self.resampled_hits + other.resampled_hits,
            resampled_predictions=self.resampled_predictions + other.resampled_predictions,
            shown=self.shown + other.shown,
            targets=self.targets + other.targets,
            tied=self.tied + other.tied,
            tied_of=self.tied_of + other.tied_of,
        )


@dataclasses.dataclass(frozen=True)
class _Predictions:
    """All predictions of some sessions.

    Attributes:
        sessions: how many sessions there are.
        session: int64 [predictions], which one each prediction is of.
        ranks: integers [rankers, predictions].
        codes: int64 [predictions] of each dimension.
        sizes: number of labels of each dimension.
    """

    sessions: int
    session: Integers
    ranks: npt.NDArray[Any]
    codes: tuple[Codes, ...]
    sizes: tuple[int, ...]

    @classmethod
    def of(cls, sessions: Sequence[SessionRanks], layout: Layout) -> _Predictions:
        lengths = np.concatenate([some.lengths for some in sessions])
        return cls(
            sessions=len(lengths),
            session=np.repeat(np.arange(len(lengths)), lengths),
            ranks=np.concatenate([some.ranks for some in sessions], axis=1),
            codes=tuple(_codes(sessions, dimension.name) for dimension in layout.dimensions),
            sizes=tuple(len(dimension.labels) for dimension in layout.dimensions),
        )

    def counted(self, cells: Integers, number: int, where: Any = slice(None)) -> RankCounts:
        """Counts [number, rankers] of some predictions that each belong to one of `number` cells."""
        ranks = self.ranks[:, where]
        groups = cells * len(ranks) + np.arange(len(ranks))[:, None]  # [rankers, predictions]
        counted = RankCounts.by_group(ranks, groups, number * len(ranks)).counts
        return RankCounts(counted.reshape(number, len(ranks), PLACES))

    def by_slice(self) -> RankCounts:
        """Counts [slices, rankers]; a prediction stands in one slice at most of each dimension."""
        found = [RankCounts.none(0, len(self.ranks)).counts]
        for codes, size in zip(self.codes, self.sizes, strict=True):
            inside = codes != NO_SLICE
            found.append(self.counted(codes[inside], size, inside).counts)
        return RankCounts(np.concatenate(found))

    def by_session_and_slice(self) -> tuple[Integers, Integers]:
        """Ranks up to the greatest cut-off [sessions, slices, rankers], and predictions [sessions, slices]."""
        hits = [np.zeros((self.sessions, 0, len(self.ranks)), np.int64)]
        predictions = [np.zeros((self.sessions, 0), np.int64)]
        for codes, size in zip(self.codes, self.sizes, strict=True):
            cells = self.session * size + codes
            inside = codes != NO_SLICE
            predictions.append(self._in_cells(size, cells[inside]))
            hit = [self._in_cells(size, cells[inside & (ranks <= MAX_CUTOFF)]) for ranks in self.ranks]
            hits.append(np.stack(hit, axis=2))
        return np.concatenate(hits, axis=1), np.concatenate(predictions, axis=1)

    def _in_cells(self, size: int, cells: Integers) -> Integers:
        return np.bincount(cells, minlength=self.sessions * size).reshape(self.sessions, size)


def _codes(sessions: Sequence[SessionRanks], dimension: str) -> Codes:
    found = [some.slices.get(dimension, np.full(some.predictions, NO_SLICE, np.int64)) for some in sessions]
    return np.concatenate(found)


def _weighted(weights: npt.NDArray[np.uint8], counts: Sequence[Integers]) -> list[Integers]:
    """Weighted sums over sessions: [replicates, sessions] and some [sessions, ...] → as many int64 [replicates, ...].

    Floating point multiplies matrices faster than integers, and keeps whole numbers exactly as long as they are small.
    """
    sessions = weights.shape[1]
    flat = np.concatenate([count.reshape(sessions, -1) for count in counts], axis=1)
    greatest = bootstrap.MAX_WEIGHT * int(flat.sum(axis=0).max(initial=0))
    exact = np.float32 if greatest < _FLOAT32_EXACT else np.float64
    sums = np.rint(weights.astype(exact) @ flat.astype(exact)).astype(np.int64)
    ends = np.cumsum([np.prod(count.shape[1:], dtype=int) for count in counts])[:-1]
    parts = np.split(sums, ends, axis=1)
    return [part.reshape(-1, *count.shape[1:]) for part, count in zip(parts, counts, strict=True)]
