"""Kinds of predictions whose metrics are looked at apart.

| dimension    | label                          | the predictions                                                  |
|--------------|--------------------------------|------------------------------------------------------------------|
| `position`   | `1` … `10+`                    | after so many clicks                                             |
| `popularity` | `head` `middle` `tail`         | of an item among those with the first, second, last third of the |
|              | `unknown`                      | training clicks; of an item outside the vocabulary               |
| `next_item`  | `repeat` `new`                 | of an item that the session holds already; of another            |
| `prefix`     | `known items` `unknown items`  | after clicks on known items alone; after others, too             |
| `event_type` | as in the log                  | of an event of that type                                         |

A label has a code, its place among the labels of its dimension; NO_SLICE stands for none.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from nextclick.components.columns import column
from nextclick.components.ranking import UNKNOWN_PLACE, Places

Codes = npt.NDArray[np.int64]

NO_SLICE = -1
MAX_EVENT_TYPES = 8  # the most frequent ones of the training split
POSITION, POPULARITY, NEXT_ITEM, PREFIX, EVENT_TYPE = "position", "popularity", "next_item", "prefix", "event_type"
_POSITION_BOUNDS = np.array([1, 2, 3, 4, 6, 10])
_UNKNOWN = 3


@dataclasses.dataclass(frozen=True)
class Dimension:
    """One way to tell predictions apart."""

    name: str
    labels: tuple[str, ...]


def dimensions(event_types: Sequence[str]) -> tuple[Dimension, ...]:
    """All dimensions, for a log with these event types."""
    return (
        Dimension(POSITION, ("1", "2", "3", "4-5", "6-9", "10+")),
        Dimension(POPULARITY, ("head", "middle", "tail", "unknown")),
        Dimension(NEXT_ITEM, ("repeat", "new")),
        Dimension(PREFIX, ("known items", "unknown items")),
        Dimension(EVENT_TYPE, tuple(event_types)),
    )


def position_codes(predictions: npt.NDArray[np.int64]) -> Codes:
    """Codes of the predictions of sessions with so many each, session after session."""
    after = np.arange(predictions.sum()) - np.repeat(np.cumsum(predictions) - predictions, predictions) + 1
    return np.searchsorted(_POSITION_BOUNDS, after, side="right").astype(np.int64) - 1


def popularity_thirds(clicks: npt.NDArray[np.int64]) -> Codes:
    """Code of each item, int64 [items]: the most clicked items that have a third of all clicks are the head, and so on.

    Args:
        clicks: int64 [items], in any order.
    """
    order = np.argsort(-clicks, kind="stable")
    before = np.cumsum(clicks[order]) - clicks[order]  # clicks on more popular items
    thirds = np.empty(len(clicks), np.int64)
    thirds[order] = np.minimum(3 * before // max(int(clicks.sum()), 1), 2)
    return thirds


def session_codes(session: Places, thirds: Codes, types: Codes) -> dict[str, Codes]:
    """Codes int64 [n - 1] of the predictions of a session of n items, by dimension, but for the position.

    Args:
        session: int32 [n], places in the catalogue.
        thirds: of `popularity_thirds`.
        types: int64 [n], code of each event's type; empty where the events are not those of the session.
    """
    targets, known = session[1:], session != UNKNOWN_PLACE
    first_seen = np.unique(session, return_index=True, return_inverse=True)
    seen = first_seen[1][first_seen[2]][1:] < np.arange(1, len(session))  # [n - 1] is the target in its prefix
    popularity = np.append(thirds, _UNKNOWN)[targets]  # UNKNOWN_PLACE is the last one
    return {
        POPULARITY: popularity.astype(np.int64),
        NEXT_ITEM: np.where(known[1:], np.where(seen, 0, 1), NO_SLICE).astype(np.int64),
        PREFIX: np.where(np.logical_and.accumulate(known)[:-1], 0, 1).astype(np.int64),
        EVENT_TYPE: types[1:] if len(types) == len(session) else np.full(len(targets), NO_SLICE, np.int64),
    }


def feature(dimension: str) -> str:
    """Name of the test split's feature that holds a dimension's codes."""
    return f"slice_{dimension}"


def read_codes(batch: pa.RecordBatch, predictions: npt.NDArray[np.int64]) -> dict[str, Codes]:
    """The codes of the predictions of a batch of sessions with so many each, from its features and the positions.

    Of a session with another number of codes than predictions nothing is known.
    """
    found = {POSITION: position_codes(predictions)}
    for dimension in (POPULARITY, NEXT_ITEM, PREFIX, EVENT_TYPE):
        values, lengths = column(batch, feature(dimension))
        fits = lengths == predictions
        codes = np.full(predictions.sum(), NO_SLICE, np.int64)
        codes[np.repeat(fits, predictions)] = values[np.repeat(fits, lengths)]
        found[dimension] = codes
    return found
