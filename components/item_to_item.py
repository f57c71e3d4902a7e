"""Item to item: what people click within a few steps after an item, the nearer the more (sequential rules).

With i clicked, then j, d steps later in the same session, d <= 10, w(i, j) grows by 1 / d². After a prefix p1 … pn

    score(j) = sum over k of 0.5^(n - k) · w(pk, j) / sqrt(sum over all l of w(pk, l)),

so that the latest click counts most, and an item that everything follows does not drown the others.
Rules: Ludewig & Jannach 2018, "Evaluation of session-based recommendation algorithms" (SR).
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from nextclick.components.ranking import Places, Scores, Sessions, ranges, summed

_STEPS = 10
DECAY = 0.5
LOOKBACK = 10  # older clicks count for less than a thousandth


@dataclasses.dataclass(frozen=True)
class ItemToItem:
    """A scorer; row i of the sparse matrix holds what follows item i.

    Attributes:
        offsets: int64 [items + 1]; row i lies from offsets[i] to before offsets[i + 1].
        followers: int32 [entries], the following items, ascending within a row.
        weights: float64 [entries], w / sqrt(row sum).
    """

    offsets: npt.NDArray[np.int64]
    followers: Places
    weights: Scores

    def candidates(self, prefix: Places) -> tuple[Places, Scores]:
        """See ranking.Scorer."""
        newest_first = prefix[: -LOOKBACK - 1 : -1]
        weights = DECAY ** np.arange(len(newest_first))
        known = newest_first >= 0
        first, last = self.offsets[newest_first[known]], self.offsets[newest_first[known] + 1]
        entries = ranges(first, last)
        return summed(self.followers[entries], self.weights[entries] * np.repeat(weights[known], last - first))


def fit(sessions: Sessions, items: int) -> ItemToItem:
    """Counts what follows what in the training sessions, of a catalogue of so many items."""
    pairs, weights = _sum_by_pair(
        [_pairs_at_distance(sessions, items, distance) for distance in range(1, _STEPS + 1)],
        [1.0 / distance**2 for distance in range(1, _STEPS + 1)],
    )
    first = pairs // max(items, 1)
    totals = np.bincount(first, weights=weights, minlength=items)
    return ItemToItem(
        offsets=np.searchsorted(first, np.arange(items + 1)),
        followers=(pairs % max(items, 1)).astype(np.int32),
        weights=weights / np.sqrt(totals[first]),
    )


def _pairs_at_distance(sessions: Sessions, items: int, distance: int) -> npt.NDArray[np.int64]:
    """One number first · items + second for each two clicks of a session that are so many steps apart, sorted."""
    session = np.repeat(np.arange(len(sessions)), np.diff(sessions.offsets))
    before, after = sessions.items[:-distance].astype(np.int64), sessions.items[distance:]
    counted = (session[:-distance] == session[distance:]) & (before >= 0) & (after >= 0)
    return np.sort(before[counted] * items + after[counted])


def _sum_by_pair(groups: list[npt.NDArray[np.int64]], weights: list[float]) -> tuple[npt.NDArray[np.int64], Scores]:
    """The distinct pairs of all groups, ascending, and the sum of the weights of their groups."""
    distinct, sums = [], []
    for group, weight in zip(groups, weights, strict=True):
        pairs, counts = np.unique(group, return_counts=True)
        distinct.append(pairs)
        sums.append(counts * weight)
    pairs, where = np.unique(np.concatenate(distinct), return_inverse=True)
    return pairs, np.bincount(where, weights=np.concatenate(sums), minlength=len(pairs))
