"""The session kNN (session_knn.py) as TensorFlow operations over tensors: what an exported model can carry.

Its votes are those of `SessionKnn.candidates`, for many sessions at once, with the weights of its default settings.
It rounds where that rounds and adds in the same order, so that `candidates` is equal to the last bit, ties included.
The time of a question depends on how many newest sessions an item has in the index, not on how many there are in all.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from nextclick.components.session_knn import MATCH_STEPS, SessionKnn

_NEARNESS = [1.0 - steps_back / MATCH_STEPS for steps_back in range(MATCH_STEPS)]


class SessionKnnGraph(tf.Module):
    """A fitted session kNN over a catalogue.

    Attributes:
      steps: newest items of a session that are looked at.
    """

    def __init__(self, knn: SessionKnn) -> None:
        super().__init__()
        if not (knn.settings.harmonic and knn.settings.by_rarity and knn.settings.by_length):
            raise ValueError(f"no operations for a session kNN with {knn.settings}")
        self.steps = knn.settings.lookback
        self._recent, self._neighbours = knn.settings.recent, knn.settings.neighbours
        self._keep_latest = knn.keep_latest
        self._holder_offsets = constant(knn.holder_offsets, tf.int64)
        self._holders = constant(knn.holders, tf.int32)
        self._item_offsets = constant(knn.item_offsets, tf.int64)
        self._held = constant(knn.items, tf.int32)
        self._idf = constant(knn.idf, tf.float64)

    def votes(self, newest_first: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Rows int64 [n], places int64 [n] and votes float64 [n] >= 0: what each neighbour adds for each of its items.

        Args:
          newest_first: int32 [rows, steps], places in the catalogue of a session's newest items, the latest first;
            negative where there is none, or it is unknown.
        """
        row, place, votes = self._votes(newest_first, in_order=False)
        votes *= tf.gather(self._idf, place)
        if not self._keep_latest:
            votes = tf.where(_is_latest(newest_first, row, place), tf.zeros_like(votes), votes)
        return row, place, votes

    def candidates(self, newest_first: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """As `votes`, each item of a row once, with the sum of its votes, which is greater than 0."""
        row, place, scores = summed(*self._votes(newest_first, in_order=True))
        scores *= tf.gather(self._idf, place)
        kept = scores > 0
        if not self._keep_latest:
            kept &= ~_is_latest(newest_first, row, place)
        return tf.boolean_mask(row, kept), tf.boolean_mask(place, kept), tf.boolean_mask(scores, kept)

    def _votes(self, newest_first: tf.Tensor, in_order: bool) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """As `votes`, before they are weighed by the rarity of what is voted for; where they are to be in order, the
        least similar neighbour first, as SessionKnn adds them up.
        """
        rows = tf.shape(newest_first, tf.int64)[0]
        row, session, similarity, latest = self._similar(newest_first)
        nearest, chosen = self._nearest(row, session, similarity, rows, in_order)  # both [rows, neighbours]
        votes = chosen * tf.gather(tf.constant(_NEARNESS, tf.float64), tf.gather(_extended(latest), nearest))
        voters = tf.gather(_extended(session), nearest)
        first, last = tf.gather(self._item_offsets, voters), tf.gather(self._item_offsets, voters + 1)
        last = tf.where(chosen > 0, last, first)
        held = tf.ragged.range(tf.reshape(first, [-1]), tf.reshape(last, [-1]))
        voter = held.value_rowids()  # in the flat [rows · neighbours]
        place = tf.cast(tf.gather(self._held, held.flat_values), tf.int64)
        row = voter // tf.cast(tf.shape(nearest)[1], tf.int64)
        return row, place, tf.gather(tf.reshape(votes, [-1]), voter)

    def _similar(self, newest_first: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Of each session that shares an item with a row: the row, the session, its similarity, and the steps back of
        the latest shared item; all [pairs], row after row.
        """
        steps_back = tf.range(1, tf.shape(newest_first)[1] + 1)
        counted = first_occurrence(newest_first) & (newest_first >= 0)
        places = tf.where(counted, newest_first, 0)
        first, last = tf.gather(self._holder_offsets, places), tf.gather(self._holder_offsets, places + 1)
        last = tf.where(counted, last, first)
        inverse = tf.constant([1.0 / step for step in range(1, self.steps + 1)], tf.float64)
        weights = tf.gather(self._idf, places) * inverse[: tf.size(steps_back)]  # [rows, steps]
        entries = tf.ragged.range(tf.reshape(first, [-1]), tf.reshape(last, [-1]))
        click = entries.value_rowids()  # in the flat [rows · steps]
        sessions = tf.size(self._item_offsets, tf.int64) - 1
        key = click // tf.cast(tf.size(steps_back), tf.int64) * sessions
        key += tf.cast(tf.gather(self._holders, entries.flat_values), tf.int64)
        keys, pair = tf.unique(key, tf.int64)
        pairs = tf.size(keys)
        sums = tf.math.unsorted_segment_sum(tf.gather(tf.reshape(weights, [-1]), click), pair, pairs)
        step = tf.gather(steps_back, click % tf.cast(tf.size(steps_back), tf.int64))
        latest = tf.math.unsorted_segment_min(step, pair, pairs)
        row, session = keys // sessions, keys % sessions
        lengths = tf.gather(self._item_offsets, session + 1) - tf.gather(self._item_offsets, session)
        return row, session, sums / tf.sqrt(tf.cast(lengths, tf.float64)), latest

    def _nearest(
        self, row: tf.Tensor, session: tf.Tensor, similarity: tf.Tensor, rows: tf.Tensor, in_order: bool
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The pairs of each row's most similar sessions and their similarities, [rows, neighbours], the least similar
        first where they are to be in order; filled up with pair number `pairs` and similarity 0. Of equally similar
        sessions the newer one counts as the more similar.
        """
        none = tf.size(similarity, tf.int64)
        pairs = tf.RaggedTensor.from_value_rowids(tf.range(none), row, rows, validate=False).to_tensor(none)
        newest = _greatest(tf.gather(_extended(session), pairs), pairs, self._recent, none)
        similarities = tf.gather(_extended(similarity), newest)
        nearest = _greatest(similarities, newest, self._neighbours, none, in_order)
        nearest = nearest[:, ::-1] if in_order else nearest
        return nearest, tf.gather(_extended(similarity), nearest)


def summed(row: tf.Tensor, place: tf.Tensor, scores: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The distinct pairs of row and place, both int64 [n], and the sums of their scores, added in the order given."""
    width = tf.reduce_max(tf.pad(place, [[0, 1]])) + 1
    keys, pair = tf.unique(row * width + place)
    return keys // width, keys % width, tf.math.unsorted_segment_sum(scores, pair, tf.size(keys))


def _is_latest(newest_first: tf.Tensor, row: tf.Tensor, place: tf.Tensor) -> tf.Tensor:
    """Which places are their row's latest item: bool [n]."""
    return place == tf.gather(tf.cast(newest_first[:, 0], tf.int64), row)


def constant(values: Any, dtype: tf.DType) -> tf.Variable:
    """A tensor that is saved with the model's weights, not in its graph."""
    return tf.Variable(values, trainable=False, dtype=dtype)


def first_occurrence(newest_first: tf.Tensor) -> tf.Tensor:
    """Where an item has not come before in its row: bool [rows, steps]."""
    equal = newest_first[:, :, None] == newest_first[:, None, :]  # [rows, step, other step]
    steps = tf.range(tf.shape(newest_first)[1])
    return ~tf.reduce_any(equal & (steps[None, :] < steps[:, None]), axis=2)


def _greatest(keys: tf.Tensor, pairs: tf.Tensor, number: int, none: tf.Tensor, in_order: bool = True) -> tf.Tensor:
    """Of each row the pairs with the greatest keys, descending where they are to be in order; of equal ones the first
    ones: [rows, n] twice → [rows, number], filled up.
    """
    missing = [[0, 0], [0, tf.maximum(number - tf.shape(keys)[1], 0)]]
    _, column = tf.math.top_k(tf.pad(keys, missing), number, sorted=in_order)
    return tf.gather(tf.pad(pairs, missing, constant_values=none), column, axis=1, batch_dims=1)


def _extended(values: tf.Tensor) -> tf.Tensor:
    """The values and a 0 after them, for what points behind them."""
    return tf.concat([values, tf.zeros([1], values.dtype)], axis=0)
