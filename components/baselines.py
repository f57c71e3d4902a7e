"""The simple recommenders that a model must beat, and where they are registered.

Each is fitted on the training split and scored on the same predictions, by the same metric functions, as the model.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np

from nextclick.components import item_to_item, session_knn
from nextclick.components.ranking import NO_CANDIDATES, Places, Scorer, Scores, Sessions

_DAY_MS = 24 * 60 * 60 * 1000

Fit = Callable[[Sessions, int], Scorer]


class Popular:
    """The most clicked items, whatever the session: no item has a reason of its own."""

    def candidates(self, prefix: Places) -> tuple[Places, Scores]:
        """No candidates: popularity decides."""
        return NO_CANDIDATES


@dataclasses.dataclass(frozen=True)
class PopularRecently:
    """The most clicked items of the newest day of training: what is in fashion, and what has only just come.

    Attributes:
        places: int32 [c], the items clicked on that day.
        clicks: int64 [c], how often.
    """

    places: Places
    clicks: Scores

    def candidates(self, prefix: Places) -> tuple[Places, Scores]:
        """The same ones whatever the prefix."""
        return self.places, self.clicks


class LastViewed:
    """The items of the session itself, the most recent first: people come back to what they saw."""

    def candidates(self, prefix: Places) -> tuple[Places, Scores]:
        """The distinct items of the prefix, scored by where they were clicked last."""
        newest_first = prefix[::-1]
        places, steps_back = np.unique(newest_first[newest_first >= 0], return_index=True)
        return places, -steps_back


def fit_popular(sessions: Sessions, items: int) -> Scorer:
    """The popularity baseline; the clicks are counted by the caller, for every baseline alike."""
    return Popular()


def fit_popular_recently(sessions: Sessions, items: int) -> Scorer:
    """Counts the clicks of the sessions that ended on the newest day, at most a seventh of the log's range."""
    if not len(sessions):
        return Popular()
    newest, oldest = sessions.times_ms.max(), sessions.times_ms.min()
    recent = sessions.times_ms >= newest - min(_DAY_MS, (newest - oldest) / 7)
    places = sessions.items[np.repeat(recent, np.diff(sessions.offsets))]
    clicks = np.bincount(places[places >= 0], minlength=items)
    clicked = np.flatnonzero(clicks)
    return PopularRecently(clicked.astype(np.int32), clicks[clicked])


def fit_last_viewed(sessions: Sessions, items: int) -> Scorer:
    """The last viewed items; there is nothing to learn."""
    return LastViewed()


# Name → fit(sessions, number of items); in the order of the report (contract.BASELINES).
REGISTRY: Mapping[str, Fit] = {
    "popular": fit_popular,
    "popular_recent": fit_popular_recently,
    "last_viewed": fit_last_viewed,
    "item_to_item": item_to_item.fit,
    "session_knn": session_knn.fit,
}
