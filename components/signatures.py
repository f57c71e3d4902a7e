"""The serving functions of the SavedModel: raw ids, indices or serialised examples in; items or ranks out.

All go through one scorer (`ItemScorer.encode` and, where one prefix alone is asked for, `encode_at`) and the graph that
Transform made of preprocessing_fn, which is inside the SavedModel with its vocabulary: nothing else is needed to
serve it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping
from typing import Any

import tensorflow as tf

from nextclick.components import contract, features, restrictions, side_inputs
from nextclick.components.positions import position_ranks
from nextclick.components.request_checks import greatest, same_rows, size_checks
from nextclick.components.request_encoder import RequestEncoder
from nextclick.components.scorer import ItemScorer


def trace_of(function: Callable[..., Any], *inputs: tf.TensorSpec, **named: tf.TensorSpec) -> Callable[[], Any]:
    """What makes a signature of a function and its inputs."""
    return functools.partial(tf.function(function).get_concrete_function, *inputs, **named)


class Signatures(tf.Module):
    """The object that is saved.

    Args:
      scorer: the trained model, or a baseline (baseline_models.py).
      encoder: of raw sessions.
      vocabulary: item ids, in the vocabulary's order.
      top_k: items that are answered at most; where the vocabulary has fewer, all of them.
      exclude_seen: never answer an item of the session itself.
      learnt_until_ms: end of the newest session that was trained on, milliseconds since the epoch; 0: not known.
    """

    def __init__(
        self,
        scorer: ItemScorer,
        encoder: RequestEncoder,
        vocabulary: list[bytes],
        top_k: int,
        exclude_seen: bool = False,
        learnt_until_ms: int = 0,
    ) -> None:
        super().__init__()
        self.scorer, self.encoder = scorer, encoder
        self.top_k = min(top_k, scorer.items)
        self._exclude_seen = exclude_seen
        # Saved, so that whoever compares served lists with evaluated ranks knows.
        self.exclude_seen = tf.Variable(exclude_seen, trainable=False, name="exclude_seen")
        # Saved, so that a warm start from this model is not judged by sessions that it has learnt.
        self.learnt_until_ms = tf.Variable(learnt_until_ms, dtype=tf.int64, trainable=False, name="learnt_until_ms")
        self.item_ids = tf.Variable(vocabulary, dtype=tf.string, trainable=False, name="item_ids")

    def functions(self, names: Collection[str] = ()) -> dict[str, Any]:
        """The signatures by name, to be given to `tf.saved_model.save`: all, or those with these names."""
        return {name: trace() for name, trace in self.traces().items() if not names or name in names}

    def traces(self) -> dict[str, Callable[[], Any]]:
        """What makes each signature, by its name; it takes a part of a second each."""
        ids = tf.TensorSpec([None, None], tf.string, name=contract.INPUT_ITEM_IDS)
        indices = tf.TensorSpec([None, None], tf.int64, name=contract.INPUT_ITEM_INDICES)
        examples = tf.TensorSpec([None], tf.string, name=contract.INPUT_EXAMPLES)
        found = {
            contract.SIGNATURE_SERVING: trace_of(self.predict_ids, ids),
            contract.SIGNATURE_INDICES: trace_of(self.predict_indices, indices),
            contract.SIGNATURE_EXAMPLES: trace_of(self.predict_examples, examples),
            contract.SIGNATURE_ENCODE: trace_of(self.encode_ids, ids),
            contract.SIGNATURE_EVALUATE: trace_of(self.evaluate, examples),
        }
        if self.encoder.side_types:
            side = {
                name: tf.TensorSpec([None, None], kind, name=name) for name, kind in self.encoder.side_types.items()
            }
            events = {contract.INPUT_ITEM_IDS: ids, **side}
            found[contract.SIGNATURE_EVENTS] = trace_of(self.predict_events, **events)
        return found

    def predict_ids(self, item_ids: tf.Tensor) -> dict[str, tf.Tensor]:
        """Recommended ids of sessions: string [batch, length], padded with "" → string [batch, K], float32 scores."""
        with tf.control_dependencies(size_checks(tf.shape(item_ids)[0], tf.shape(item_ids)[1])):
            return self._predict_raw({contract.ITEM_IDS: features.to_ragged(tf.identity(item_ids))})

    def predict_events(self, **raw: tf.Tensor) -> dict[str, tf.Tensor]:
        """Recommended ids of sessions with what else is known of their clicks: `contract.SIGNATURE_EVENTS`."""
        checks = [check for values in raw.values() for check in size_checks(tf.shape(values)[0], tf.shape(values)[1])]
        checks += [same_rows(raw[contract.INPUT_ITEM_IDS], values, name) for name, values in raw.items()]
        with tf.control_dependencies(checks):
            raw = {name: tf.identity(values) for name, values in raw.items()}
        return self._predict_raw({**raw, contract.ITEM_IDS: features.to_ragged(raw[contract.INPUT_ITEM_IDS])})

    def predict_indices(self, item_indices: tf.Tensor) -> dict[str, tf.Tensor]:
        """Recommended indices of encoded sessions: int64 [batch, length], 0 = padding → int64 [batch, K], scores."""
        rows = self.scorer.first_item + self.scorer.items
        checks = [
            *size_checks(tf.shape(item_indices)[0], tf.shape(item_indices)[1]),
            tf.debugging.assert_less(item_indices, tf.constant(rows, tf.int64), f"an item index is not below {rows}"),
            tf.debugging.assert_non_negative(item_indices, "an item index is negative"),
        ]
        with tf.control_dependencies(checks):
            item_indices = tf.identity(item_indices)
        items = tf.ragged.boolean_mask(item_indices, item_indices > contract.PADDING_INDEX)
        places, scores = self._recommend(self.encoder.unknown(items))
        recommended = tf.where(places < 0, contract.PADDING_INDEX, places + self.scorer.first_item)
        recommended = tf.cast(recommended, tf.int64)
        return {contract.OUTPUT_ITEM_INDICES: recommended, contract.OUTPUT_SCORES: scores}

    def predict_examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """Recommended ids of serialised raw tf.Examples, string [batch]."""
        raw = self.encoder.parse(examples)
        item_ids = raw[contract.ITEM_IDS]
        with tf.control_dependencies(size_checks(tf.shape(examples)[0], greatest(item_ids.row_lengths()))):
            item_ids = item_ids.with_flat_values(tf.identity(item_ids.flat_values))
        return self._predict_raw({**raw, contract.ITEM_IDS: item_ids})

    def encode_ids(self, item_ids: tf.Tensor) -> dict[str, tf.Tensor]:
        """Sessions as the model sees them: string [batch, length] → int64 [batch, look-back], 0 = padding."""
        with tf.control_dependencies(size_checks(tf.shape(item_ids)[0], tf.shape(item_ids)[1])):
            item_ids = tf.identity(item_ids)
        seen = features.newest(self.encoder.items(features.to_ragged(item_ids)), self.scorer.lookback)
        # The static width tells clients the look-back (contract.SIGNATURE_ENCODE).
        indices = seen.to_tensor(contract.PADDING_INDEX, shape=[None, self.scorer.lookback])
        return {contract.OUTPUT_ITEM_INDICES: tf.cast(indices, tf.int64)}

    def evaluate(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """Ranks, recommendations and ties at every position of raw sessions: `contract.SIGNATURE_EVALUATE`."""
        sessions = self.encoder.sessions(self.encoder.parse(examples))
        ranks, top_ids, tied = position_ranks(self.scorer, sessions, contract.TOP_IDS)
        return {
            contract.OUTPUT_RANKS: ranks.to_tensor(contract.NO_PREDICTION),
            contract.OUTPUT_TOP_IDS: top_ids.to_tensor(contract.PADDING_INDEX, shape=[None, None, contract.TOP_IDS]),
            contract.OUTPUT_TIED: tied.to_tensor(False),
        }

    def _predict_raw(self, raw: Mapping[str, Any]) -> dict[str, tf.Tensor]:
        return self.answer(*self._recommend(self.encoder.checked(raw)))

    def answer(self, places: tf.Tensor, scores: tf.Tensor) -> dict[str, tf.Tensor]:
        """The outputs of a signature that answers ids, of places in the vocabulary, negative for none."""
        return {contract.OUTPUT_ITEM_IDS: restrictions.named(places, self.item_ids), contract.OUTPUT_SCORES: scores}

    def _recommend(self, sessions: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """Places in the vocabulary and scores, both [batch, K], best first, of int ragged [batch, (items)]."""
        if self._exclude_seen:
            return restrictions.best(self.all_scores(sessions), self.top_k)
        vectors, newest, known = self.last_states(sessions)
        return self.scorer.recommend(self.scorer.scores(vectors, newest), known, self.top_k)

    def all_scores(self, sessions: Any) -> tf.Tensor:
        """Scores of all items, those of the session itself ruled out where `exclude_seen`: float32 [batch, items]."""
        vectors, newest, known = self.last_states(sessions)
        popular = restrictions.by_popularity(self.scorer.items)
        scores = tf.where(known[:, None], self.scorer.scores(vectors, newest), popular)
        return restrictions.without(scores, self.places(sessions)) if self._exclude_seen else scores

    def places(self, sessions: Any) -> Any:
        """Places in the vocabulary of encoded sessions' items, negative for unknown ones: int ragged in and out."""
        indices = side_inputs.items_of(sessions)
        return indices.with_flat_values(indices.flat_values - self.scorer.first_item)

    def last_states(self, sessions: Any) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """What is scored after the last items: vectors float32 [batch, width], the newest items (`Scorer.scores`), and
        whether a known item is among those that are looked at, bool [batch].
        """
        seen = features.newest(sessions, self.scorer.lookback)
        dense = features.to_dense(seen)
        last = tf.maximum(seen.row_lengths() - 1, 0)
        vectors = self.scorer.encode_at(dense, tf.cast(last, tf.int32))
        items = side_inputs.items_of(dense)
        places = last[:, None] - tf.range(self.scorer.steps, dtype=last.dtype)
        newest = tf.where(places >= 0, tf.gather(items, tf.maximum(places, 0), axis=1, batch_dims=1), 0)
        return vectors, newest, tf.reduce_any(self.scorer.is_known(items), axis=1)
