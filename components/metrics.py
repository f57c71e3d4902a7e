"""Ranking metrics from ranks: numpy alone, shared by Evaluator, the baselines and the report.

A prediction has one relevant item, the next click. Its rank is 1 + the number of other candidates whose score is
greater than or equal to its own (conservative ties). With r the rank of a prediction's next item:

    recall@K  mean of [r <= K]                      (hit rate: there is one relevant item)
    mrr@K     mean of [r <= K] / r
    ndcg@K    mean of [r <= K] / log2(r + 1)        (the ideal gain is 1)
    map@K     equal to mrr@K, under the name that users look for

The suffix "/known" stands for the mean over the predictions whose next item is in the vocabulary; without it an
unknown next item is a miss. Of no predictions at all every metric is 0, so that an empty evaluation passes no gate.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from nextclick.components import contract

Integers = npt.NDArray[np.int64]

MAX_CUTOFF = max(contract.CUTOFFS)
# Places of a count: rank 1 .. MAX_CUTOFF at 0 .. MAX_CUTOFF - 1, then the ranks beyond, then the unknown targets.
BEYOND = MAX_CUTOFF
UNKNOWN = MAX_CUTOFF + 1
PLACES = MAX_CUTOFF + 2

_RANKS = np.arange(1, MAX_CUTOFF + 1)
_GAINS = {
    "recall": np.ones(MAX_CUTOFF),
    "mrr": 1.0 / _RANKS,
    "ndcg": 1.0 / np.log2(_RANKS + 1.0),
    "map": 1.0 / _RANKS,
}


@dataclasses.dataclass(frozen=True)
class RankCounts:
    """How many predictions had their next item at which rank: all that the rank metrics need.

    The counts are whole numbers, so that `+` over batches of any size gives exactly what one pass gives.

    Attributes:
        counts: int64 [..., PLACES]; the leading axes, if any, are groups of predictions.
    """

    counts: Integers

    @classmethod
    def none(cls, *groups: int) -> RankCounts:
        """Counts of no predictions, for so many groups."""
        return cls(np.zeros((*groups, PLACES), np.int64))

    @classmethod
    def of(cls, ranks: Any) -> RankCounts:
        """Counts of one group: integer ranks of any shape, NO_PREDICTION where there is none."""
        return cls(_count(ranks, np.zeros_like(ranks), 1)[0])

    @classmethod
    def by_group(cls, ranks: Any, groups: Any, number: int) -> RankCounts:
        """Counts [number, PLACES] of predictions that each belong to one of `number` groups.

        Args:
            ranks: integers of any shape; NO_PREDICTION is not counted.
            groups: integers of the same shape, from 0 to number - 1.
            number: of groups.

        Raises:
            ValueError: a rank is negative.
        """
        return cls(_count(ranks, groups, number))

    def __add__(self, other: RankCounts) -> RankCounts:
        return RankCounts(self.counts + other.counts)

    def __getitem__(self, group: Any) -> RankCounts:
        """The counts of one group (or of several, with a slice)."""
        return RankCounts(self.counts[group])

    @property
    def predictions(self) -> int:
        """Number of predictions, of all groups."""
        return int(self.counts.sum())

    @property
    def known(self) -> int:
        """Number of predictions whose next item is in the vocabulary, of all groups."""
        return int(self.counts[..., :UNKNOWN].sum())

    def value(self, name: str) -> float:
        """One metric of one group, by its name: "mrr@20", "recall@5/known"."""
        return float(self.values(name))

    def values(self, name: str) -> npt.NDArray[np.float64]:
        """One metric of every group, float64 [...]."""
        stem, _, suffix = name.partition("/")
        kind, _, cutoff = stem.partition("@")
        counted = self.counts[..., :UNKNOWN] if suffix == "known" else self.counts
        gains = self.counts[..., : int(cutoff)] @ _GAINS[kind][: int(cutoff)]
        return np.asarray(gains / np.maximum(counted.sum(axis=-1), 1))

    def metrics(self) -> dict[str, float]:
        """Every metric of one group."""
        return {name: self.value(name) for name in RANK_METRICS}


def _rank_metric_names() -> tuple[str, ...]:
    names = [f"{kind}@{cutoff}" for kind in _GAINS for cutoff in contract.CUTOFFS]
    return tuple(names + [f"{name}/known" for name in names])


RANK_METRICS = _rank_metric_names()


def _count(ranks: Any, groups: Any, number: int) -> Integers:
    flat = np.asarray(ranks, np.int64).ravel()
    if flat.size and flat.min() < 0:
        raise ValueError(f"ranks are whole numbers from 1, {contract.NO_PREDICTION} for none: received {flat.min()}")
    places = np.where(flat == contract.UNKNOWN_TARGET_RANK, UNKNOWN, np.minimum(flat - 1, BEYOND))
    cells = np.asarray(groups, np.int64).ravel() * PLACES + places
    counted = np.bincount(cells[flat != contract.NO_PREDICTION], minlength=number * PLACES)
    return counted.reshape(number, PLACES).astype(np.int64)


@dataclasses.dataclass(frozen=True)
class ItemCounts:
    """How often items occur: only those that do, since there are few beside a large catalogue. `+` merges.

    Attributes:
        indices: int64 [any], ascending.
        times: int64 [any], how often each occurs.
    """

    indices: Integers
    times: Integers

    def __add__(self, other: ItemCounts) -> ItemCounts:
        indices, place = np.unique(np.concatenate([self.indices, other.indices]), return_inverse=True)
        times = np.zeros(len(indices), np.int64)
        np.add.at(times, place, np.concatenate([self.times, other.times]))
        return ItemCounts(indices, times)


def count_items(item_indices: Any) -> ItemCounts:
    """How often each item index occurs, padding included."""
    return ItemCounts(*np.unique(np.asarray(item_indices, np.int64), return_counts=True))


@dataclasses.dataclass(frozen=True)
class Catalogue:
    """The items that may be recommended, and how often each was clicked in the training split.

    Attributes:
        first_index: index of the first item; smaller indices are padding and out-of-vocabulary items.
        clicks: int64 [items], the most clicked first, as the vocabulary orders them.
    """

    first_index: int
    clicks: Integers

    @property
    def size(self) -> int:
        """Number of items."""
        return len(self.clicks)


def list_metrics(catalogue: Catalogue, recommended: ItemCounts, lists: int, targets: ItemCounts) -> dict[str, float]:
    """Metrics of the recommended lists, whoever clicks on them.

        coverage@20         share of the catalogue that is recommended at least once
        novelty@20          mean of -log2 of a recommended item's share of the training clicks, in bits
        popularity_lift@20  mean training clicks of a recommended item / the same of a next item; 1: as popular as
                            what people click (Abdollahpouri et al. 2019, "The Unfairness of Popularity Bias")
        invalid@20          share of the lists' places that hold no item of the catalogue; anything but 0 is a fault

    Args:
        catalogue: the items.
        recommended: how often each index stands in a list.
        lists: number of lists, each of min(TOP_IDS, catalogue size) places.
        targets: how often each index is the next item.
    """
    shown, clicked = _in_catalogue(catalogue, recommended), _in_catalogue(catalogue, targets)
    places = lists * min(contract.TOP_IDS, catalogue.size)
    share = np.maximum(catalogue.clicks, 1) / max(int(catalogue.clicks.sum()), 1)
    return {
        "coverage@20": _ratio(np.count_nonzero(shown), catalogue.size),
        "novelty@20": _mean(-np.log2(share), shown),
        "popularity_lift@20": _ratio(_mean(catalogue.clicks, shown), _mean(catalogue.clicks, clicked)),
        "invalid@20": _ratio(places - int(shown.sum()), places),
    }


LIST_METRICS = ("coverage@20", "novelty@20", "popularity_lift@20", "invalid@20")


def out_of_proportion(
    catalogue: Catalogue, recommended: ItemCounts, targets: ItemCounts, number: int
) -> dict[str, list[tuple[int, int, int]]]:
    """The items that are recommended most beyond, and most below, their share of the next clicks.

    Args: as of `list_metrics`; and how many items of either kind are wanted at most.

    Returns: under "over" and "under", (place in the catalogue, times recommended, times clicked) of each, the most
        extreme first.
    """
    shown, clicked = _in_catalogue(catalogue, recommended), _in_catalogue(catalogue, targets)
    surplus = shown / max(int(shown.sum()), 1) - clicked / max(int(clicked.sum()), 1)
    order = np.argsort(-surplus, kind="stable")
    over = [place for place in order[:number].tolist() if surplus[place] > 0]
    under = [place for place in order[::-1][:number].tolist() if surplus[place] < 0]
    return {
        side: [(place, int(shown[place]), int(clicked[place])) for place in places]
        for side, places in (("over", over), ("under", under))
    }


def _in_catalogue(catalogue: Catalogue, counts: ItemCounts) -> Integers:
    """The counts of the catalogue's items alone, int64 [items]."""
    places = counts.indices - catalogue.first_index
    inside = (places >= 0) & (places < catalogue.size)
    items = np.zeros(catalogue.size, np.int64)
    items[places[inside]] = counts.times[inside]
    return items


def _mean(values: npt.NDArray[Any], weights: Integers) -> float:
    return _ratio(float(values @ weights), int(weights.sum()))


def _ratio(part: float, whole: float) -> float:
    return float(part) / float(whole) if whole else 0.0
