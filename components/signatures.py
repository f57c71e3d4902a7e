"""The serving functions of the SavedModel: raw ids, indices or serialised examples in; items or ranks out.

All go through one encoding, `Scorer.encode`, and through the graph that Transform made of preprocessing_fn, which
is inside the SavedModel with its vocabulary: nothing else is needed to serve it.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from nextclick.components import contract, features
from nextclick.components.positions import position_ranks
from nextclick.components.scorer import Scorer


class Signatures(tf.Module):
    """The object that is saved.

    Args:
      scorer: the trained model.
      transform: raw features by name → transformed features by name: `TFTransformOutput.transform_features_layer()`.
      raw_item_ids: how Transform was given the raw item ids: sparse, or ragged.
      vocabulary: item ids, in the vocabulary's order.
      top_k: items that are answered at most; where the vocabulary has fewer, all of them.
    """

    def __init__(self, scorer: Scorer, transform: Any, raw_item_ids: Any, vocabulary: list[bytes], top_k: int) -> None:
        super().__init__()
        self.scorer, self.transform, self._raw_item_ids = scorer, transform, raw_item_ids
        self.top_k = min(top_k, scorer.items)
        self.item_ids = tf.Variable(vocabulary, dtype=tf.string, trainable=False, name="item_ids")

    def functions(self) -> dict[str, Any]:
        """The signatures by name, to be given to `tf.saved_model.save`."""
        ids = tf.TensorSpec([None, None], tf.string, name=contract.INPUT_ITEM_IDS)
        indices = tf.TensorSpec([None, None], tf.int64, name=contract.INPUT_ITEM_INDICES)
        examples = tf.TensorSpec([None], tf.string, name=contract.INPUT_EXAMPLES)
        return {
            contract.SIGNATURE_SERVING: tf.function(self.predict_ids).get_concrete_function(ids),
            contract.SIGNATURE_INDICES: tf.function(self.predict_indices).get_concrete_function(indices),
            contract.SIGNATURE_EXAMPLES: tf.function(self.predict_examples).get_concrete_function(examples),
            contract.SIGNATURE_ENCODE: tf.function(self.encode_ids).get_concrete_function(ids),
            contract.SIGNATURE_EVALUATE: tf.function(self.evaluate).get_concrete_function(examples),
        }

    def predict_ids(self, item_ids: tf.Tensor) -> dict[str, tf.Tensor]:
        """Recommended ids of sessions: string [batch, length], padded with "" → string [batch, K], float32 scores."""
        with tf.control_dependencies(_size_checks(tf.shape(item_ids)[0], tf.shape(item_ids)[1])):
            return self._predict_ids(features.to_ragged(tf.identity(item_ids)))

    def predict_indices(self, item_indices: tf.Tensor) -> dict[str, tf.Tensor]:
        """Recommended indices of encoded sessions: int64 [batch, length], 0 = padding → int64 [batch, K], scores."""
        rows = self.scorer.first_item + self.scorer.items
        checks = [
            *_size_checks(tf.shape(item_indices)[0], tf.shape(item_indices)[1]),
            tf.debugging.assert_less(item_indices, tf.constant(rows, tf.int64), f"an item index is not below {rows}"),
            tf.debugging.assert_non_negative(item_indices, "an item index is negative"),
        ]
        with tf.control_dependencies(checks):
            item_indices = tf.identity(item_indices)
        places, scores = self._recommend(tf.ragged.boolean_mask(item_indices, item_indices > contract.PADDING_INDEX))
        recommended = tf.cast(places, tf.int64) + self.scorer.first_item
        return {contract.OUTPUT_ITEM_INDICES: recommended, contract.OUTPUT_SCORES: scores}

    def predict_examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """Recommended ids of serialised raw tf.Examples, string [batch]."""
        item_ids = _parse(examples)
        with tf.control_dependencies(_size_checks(tf.shape(examples)[0], _greatest(item_ids.row_lengths()))):
            return self._predict_ids(item_ids.with_flat_values(tf.identity(item_ids.flat_values)))

    def encode_ids(self, item_ids: tf.Tensor) -> dict[str, tf.Tensor]:
        """Sessions as the model sees them: string [batch, length] → int64 [batch, look-back], 0 = padding."""
        with tf.control_dependencies(_size_checks(tf.shape(item_ids)[0], tf.shape(item_ids)[1])):
            item_ids = tf.identity(item_ids)
        seen = features.newest(self._encode_ids(features.to_ragged(item_ids)), self.scorer.lookback)
        # The static width tells clients the look-back (contract.SIGNATURE_ENCODE).
        indices = seen.to_tensor(contract.PADDING_INDEX, shape=[None, self.scorer.lookback])
        return {contract.OUTPUT_ITEM_INDICES: tf.cast(indices, tf.int64)}

    def evaluate(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """Ranks, recommendations and ties at every position of raw sessions: `contract.SIGNATURE_EVALUATE`."""
        sessions = self._encode_ids(_parse(examples))
        ranks, top_ids, tied = position_ranks(self.scorer, sessions, contract.TOP_IDS)
        return {
            contract.OUTPUT_RANKS: ranks.to_tensor(contract.NO_PREDICTION),
            contract.OUTPUT_TOP_IDS: top_ids.to_tensor(contract.PADDING_INDEX, shape=[None, None, contract.TOP_IDS]),
            contract.OUTPUT_TIED: tied.to_tensor(False),
        }

    def _predict_ids(self, item_ids: Any) -> dict[str, tf.Tensor]:
        longest = _greatest(tf.strings.length(item_ids.flat_values))
        with tf.control_dependencies([_at_most(longest, contract.MAX_ITEM_ID_BYTES, "an item id", "bytes")]):
            item_ids = item_ids.with_flat_values(tf.identity(item_ids.flat_values))
        places, scores = self._recommend(self._encode_ids(item_ids))
        return {contract.OUTPUT_ITEM_IDS: tf.gather(self.item_ids, places), contract.OUTPUT_SCORES: scores}

    def _encode_ids(self, item_ids: Any) -> Any:
        """int64 ragged [sessions, (items)] of string ragged [sessions, (items)], by Transform's graph."""
        raw = item_ids if self._raw_item_ids == "ragged" else item_ids.to_sparse()
        return features.to_ragged(self.transform({contract.ITEM_IDS: raw})[contract.ITEM_INDICES])

    def _recommend(self, sessions: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """Places in the vocabulary and scores, both [batch, K], best first, of int ragged [batch, (items)]."""
        seen = features.newest(sessions, self.scorer.lookback)
        dense = features.to_dense(seen)
        last = tf.maximum(seen.row_lengths() - 1, 0)
        vectors = tf.gather(self.scorer.encode(dense), last, axis=1, batch_dims=1)  # [batch, width]
        known = tf.reduce_any(dense >= self.scorer.first_item, axis=1)
        return self.scorer.recommend(self.scorer.scores(vectors), known, self.top_k)


def _parse(examples: tf.Tensor) -> Any:
    """Item ids of serialised raw tf.Examples: string ragged [batch, (items)]."""
    parsed = tf.io.parse_example(examples, {contract.ITEM_IDS: tf.io.VarLenFeature(tf.string)})
    return tf.RaggedTensor.from_sparse(parsed[contract.ITEM_IDS])


def _size_checks(sessions: tf.Tensor, items: tf.Tensor) -> list[Any]:
    """Operations that refuse requests whose answer would take the time or memory of many.

    What follows must wait for them by `tf.control_dependencies`, or it may run, and fail, first.
    """
    return [
        _at_most(sessions, contract.MAX_REQUEST_BATCH, "a request", "sessions"),
        _at_most(items, contract.MAX_REQUEST_ITEMS, "a session", "items"),
    ]


def _at_most(found: tf.Tensor, limit: int, owner: str, things: str) -> Any:
    message = f"{owner} has more than {limit} {things}"
    return tf.debugging.assert_less_equal(found, tf.constant(limit, found.dtype), message)


def _greatest(values: tf.Tensor) -> tf.Tensor:
    """The greatest of some integers, 0 where there are none."""
    return tf.reduce_max(tf.concat([values, tf.zeros([1], values.dtype)], axis=0))
