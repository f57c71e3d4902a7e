"""What every baseline is: a scorer of some items, and the one rule that turns its scores into ranks.

A baseline scores the few items that it has a reason for. They come first, by score; every other item of the
catalogue stands behind them, by its clicks in the training split. Ties count against the baseline, exactly as they
count against the model: rank = 1 + the number of other candidates that stand at least as high.

Items are numbered by their place in the catalogue, from 0; UNKNOWN_PLACE is an item outside the vocabulary.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from nextclick.components import contract

Places = npt.NDArray[np.int32]
Scores = npt.NDArray[Any]

UNKNOWN_PLACE = -1
NO_CANDIDATES: tuple[Places, Scores] = (np.empty(0, np.int32), np.empty(0))


@dataclasses.dataclass(frozen=True)
class Sessions:
    """Many sessions in three arrays.

    Attributes:
        items: int32 [events], places in the catalogue, session after session.
        offsets: int64 [sessions + 1]; session i holds the items from offsets[i] to before offsets[i + 1].
        times_ms: int64 [sessions], when each session ended, milliseconds since the epoch.
    """

    items: Places
    offsets: npt.NDArray[np.int64]
    times_ms: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.times_ms)

    def __iter__(self) -> Iterator[Places]:
        for first, last in zip(self.offsets[:-1], self.offsets[1:], strict=True):
            yield self.items[first:last]

    def clicks(self, size: int) -> npt.NDArray[np.int64]:
        """How often each of the catalogue's `size` items occurs, int64 [size]."""
        return np.bincount(self.items[self.items >= 0], minlength=size).astype(np.int64)

    def repeat_share(self) -> float:
        """Share of the clicks after a session's first that are on the same item as the click before."""
        followed = np.ones(len(self.items), bool)
        followed[self.offsets[1:] - 1] = False  # a session's last click is followed by another session
        repeats = (self.items[:-1] == self.items[1:]) & (self.items[1:] >= 0) & followed[:-1]
        return float(repeats.sum()) / max(int(followed.sum()), 1)


class Scorer(Protocol):
    """A fitted baseline."""

    def candidates(self, prefix: Places) -> tuple[Places, Scores]:
        """The items that the baseline has a reason for after the clicks of a prefix, and their scores.

        Args:
            prefix: int32 [n], n >= 1, the session so far, UNKNOWN_PLACE included.

        Returns: distinct places int32 [c] and their scores [c], in any order.
        """


def summed(places: Places, scores: Scores) -> tuple[Places, Scores]:
    """A scorer's candidates from items that may occur many times: the distinct ones, and the sums of their scores."""
    distinct, where = np.unique(places, return_inverse=True)
    return distinct, np.bincount(where, weights=scores, minlength=len(distinct))


def ranges(first: npt.NDArray[np.int64], last: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The whole numbers from each `first` to before its `last`, one range after the other."""
    lengths = last - first
    numbers: npt.NDArray[np.int64] = np.arange(lengths.sum()) + np.repeat(first - np.cumsum(lengths) + lengths, lengths)
    return numbers


class Ranker:
    """Ranks items by a scorer's candidates, then by popularity."""

    def __init__(self, scorer: Scorer, clicks: npt.NDArray[np.int64]) -> None:
        """Args: a fitted scorer, and int64 [items] the training clicks of each item."""
        self.scorer = scorer
        self._clicks = clicks
        ascending = np.sort(clicks)
        self._as_popular = len(clicks) - np.searchsorted(ascending, clicks, side="left")  # items clicked as often
        self._by_popularity = np.argsort(-clicks, kind="stable").astype(np.int32)

    def rank(self, prefix: Places, target: int) -> int:
        """Rank of the target after a prefix; UNKNOWN_TARGET_RANK where it is outside the vocabulary."""
        return self._rank(*self.scorer.candidates(prefix), target)

    def session_ranks(self, session: Places, lookback: int) -> npt.NDArray[np.int64]:
        """Rank of each next item, int64 [n - 1], each after the newest `lookback` items before it."""
        ranks = [self.rank(session[max(0, i - lookback) : i], int(session[i])) for i in range(1, len(session))]
        return np.array(ranks, np.int64)

    def top(self, prefix: Places, number: int) -> Places:
        """The first items of the ranking, at most `number`, best first; equal ones by popularity."""
        return self._top(*self.scorer.candidates(prefix), number)

    def session_answers(self, session: Places, lookback: int, number: int) -> tuple[npt.NDArray[np.int64], Places]:
        """As `session_ranks`, and the first `number` items of all rankings, one after the other."""
        ranks, lists = [], [np.empty(0, np.int32)]
        for i in range(1, len(session)):
            candidates = self.scorer.candidates(session[max(0, i - lookback) : i])
            ranks.append(self._rank(*candidates, int(session[i])))
            lists.append(self._top(*candidates, number))
        return np.array(ranks, np.int64), np.concatenate(lists)

    def _rank(self, places: Places, scores: Scores, target: int) -> int:
        if target == UNKNOWN_PLACE:
            return contract.UNKNOWN_TARGET_RANK
        own = scores[places == target]
        if len(own):
            return int(np.count_nonzero(scores >= own[0]))
        popular_candidates = np.count_nonzero(self._clicks[places] >= self._clicks[target])
        return int(len(places) + self._as_popular[target] - popular_candidates)

    def _top(self, places: Places, scores: Scores, number: int) -> Places:
        if len(places) > number:  # to put in order those alone that can be among the first
            high = scores >= np.partition(scores, -number)[-number]
            places, scores = places[high], scores[high]
        listed = places[np.lexsort((-self._clicks[places], -scores))][:number]
        if len(listed) < number:
            others = self._by_popularity[: number + len(places)]
            listed = np.concatenate([listed, others[~np.isin(others, places)]])[:number]
        first: Places = listed.astype(np.int32)
        return first
