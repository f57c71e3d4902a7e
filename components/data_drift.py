"""How far the test data is from the training data: of what is trained on the past, the first thing to look at.

The newest span of a log is compared with those before by the same figures (span_drift.py).

Two comparators, since neither sees everything (TFDV's L-infinity is 0 on numbers, whatever they do):

    divergence          Jensen-Shannon, on whole distributions over ordered bins: session lengths, popularity
    greatest_change     L-infinity, on categories: the event type, the frequent item whose share moved most
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from nextclick.components import contract
from nextclick.components.prediction_slices import Codes
from nextclick.components.ranking import UNKNOWN_PLACE, Sessions

Integers = npt.NDArray[np.int64]

UNKNOWN_INPUTS = "unknown_inputs"
UNKNOWN_TARGETS = "unknown_targets"
LENGTH_DRIFT = "drift/session_length"
POPULARITY_DRIFT = "drift/popularity"
EVENT_TYPE_DRIFT = "drift/event_type"
ITEM_DRIFT = "drift/items"
DRIFTS = (LENGTH_DRIFT, POPULARITY_DRIFT, EVENT_TYPE_DRIFT, ITEM_DRIFT)
# Those of spans, in the order of DRIFTS.
SPAN_DRIFTS = tuple(f"span_{name}" for name in DRIFTS)
FIGURES = (UNKNOWN_INPUTS, UNKNOWN_TARGETS, *DRIFTS, *SPAN_DRIFTS)

_LENGTHS = tuple(contract.session_length_bucket(low) for low, _ in contract.SESSION_LENGTH_BUCKETS)
_POPULARITIES = ("head", "middle", "tail", "unknown")
# Items and event types that stand for themselves; the tail changes every day by nature.
_FREQUENT_ITEMS, _FREQUENT_TYPES = 20, 10


@dataclasses.dataclass(frozen=True)
class Drift:
    """A comparison: figures by name, and the tables behind them (`tables`)."""

    figures: Mapping[str, float] = dataclasses.field(default_factory=dict)
    tables: tuple[Mapping[str, Any], ...] = ()


class Distributions(Protocol):
    """What is compared, as counts."""

    @property
    def lengths(self) -> Integers:
        """Sessions of each bucket of contract.SESSION_LENGTH_BUCKETS."""

    @property
    def popularity(self) -> Integers:
        """Clicks on head, middle, tail and unknown items."""

    @property
    def items(self) -> Integers:
        """Clicks of each known item, then those of unknown ones."""

    @property
    def event_types(self) -> collections.Counter[bytes]:
        """Clicks of each type."""


class DataCounts:
    """Sessions by length; clicks by item, by the popularity of their item and by event type."""

    def __init__(self, thirds: Codes) -> None:
        """Args: of each item, the third of the training clicks that it belongs to (prediction_slices)."""
        self._thirds = thirds
        self._lengths: collections.Counter[str] = collections.Counter()
        self.popularity = np.zeros(len(_POPULARITIES), np.int64)
        self.items = np.zeros(len(thirds) + 1, np.int64)  # the last is of unknown items
        self.event_types: collections.Counter[bytes] = collections.Counter()
        self.predictions = self.unknown_inputs = self.unknown_targets = 0

    def add(self, sessions: Sessions, event_types: Iterable[bytes] = ()) -> None:
        """Counts some sessions, and the types of their events."""
        self.event_types.update(event_types)
        places = np.where(sessions.items == UNKNOWN_PLACE, len(self._thirds), sessions.items)
        self.items += np.bincount(places, minlength=len(self.items))
        self.popularity += np.bincount(np.append(self._thirds, 3)[sessions.items], minlength=len(_POPULARITIES))
        for session in sessions:
            self._lengths[contract.session_length_bucket(len(session))] += 1
            unknown = session == UNKNOWN_PLACE
            self.unknown_inputs += int(unknown[:-1].sum())
            self.unknown_targets += int(unknown[1:].sum())
            self.predictions += max(len(session) - 1, 0)

    @property
    def lengths(self) -> Integers:
        """Sessions of each bucket of contract.SESSION_LENGTH_BUCKETS."""
        return np.array([self._lengths[bucket] for bucket in _LENGTHS])


def figures(training: DataCounts, test: DataCounts) -> dict[str, float]:
    """Figures about the test data by name.

    unknown_inputs, unknown_targets   share of the items before a prediction, and of those predicted, that are unknown
    drift/session_length              divergence of the sessions' lengths from the training sessions'
    drift/popularity                  the same of clicks on head, middle, tail and unknown items
    drift/event_type                  greatest change of an event type's share
    drift/items                       the same of a frequent item's, of all other items' or of the unknown ones'
    """
    return {
        UNKNOWN_INPUTS: test.unknown_inputs / max(test.predictions, 1),
        UNKNOWN_TARGETS: test.unknown_targets / max(test.predictions, 1),
        **drifts(training, test),
    }


def drifts(before: Distributions, after: Distributions, names: Sequence[str] = DRIFTS) -> dict[str, float]:
    """The four drifts of `figures` under the given names."""
    found = (
        divergence(before.lengths, after.lengths),
        divergence(before.popularity, after.popularity),
        greatest_change(*_event_types(before, after)[1:]),
        greatest_change(*_frequent_items(before, after)[1:]),
    )
    return dict(zip(names, found, strict=True))


def tables(before: Distributions, after: Distributions, names: Sequence[str] = DRIFTS) -> tuple[dict[str, Any], ...]:
    """What lies behind the drifts: {"feature", "figure", "bins", "train": [share], "test": [share]} each.

    "train" is of the earlier data, "test" of the later.
    """
    lengths, popularity, event_type, items = names
    return (
        _table("session length", lengths, _LENGTHS, before.lengths, after.lengths),
        _table("popularity of the item", popularity, _POPULARITIES, before.popularity, after.popularity),
        _table("event type", event_type, *_event_types(before, after)),
        _table("frequent item, most clicked first", items, *_frequent_items(before, after)),
    )


def _event_types(training: Distributions, test: Distributions) -> tuple[list[str], Integers, Integers]:
    """The types that are frequent in either split, the rest together; the clicks of each in both splits."""
    both = training.event_types + test.event_types
    ordered = sorted(both, key=lambda name: (-training.event_types[name], -both[name], name))
    frequent, rest = ordered[:_FREQUENT_TYPES], ordered[_FREQUENT_TYPES:]
    counts = [
        np.array([split.event_types[name] for name in frequent] + [sum(split.event_types[name] for name in rest)])
        for split in (training, test)
    ]
    return [*(name.decode(errors="replace") for name in frequent), "other"], counts[0], counts[1]


def _frequent_items(training: Distributions, test: Distributions) -> tuple[list[str], Integers, Integers]:
    """The items clicked most in training by their place, all others together, unknown ones; the clicks of each."""
    order = np.argsort(-training.items[:-1], kind="stable")
    frequent, rest = order[:_FREQUENT_ITEMS], order[_FREQUENT_ITEMS:]
    counts = [
        np.append(split.items[frequent], [split.items[rest].sum(), split.items[-1]]) for split in (training, test)
    ]
    return [*(str(place + 1) for place in range(len(frequent))), "other", "unknown"], counts[0], counts[1]


def _table(feature: str, figure: str, bins: Sequence[str], training: Integers, test: Integers) -> dict[str, Any]:
    shares = {
        name: (counts / max(int(counts.sum()), 1)).tolist() for name, counts in (("train", training), ("test", test))
    }
    return {"feature": feature, "figure": figure, "bins": list(bins), **shares}


def divergence(one: Integers, other: Integers) -> float:
    """Jensen-Shannon divergence of two counts over the same categories, from 0 (alike) to 1 (nothing in common)."""
    if not one.sum() or not other.sum():
        return 0.0
    first, second = one / one.sum(), other / other.sum()
    middle = (first + second) / 2
    return float(sum(_relative_entropy(share, middle) for share in (first, second)) / 2)


def greatest_change(one: Integers, other: Integers) -> float:
    """L-infinity distance of two counts over the same categories: how far the share that moved most moved, 0 to 1."""
    if not one.sum() or not other.sum():
        return 0.0
    return float(np.abs(one / one.sum() - other / other.sum()).max())


def _relative_entropy(share: npt.NDArray[np.float64], reference: npt.NDArray[np.float64]) -> float:
    """In bits; where a share is 0 it adds nothing."""
    there = share > 0
    return float((share[there] * np.log2(share[there] / reference[there])).sum())
