"""What training's validation, the evaluation signature and the serving signatures compute scores with."""

from __future__ import annotations

import tensorflow as tf

from nextclick.components.model import Recommender


class Scorer(tf.Module):
    """A recommender, and its items' vectors as they are at this moment.

    Args:
      model: the recommender.
      lookback: newest items of a session that a prediction looks at.
    """

    def __init__(self, model: Recommender, lookback: int) -> None:
        super().__init__()
        self.model = model
        self.lookback = lookback
        self.items, self.first_item = model.items, model.first_item
        self.width = model.settings.embedding_size
        # Kept ready, since normalising the vectors of all items at each request would cost more than scoring them.
        self.vectors = tf.Variable(model.item_vectors(), trainable=False, name="item_vectors")
        self.bias = tf.Variable(model.item_bias(), trainable=False, name="item_bias")

    def refresh(self) -> None:
        """Takes over the model's present weights."""
        self.vectors.assign(self.model.item_vectors())
        self.bias.assign(self.model.item_bias())

    def encode(self, item_indices: tf.Tensor) -> tf.Tensor:
        """Session vectors after each item: int [batch, time], padded at the right → float32 [batch, time, width]."""
        return self.model(item_indices, training=False)

    def scores(self, session_vectors: tf.Tensor) -> tf.Tensor:
        """Score of every vocabulary item: float32 [rows, width] → [rows, items]."""
        scores = tf.matmul(session_vectors, self.vectors, transpose_b=True)
        return scores + self.bias if self.model.settings.output_bias else scores

    def scores_of(self, session_vectors: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
        """Scores of some items of each row: float32 [rows, width], int [rows, n] → [rows, n]; others cost nothing."""
        scores = tf.einsum("rw,rnw->rn", session_vectors, tf.gather(self.vectors, places))
        return scores + tf.gather(self.bias, places) if self.model.settings.output_bias else scores

    def recommend(self, scores: tf.Tensor, known: tf.Tensor, top: int) -> tuple[tf.Tensor, tf.Tensor]:
        """The best items of each row: places in the vocabulary, int32 [rows, top], and their scores, descending.

        Args:
          scores: float32 [rows, items].
          known: bool [rows]; a row without a known item gets the most popular items, scored 1, 1/2, 1/3, …
          top: number of items, at most all.
        """
        best, places = tf.math.top_k(scores, top)
        popular = tf.range(top)
        places = tf.where(known[:, None], places, popular)
        return places, tf.where(known[:, None], best, 1.0 / tf.cast(popular + 1, tf.float32))
