"""The signatures of callers who restrict the answer: not these items, only these, or this list put in order.

They are signatures of their own, since TensorFlow Serving knows no optional inputs: `serving_default` stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from nextclick.components import contract, features, restrictions
from nextclick.components.request_checks import at_most, same_rows, size_checks
from nextclick.components.signatures import Signatures, trace_of


class RestrictedSignatures(Signatures):
    """`Signatures` with `contract.SIGNATURE_RECOMMEND` and `contract.SIGNATURE_RANK`; the same arguments."""

    def traces(self) -> dict[str, Callable[[], Any]]:
        """See Signatures."""
        names = (contract.INPUT_ITEM_IDS, contract.INPUT_EXCLUDE, contract.INPUT_ALLOW, contract.INPUT_CANDIDATES)
        ids, exclude, allow, candidates = (tf.TensorSpec([None, None], tf.string, name=name) for name in names)
        return {
            **super().traces(),
            contract.SIGNATURE_RECOMMEND: trace_of(self.recommend, ids, exclude, allow),
            contract.SIGNATURE_RANK: trace_of(self.rank_candidates, ids, candidates),
        }

    def recommend(
        self, item_ids: tf.Tensor, exclude_item_ids: tf.Tensor, allow_item_ids: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Recommended ids of sessions that are not excluded, and allowed: string [batch, K], float32 scores.

        Args:
          item_ids: string [batch, length], padded with "" like the others.
          exclude_item_ids: string [batch, n]; what is in both lists is excluded.
          allow_item_ids: string [batch, n]; a row without an id may be answered everything.
        """
        sessions = self._checked(item_ids)
        exclude = self._places(exclude_item_ids, item_ids, contract.MAX_LIST_ITEMS)
        allow = self._places(allow_item_ids, item_ids, contract.MAX_LIST_ITEMS)
        scores = restrictions.without(self.all_scores(sessions), exclude)
        scores = restrictions.only(scores, allow, tf.reduce_any(allow_item_ids != "", axis=1))
        return self.answer(*restrictions.best(scores, self.top_k))

    def rank_candidates(self, item_ids: tf.Tensor, candidate_item_ids: tf.Tensor) -> dict[str, tf.Tensor]:
        """Candidates string [batch, n] of sessions string [batch, length], best first: string [batch, n], scores.

        Unknown candidates and repeats are left out, items of the session are not, whatever `exclude_seen` says.
        """
        vectors, newest, known = self.last_states(self._checked(item_ids))
        places = self._places(candidate_item_ids, item_ids, contract.MAX_CANDIDATES)
        width = tf.shape(candidate_item_ids)[1]
        dense = tf.sort(places.to_tensor(-1), axis=1)
        dense = tf.pad(dense, [[0, 0], [0, width - tf.shape(dense)[1]]], constant_values=-1)
        at = tf.maximum(dense, 0)
        popular = tf.gather(restrictions.by_popularity(self.scorer.items), at)
        scores = tf.where(known[:, None], self.scorer.scores_of(vectors, newest, at), popular)
        return self.answer(*restrictions.ranked(scores, dense))

    def _checked(self, item_ids: tf.Tensor) -> Any:
        with tf.control_dependencies(size_checks(tf.shape(item_ids)[0], tf.shape(item_ids)[1])):
            return self.encoder.checked({contract.ITEM_IDS: features.to_ragged(tf.identity(item_ids))})

    def _places(self, listed: tf.Tensor, item_ids: tf.Tensor, most: int) -> Any:
        """Places of a list's ids, of which a row may have `most`, one row a session: int64 ragged [batch, (n)]."""
        checks = [
            at_most(tf.shape(listed)[1], most, "a list", "items"),
            same_rows(listed, item_ids, "a list"),
        ]
        with tf.control_dependencies(checks):
            return self.places(self.encoder.checked({contract.ITEM_IDS: features.to_ragged(tf.identity(listed))}))
