"""The baselines (baselines.py) as SavedModels with signatures of the recommender, to be evaluated and served alike.

A baseline gives some items a score in float64, and all others stand behind them by their clicks. What a signature
ranks is float32, in which unequal scores may become equal. So an item's score here is how many different scores
stand below its own: whole numbers, of which float32 holds every one up to 2^24, with the order and the ties of the
ranking rule (ranking.py). The sums themselves are made in float64, in the order in which the baseline makes them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from nextclick.components import contract, ranking, request_encoder
from nextclick.components.baselines import LastViewed, Popular, PopularRecently
from nextclick.components.item_to_item import DECAY, LOOKBACK, ItemToItem
from nextclick.components.knn_graph import SessionKnnGraph, constant, first_occurrence, summed
from nextclick.components.scorer import ItemScorer
from nextclick.components.session_knn import SessionKnn
from nextclick.components.signatures import Signatures
from nextclick.pipeline.config import Config

# The version that a baseline is exported as: the folder above is what TensorFlow Serving calls a base path.
VERSION = "1"
# What evaluation asks, and what every caller does; each more would take every run a second more for all baselines.
SIGNATURES = (contract.SIGNATURE_SERVING, contract.SIGNATURE_ENCODE, contract.SIGNATURE_EVALUATE)

# Rows int64 [n], places int64 [n] and scores float64 [n] of the items that a baseline has a reason for, each item of
# a row once, in any order.
Candidates = tuple[tf.Tensor, tf.Tensor, tf.Tensor]


class BaselineScorer(ItemScorer):
    """A baseline's ranking as scores; there is no session vector, so that it holds a 0.

    Args:
      scorer: the fitted baseline.
      clicks: int64 [items], training clicks of each item.
      first_item: index of the vocabulary's first item.
      lookback: newest items of a session that a prediction looks at.
    """

    def __init__(self, scorer: ranking.Scorer, clicks: npt.NDArray[np.int64], first_item: int, lookback: int) -> None:
        super().__init__()
        self.items, self.first_item, self.lookback = len(clicks), first_item, lookback
        self.width, self.alone = 1, False
        self._graph = _GRAPHS[type(scorer)](scorer, lookback)
        self.steps = min(self._graph.steps, lookback)
        _, by_clicks = np.unique(clicks, return_inverse=True)
        self._popularity = constant(by_clicks.reshape(-1), tf.float32)

    def encode(self, item_indices: tf.Tensor) -> tf.Tensor:
        """See ItemScorer."""
        return tf.zeros([*tf.unstack(tf.shape(item_indices)[:2]), self.width])

    def encode_at(self, item_indices: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
        """See ItemScorer."""
        return tf.zeros([tf.shape(item_indices)[0], self.width])

    def is_known(self, item_indices: tf.Tensor) -> tf.Tensor:
        """Always: a baseline says itself what stands first after unknown items."""
        return tf.ones_like(item_indices, tf.bool)

    def scores(self, session_vectors: tf.Tensor, newest: tf.Tensor) -> tf.Tensor:
        """See ItemScorer."""
        rows = tf.shape(newest, tf.int64)[0]
        row, place, scores = self._graph.candidates(tf.cast(newest, tf.int32) - self.first_item)
        behind = tf.tile(self._popularity[None, :], [rows, 1])
        level = tf.cast(_levels(row, scores, rows) + self.items, tf.float32)
        return tf.ensure_shape(
            tf.tensor_scatter_nd_update(behind, tf.stack([row, place], axis=1), level), [None, self.items]
        )


class _PopularGraph(tf.Module):
    steps = 0

    def __init__(self, scorer: Popular, lookback: int) -> None:
        super().__init__()

    def candidates(self, newest_first: tf.Tensor) -> Candidates:
        none = tf.zeros([0], tf.int64)
        return none, none, tf.zeros([0], tf.float64)


class _PopularRecentlyGraph(tf.Module):
    steps = 0

    def __init__(self, scorer: PopularRecently, lookback: int) -> None:
        super().__init__()
        self._places = constant(scorer.places, tf.int64)
        self._clicks = constant(scorer.clicks, tf.float64)

    def candidates(self, newest_first: tf.Tensor) -> Candidates:
        rows, count = tf.shape(newest_first, tf.int64)[0], tf.size(self._places)
        return tf.repeat(tf.range(rows), count), tf.tile(self._places, [rows]), tf.tile(self._clicks, [rows])


class _LastViewedGraph(tf.Module):
    def __init__(self, scorer: LastViewed, lookback: int) -> None:
        super().__init__()
        self.steps = lookback

    def candidates(self, newest_first: tf.Tensor) -> Candidates:
        at = tf.where((newest_first >= 0) & first_occurrence(newest_first))  # row and step
        return at[:, 0], tf.cast(tf.gather_nd(newest_first, at), tf.int64), -tf.cast(at[:, 1], tf.float64)


class _ItemToItemGraph(tf.Module):
    steps = LOOKBACK

    def __init__(self, scorer: ItemToItem, lookback: int) -> None:
        super().__init__()
        self._offsets = constant(scorer.offsets, tf.int64)
        self._followers = constant(scorer.followers, tf.int64)
        self._weights = constant(scorer.weights, tf.float64)

    def candidates(self, newest_first: tf.Tensor) -> Candidates:
        at = tf.where(newest_first >= 0)  # row and step, row after row
        places = tf.gather_nd(newest_first, at)
        entries = tf.ragged.range(tf.gather(self._offsets, places), tf.gather(self._offsets, places + 1))
        decay = tf.constant([DECAY**step for step in range(self.steps)], tf.float64)
        of_click = tf.gather(at, entries.value_rowids())
        weights = tf.gather(self._weights, entries.flat_values) * tf.gather(decay, of_click[:, 1])
        return summed(of_click[:, 0], tf.gather(self._followers, entries.flat_values), weights)


def _session_knn(scorer: SessionKnn, lookback: int) -> SessionKnnGraph:
    return SessionKnnGraph(scorer)


_GRAPHS: Mapping[type, Callable[[Any, int], Any]] = {
    Popular: _PopularGraph,
    PopularRecently: _PopularRecentlyGraph,
    LastViewed: _LastViewedGraph,
    ItemToItem: _ItemToItemGraph,
    SessionKnn: _session_knn,
}


def write(
    scorers: Mapping[str, ranking.Scorer],
    clicks: npt.NDArray[np.int64],
    transform: Any,
    vocabulary: list[bytes],
    config: Config,
    folder: str,
) -> None:
    """Exports each baseline, with `SIGNATURES`, to `<folder>/<name>/1`, a base path of TensorFlow Serving each.

    Args:
      scorers: the fitted baselines by name.
      clicks: int64 [items], training clicks of each item.
      transform: the TFTransformOutput of the graph that encodes sessions.
      vocabulary: item ids, in the vocabulary's order.
      config: its `features` and `serving` sections count.
      folder: where to.
    """
    encoder = request_encoder.of_transform(transform, (), config.features)
    first_item = contract.FIRST_OOV_INDEX + config.features.oov_buckets
    for name, scorer in scorers.items():
        graph = BaselineScorer(scorer, clicks, first_item, config.features.lookback)
        signatures = Signatures(graph, encoder, vocabulary, config.serving.top_k, config.serving.exclude_seen)
        tf.saved_model.save(signatures, f"{folder}/{name}/{VERSION}", signatures=signatures.functions(SIGNATURES))


def _levels(row: tf.Tensor, scores: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """Of each candidate, how many different scores of its row are less than its own: int32 [n]."""
    order = tf.argsort(scores, stable=True)
    order = tf.gather(order, tf.argsort(tf.gather(row, order), stable=True))
    row, scores = tf.gather(row, order), tf.gather(scores, order)
    rises = (row[1:] != row[:-1]) | (scores[1:] != scores[:-1])
    level = tf.cumsum(tf.cast(rises, tf.int32))
    level = tf.pad(level, [[1, 0]])[: tf.size(scores)]
    lowest = tf.math.unsorted_segment_min(level, row, rows)
    return tf.scatter_nd(order[:, None], level - tf.gather(lowest, row), tf.shape(order))
