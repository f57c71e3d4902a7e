"""Recall@20 and MRR@20 of a model on held-out sessions: the Evaluator's protocol, on every epoch's weights."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from nextclick.components.positions import position_ranks
from nextclick.components.scorer import Scorer
from nextclick.components.sequences import Sequences

_SESSIONS_A_BATCH = 256
_CUTOFF = 20


class Judge:
    """Scores models, as their weights are at each call, on a fixed set of sessions.

    Args:
      scorer: of the recommender that is being trained, or of what was.
      sessions: held-out sessions; those with no pair to predict do not count.
    """

    def __init__(self, scorer: Scorer, sessions: Sequences) -> None:
        rows = np.flatnonzero(sessions.lengths > 1)
        self._sessions = sessions.take(rows[np.argsort(sessions.lengths[rows], kind="stable")])
        self._scorer = scorer
        values = tf.TensorSpec([None, *sessions.values.shape[1:]], tf.int32)
        self._ranks = tf.function(self._ranks_of, input_signature=[values, tf.TensorSpec([None], tf.int64)])

    def __call__(self) -> tuple[float, float]:
        """Recall@20 and MRR@20 over all predictions; a target that is not in the vocabulary is a miss; NaN if none."""
        if not len(self._sessions):
            return float("nan"), float("nan")
        found = self.ranks()
        hits = found <= _CUTOFF
        return float(hits.mean()), float((hits / found).mean())

    def ranks(self) -> npt.NDArray[np.int32]:
        """Rank of each prediction, int32 [predictions], shorter sessions first."""
        self._scorer.refresh()
        parts = []
        for first in range(0, len(self._sessions), _SESSIONS_A_BATCH):
            part = self._sessions.take(np.arange(first, min(first + _SESSIONS_A_BATCH, len(self._sessions))))
            parts.append(self._ranks(part.values, part.splits).numpy())
        return np.concatenate(parts)

    def _ranks_of(self, values: tf.Tensor, splits: tf.Tensor) -> tf.Tensor:
        sessions = tf.RaggedTensor.from_row_splits(values, splits, validate=False)
        return position_ranks(self._scorer, sessions, 0)[0].flat_values
