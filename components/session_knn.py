"""Session kNN: the items of the training sessions that are most like the session so far.

    1. An item of the prefix weighs idf / (steps back), its latest click counting; idf = log(sessions / sessions that
       hold it).
    2. The `recent` newest training sessions that hold such an item are looked at; a session's similarity is the sum
       of the weights of the items that it shares / the square root of its number of distinct items.
    3. The `neighbours` most similar sessions, newer ones first among equals, vote for each of their items with
       similarity · (1 - steps back of the latest shared item / 10) · idf of the item voted for.

Kersbergen, Sprangers & Schelter 2022, "Serenade" (VMIS-kNN), after Ludewig & Jannach 2018 (V-SkNN). Theirs is
`SERENADE`: weights that fall linearly, neither idf nor square root in the similarity. Which of the two, and how many
sessions and neighbours, was chosen on validation splits (docs/baselines.md). The index holds, for each item, its
newest sessions only, so that a question takes well under a millisecond at any log size.

The latest click itself gets the most votes by far. Where the training sessions hardly ever repeat a click at once,
it is left out, as Serenade does; elsewhere it stays, since it is then the best guess there is.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from nextclick.components.ranking import NO_CANDIDATES, Places, Scores, Sessions, ranges, summed

MATCH_STEPS = 10
_RARE_REPEATS = 0.02


@dataclasses.dataclass(frozen=True)
class Settings:
    """How far the search goes, and what makes sessions alike.

    Attributes:
        recent: newest sessions with an item of the prefix that are looked at ("m").
        neighbours: most similar sessions that vote ("k").
        lookback: newest clicks of the prefix that are looked at, at most 9.
        harmonic: the n-th newest click weighs 1 / n; otherwise less by one step for each step back.
        by_rarity: an item's weight in the similarity is times its idf.
        by_length: a similarity is divided by the square root of the session's number of distinct items.
    """

    recent: int = 500
    neighbours: int = 300
    lookback: int = MATCH_STEPS - 1
    harmonic: bool = True
    by_rarity: bool = True
    by_length: bool = True


# The published VMIS-kNN with its published m and k; its figures come from a look-back of 2, the program's default
# (docs/baselines.md).
SERENADE = Settings(recent=1502, neighbours=288, lookback=2, harmonic=False, by_rarity=False, by_length=False)


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
        weights = self._weights(shared, steps_back, min(len(prefix), self.settings.lookback))
        sessions, similarities, latest = self._neighbours(shared, steps_back, weights)
        if not len(sessions):
            return NO_CANDIDATES
        votes = similarities * (1.0 - latest / MATCH_STEPS)
        first, last = self.item_offsets[sessions], self.item_offsets[sessions + 1]
        places, scores = summed(self.items[ranges(first, last)], np.repeat(votes, last - first))
        scores *= self.idf[places]
        kept = scores > 0
        if not self.keep_latest:
            kept &= places != prefix[-1]
        return places[kept], scores[kept]

    def _newest_items(self, prefix: Places) -> tuple[Places, npt.NDArray[np.int64]]:
        """Distinct known items of the prefix, latest first, and their steps back from 1."""
        newest_first = prefix[: -self.settings.lookback - 1 : -1]
        items, steps = np.unique(newest_first, return_index=True)
        order = np.argsort(steps)
        known = items[order] >= 0
        return items[order][known], steps[order][known] + 1

    def _weights(self, shared: Places, steps_back: npt.NDArray[np.int64], clicks: int) -> Scores:
        """What each item of a prefix of so many clicks adds to the similarity of a session that holds it."""
        weights = 1.0 / steps_back if self.settings.harmonic else clicks + 1.0 - steps_back
        return weights * self.idf[shared] if self.settings.by_rarity else weights

    def _neighbours(
        self, shared: Places, steps_back: npt.NDArray[np.int64], weights: Scores
    ) -> tuple[npt.NDArray[np.int32], Scores, npt.NDArray[np.int64]]:
        """The most similar sessions, their similarities, and the steps back of the latest item they share."""
        first, last = self.holder_offsets[shared], self.holder_offsets[shared + 1]
        found, steps = self.holders[ranges(first, last)], np.repeat(steps_back, last - first)
        sessions, nearest, where = np.unique(found, return_index=True, return_inverse=True)
        similarities = np.bincount(where, weights=np.repeat(weights, last - first), minlength=len(sessions))
        newest = slice(max(0, len(sessions) - self.settings.recent), None)
        sessions, nearest, similarities = sessions[newest], nearest[newest], similarities[newest]
        if self.settings.by_length:
            similarities = similarities / np.sqrt(self.item_offsets[sessions + 1] - self.item_offsets[sessions])
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
