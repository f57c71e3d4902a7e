"""Session kNN: the items of the training sessions that are most like the session so far.

    1. An item of the prefix weighs idf / (steps back), its latest click counting; idf = log(sessions / sessions that
       hold it).
    2. Of each such item the `recent` newest training sessions that hold it are looked at; a session's similarity is
       the sum of the weights of the items that it shares / the square root of its number of distinct items.
    3. The `neighbours` most similar sessions, newer ones first among equals, vote for each of their items with
       similarity · (1 - steps back of the latest shared item / 10) · idf of the item voted for.

Kersbergen, Sprangers & Schelter 2022, "Serenade" (VMIS-kNN), after Ludewig & Jannach 2018 (V-SkNN); the
idf and the square root in the similarity are ours, since they make a stronger baseline. The index holds, for each
item, its newest sessions only, so that a question takes well under a millisecond at any log size.

The latest click itself gets the most votes by far. Where the training sessions hardly ever repeat a click at once,
it is left out, as Serenade does; elsewhere it stays, since it is then the best guess there is.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from nextclick.components.ranking import NO_CANDIDATES, Places, Scores, Sessions, ranges, summed

_MATCH_STEPS = 10
_RARE_REPEATS = 0.02


@dataclasses.dataclass(frozen=True)
class Settings:
    """How far the search goes.

    Attributes:
        recent: newest sessions of an item that are looked at ("m").
        neighbours: most similar sessions that vote ("k").
        lookback: newest distinct items of the prefix that are looked at.
    """

    recent: int = 1000
    neighbours: int = 200
    lookback: int = 10


@dataclasses.dataclass(frozen=True)
class SessionKnn:
    """A scorer; sessions are numbered by age, the newest has the greatest number.

    Attributes:
        holder_offsets: int64 [items + 1]; item i is held by the sessions of holders from holder_offsets[i] on.
        holders: int32 [entries], at most `recent` sessions an item.
        item_offsets: int64 [sessions + 1]; session s holds the items of items from item_offsets[s] on.
        items: int32 [entries], each item of a session once.
        idf: float64 [items].
        keep_latest: whether the latest click is a candidate.
        settings: how far the search goes.
    """

    holder_offsets: npt.NDArray[np.int64]
    holders: npt.NDArray[np.int32]
    item_offsets: npt.NDArray[np.int64]
    items: Places
    idf: npt.NDArray[np.float64]
    keep_latest: bool
    settings: Settings

    def candidates(self, prefix: Places) -> tuple[Places, Scores]:
        """See ranking.Scorer."""
        shared, steps_back = self._newest_items(prefix)
        sessions, similarities, latest = self._neighbours(shared, steps_back)
        if not len(sessions):
            return NO_CANDIDATES
        votes = similarities * (1.0 - latest / _MATCH_STEPS)
        first, last = self.item_offsets[sessions], self.item_offsets[sessions + 1]
        places, scores = summed(self.items[ranges(first, last)], np.repeat(votes, last - first))
        scores *= self.idf[places]
        kept = scores > 0
        if not self.keep_latest:
            kept &= places != prefix[-1]
        return places[kept], scores[kept]

    def _newest_items(self, prefix: Places) -> tuple[Places, npt.NDArray[np.int64]]:
        """Distinct known items of the prefix, latest first, and their steps back from 1, below _MATCH_STEPS."""
        newest_first = prefix[:-_MATCH_STEPS:-1]
        items, steps = np.unique(newest_first, return_index=True)
        order = np.argsort(steps)[: self.settings.lookback]
        known = items[order] >= 0
        return items[order][known], steps[order][known] + 1

    def _neighbours(
        self, shared: Places, steps_back: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int32], Scores, npt.NDArray[np.int64]]:
        """The most similar sessions, their similarities, and the steps back of the latest item they share."""
        first, last = self.holder_offsets[shared], self.holder_offsets[shared + 1]
        found, steps = self.holders[ranges(first, last)], np.repeat(steps_back, last - first)
        weights = np.repeat(self.idf[shared] / steps_back, last - first)
        sessions, nearest, where = np.unique(found, return_index=True, return_inverse=True)
        lengths = self.item_offsets[sessions + 1] - self.item_offsets[sessions]
        similarities = np.bincount(where, weights=weights, minlength=len(sessions)) / np.sqrt(lengths)
        best = np.lexsort((sessions, similarities))[-self.settings.neighbours :]
        return sessions[best], similarities[best], steps[nearest[best]]


def fit(sessions: Sessions, items: int, settings: Settings | None = None) -> SessionKnn:
    """Indexes the training sessions, of a catalogue of so many items."""
    settings = settings or Settings()
    age = np.empty(len(sessions), np.int64)
    age[np.argsort(sessions.times_ms, kind="stable")] = np.arange(len(sessions))
    session = np.repeat(age, np.diff(sessions.offsets))
    known = sessions.items >= 0
    pairs = np.unique(session[known] * items + sessions.items[known])  # each item of a session once
    holder, held = pairs // max(items, 1), pairs % max(items, 1)
    by_item = np.lexsort((holder, held))
    holder_offsets = np.searchsorted(held[by_item], np.arange(items + 1))
    frequency = np.diff(holder_offsets)
    newest = _last_of_each(frequency, settings.recent)
    return SessionKnn(
        holder_offsets=np.concatenate([[0], np.cumsum(np.minimum(frequency, settings.recent))]),
        holders=holder[by_item][newest].astype(np.int32),
        item_offsets=np.searchsorted(holder, np.arange(len(sessions) + 1)),
        items=held.astype(np.int32),
        idf=np.log(len(sessions) / np.maximum(frequency, 1)),
        keep_latest=sessions.repeat_share() >= _RARE_REPEATS,
        settings=settings,
    )


def _last_of_each(lengths: npt.NDArray[np.int64], number: int) -> npt.NDArray[np.bool_]:
    """Of consecutive groups of such lengths, which entries are among the last `number` of their group."""
    ends = np.repeat(np.cumsum(lengths), lengths)
    last: npt.NDArray[np.bool_] = np.arange(len(ends)) >= ends - number
    return last
