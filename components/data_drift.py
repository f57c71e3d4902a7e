"""How far the test data is from the training data: of what is trained on the past, the first thing to look at."""

from __future__ import annotations

import collections
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nextclick.components import contract
from nextclick.components.prediction_slices import Codes
from nextclick.components.ranking import UNKNOWN_PLACE, Sessions

UNKNOWN_INPUTS = "unknown_inputs"
UNKNOWN_TARGETS = "unknown_targets"
LENGTH_DRIFT = "drift/session_length"
POPULARITY_DRIFT = "drift/popularity"

_LENGTHS = tuple(contract.session_length_bucket(low) for low, _ in contract.SESSION_LENGTH_BUCKETS)
_POPULARITIES = ("head", "middle", "tail", "unknown")


class DataCounts:
    """Sessions by length, clicks by the popularity of their item."""

    def __init__(self, thirds: Codes) -> None:
        """Args: of each item, the third of the training clicks that it belongs to (prediction_slices)."""
        self._thirds = thirds
        self._lengths: collections.Counter[str] = collections.Counter()
        self.popularity = np.zeros(len(_POPULARITIES), np.int64)
        self.predictions = self.unknown_inputs = self.unknown_targets = 0

    def add(self, sessions: Sessions) -> None:
        """Counts some sessions."""
        self.popularity += np.bincount(np.append(self._thirds, 3)[sessions.items], minlength=len(_POPULARITIES))
        for session in sessions:
            self._lengths[contract.session_length_bucket(len(session))] += 1
            unknown = session == UNKNOWN_PLACE
            self.unknown_inputs += int(unknown[:-1].sum())
            self.unknown_targets += int(unknown[1:].sum())
            self.predictions += max(len(session) - 1, 0)

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Sessions of each bucket of contract.SESSION_LENGTH_BUCKETS."""
        return np.array([self._lengths[bucket] for bucket in _LENGTHS])


def figures(training: DataCounts, test: DataCounts) -> dict[str, float]:
    """Figures about the test data by name.

    unknown_inputs, unknown_targets   share of the items before a prediction, and of those predicted, that are unknown
    drift/session_length              divergence of the sessions' lengths from the training sessions'
    drift/popularity                  the same of clicks on head, middle, tail and unknown items
    """
    return {
        UNKNOWN_INPUTS: test.unknown_inputs / max(test.predictions, 1),
        UNKNOWN_TARGETS: test.unknown_targets / max(test.predictions, 1),
        LENGTH_DRIFT: divergence(training.lengths, test.lengths),
        POPULARITY_DRIFT: divergence(training.popularity, test.popularity),
    }


def tables(training: DataCounts, test: DataCounts) -> tuple[dict[str, Any], ...]:
    """What lies behind the drifts: {"feature", "figure", "bins", "train": [share], "test": [share]} each."""
    return (
        _table("session length", LENGTH_DRIFT, _LENGTHS, training.lengths, test.lengths),
        _table("popularity of the item", POPULARITY_DRIFT, _POPULARITIES, training.popularity, test.popularity),
    )


def _table(
    feature: str, figure: str, bins: Sequence[str], training: npt.NDArray[np.int64], test: npt.NDArray[np.int64]
) -> dict[str, Any]:
    shares = {
        name: (counts / max(int(counts.sum()), 1)).tolist() for name, counts in (("train", training), ("test", test))
    }
    return {"feature": feature, "figure": figure, "bins": list(bins), **shares}


def divergence(one: npt.NDArray[np.int64], other: npt.NDArray[np.int64]) -> float:
    """Jensen-Shannon divergence of two counts over the same categories, from 0 (alike) to 1 (nothing in common)."""
    if not one.sum() or not other.sum():
        return 0.0
    first, second = one / one.sum(), other / other.sum()
    middle = (first + second) / 2
    return float(sum(_relative_entropy(share, middle) for share in (first, second)) / 2)


def _relative_entropy(share: npt.NDArray[np.float64], reference: npt.NDArray[np.float64]) -> float:
    """In bits; where a share is 0 it adds nothing."""
    there = share > 0
    return float((share[there] * np.log2(share[there] / reference[there])).sum())
