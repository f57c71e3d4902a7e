"""The session kNN beside the network, in one model: (1 - weight) · softmax(scores) + weight · votes / sum of votes.

The kNN remembers what the network has to generalise over, so each finds what the other misses
(docs/experiments.md has the gain and its price).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from nextclick.components import session_knn
from nextclick.components.dataset import Split
from nextclick.components.knn_graph import SessionKnnGraph
from nextclick.components.ranking import UNKNOWN_PLACE, Sessions
from nextclick.pipeline.config import HybridConfig

_WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
# Where nothing is held out to choose it on; within a hair of the best on every log that was tried.
_DEFAULT_WEIGHT = 0.3
_FEWEST_VOTES = 1e-30


class Hybrid(tf.Module):
    """The session kNN of some sessions, and its weight.

    Attributes:
      steps: newest items of a session that are looked at.
      weight: float32 scalar, share of the votes in a score; may be assigned.
    """

    def __init__(self, votes: SessionKnnGraph, weight: float = _DEFAULT_WEIGHT) -> None:
        super().__init__()
        self._graph, self.steps = votes, votes.steps
        self.weight = tf.Variable(weight, trainable=False, name="weight")

    def mix(self, scores: tf.Tensor, newest: tf.Tensor) -> tf.Tensor:
        """Scores that sum to 1, float32 [rows, items]; the network's alone (they sum to 1 - weight) without any vote.

        Args:
          scores: float32 [rows, items], the network's.
          newest: int32 [rows, steps], places in the vocabulary, the latest first, negative where there is none.
        """
        rows, items = tf.shape(scores, tf.int64)[0], scores.shape[1]
        row, place, votes = self._graph.votes(newest)
        sums = tf.maximum(tf.math.unsorted_segment_sum(votes, row, rows), _FEWEST_VOTES)
        shares = self.weight * tf.cast(votes / tf.gather(sums, row), tf.float32)
        mixed = tf.reshape((1.0 - self.weight) * tf.nn.softmax(scores), [-1])
        # In place, and only where there are votes: as many numbers as scores are not to be gone through more often.
        mixed = tf.tensor_scatter_nd_add(mixed, (row * items + place)[:, None], shares)
        return tf.reshape(mixed, [rows, items])


def build(config: HybridConfig, split: Split, items: int, first_item: int) -> Hybrid | None:
    """The hybrid part over the newest of a split's sessions; None where there is none.

    Args:
      config: which, and how many sessions.
      split: what it remembers.
      items: size of the vocabulary.
      first_item: index of the vocabulary's first item.
    """
    if config.kind == "off":
        return None
    newest = np.sort(np.argsort(split.end_times_ms, kind="stable")[-config.sessions :])
    sessions = split.sessions.take(newest)
    places = np.where(sessions.items >= first_item, sessions.items - first_item, UNKNOWN_PLACE).astype(np.int32)
    return Hybrid(
        SessionKnnGraph(session_knn.fit(Sessions(places, sessions.splits, split.end_times_ms[newest]), items))
    )


def choose_weight(config: HybridConfig, hybrid: Hybrid, figures: Callable[[], tuple[float, float]]) -> float:
    """Sets a hybrid's weight, and returns it: as configured, or the best on validation.

    Args:
      config: the weight, or 0.
      hybrid: of the training split.
      figures: Recall@20 and MRR@20 on the validation split with the present weight; NaN where there is nothing.
    """
    chosen = config.weight or _best_weight(hybrid, figures)
    hybrid.weight.assign(chosen)
    return chosen


def _best_weight(hybrid: Hybrid, figures: Callable[[], tuple[float, float]]) -> float:
    found = []
    for weight in _WEIGHTS:
        hybrid.weight.assign(weight)
        found.append(sum(figures()))
    return _DEFAULT_WEIGHT if np.isnan(found).any() else _WEIGHTS[int(np.argmax(found))]
