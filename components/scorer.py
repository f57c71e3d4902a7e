"""What training's validation, the evaluation signature and the serving signatures compute scores with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from nextclick.components import best_items, votes
from nextclick.components.hybrid import Hybrid
from nextclick.components.model import Recommender


class ItemScorer(tf.Module):
    """What scores all items of a vocabulary after the items of a session; see `Scorer` for a recommender's.

    Attributes:
      items: number of items, a place in the vocabulary each.
      first_item: index of the vocabulary's first item.
      lookback: newest items of a session that a prediction looks at.
      width: of a session vector.
      steps: newest items of a session that `scores` is given beside the session's vector.
      alone: whether prefixes are better encoded one by one, since `encode` runs over each of them (backward.py).
    """

    items: int
    first_item: int
    lookback: int
    width: int
    steps: int
    alone: bool

    def encode(self, item_indices: tf.Tensor) -> tf.Tensor:
        """Session vectors after each item: int [batch, time], padded at the right → float32 [batch, time, width]."""
        raise NotImplementedError

    def encode_at(self, item_indices: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
        """Session vectors after one item each: int [batch, time], int32 [batch], from 0 → float32 [batch, width]."""
        raise NotImplementedError

    def scores(self, session_vectors: tf.Tensor, newest: tf.Tensor) -> tf.Tensor:
        """Score of every vocabulary item, float32 [rows, items].

        Args:
          session_vectors: float32 [rows, width], of `encode`.
          newest: int [rows, steps], item indices of the same sessions, the latest first, padded at the right.
        """
        raise NotImplementedError

    def scores_of(self, session_vectors: tf.Tensor, newest: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
        """Scores of some items of each row, int [rows, n]: float32 [rows, n]."""
        return tf.gather(self.scores(session_vectors, newest), places, axis=1, batch_dims=1)

    def is_known(self, item_indices: tf.Tensor) -> tf.Tensor:
        """Which items the scores can go by, bool of any shape; after none of them the popular items are answered."""
        return item_indices >= self.first_item

    def recommend(self, scores: tf.Tensor, known: tf.Tensor, top: int) -> tuple[tf.Tensor, tf.Tensor]:
        """The best items of each row: places in the vocabulary, int32 [rows, top], and their scores, descending.

        Args:
          scores: float32 [rows, items].
          known: bool [rows]; a row without a known item gets the most popular items, scored 1, 1/2, 1/3, …
          top: number of items, at most all.
        """
        best, places = best_items.top_k(scores, top)
        popular = tf.range(top)
        places = tf.where(known[:, None], places, popular)
        return places, tf.where(known[:, None], best, 1.0 / tf.cast(popular + 1, tf.float32))


class Scorer(ItemScorer):
    """A recommender, or the mean of several, and its items' vectors as they are at this moment.

    The mean of several networks' scores is one product, too: that of their vectors put end to end. A vote
    (votes.py) takes a product for each.

    Args:
      models: the recommender, or the members of an ensemble, all of one vocabulary.
      lookback: newest items of a session that a prediction looks at.
      hybrid: what is mixed with the networks' scores; None: nothing.
      vectors: what holds `item_columns` of the models for good; None: a variable.
      vote: the members of an ensemble vote; else their mean counts.
    """

    def __init__(
        self,
        models: Recommender | Sequence[Recommender],
        lookback: int,
        hybrid: Hybrid | None = None,
        vectors: Any = None,
        vote: bool = False,
    ) -> None:
        super().__init__()
        self.models = [models] if isinstance(models, Recommender) else list(models)
        self.model = self.models[0]
        self.lookback, self.hybrid = lookback, hybrid
        self.vote = vote and len(self.models) > 1
        self.items, self.first_item = self.model.items, self.model.first_item
        self.width = sum(model.settings.embedding_size for model in self.models)
        self.alone = any(model.settings.bidirectional for model in self.models)
        self.steps = min(hybrid.steps, lookback) if hybrid else 0
        self._follows = vectors is None
        # Kept ready, since normalising the vectors of all items at each request would cost more than scoring them; in
        # columns, since a product of a batch with the rows of items takes twice as long.
        if vectors is None:
            vectors = tf.Variable(item_columns(self.models), trainable=False, name="item_vectors")
        self.vectors = vectors
        self.bias = tf.Variable(self._item_bias(), trainable=False, name="item_bias")

    def refresh(self) -> None:
        """Takes over the models' present weights, where their vectors are not for good."""
        if self._follows:
            self.vectors.assign(item_columns(self.models))
        self.bias.assign(self._item_bias())

    def encode(self, item_indices: tf.Tensor) -> tf.Tensor:
        """The networks' vectors, put end to end."""
        return tf.concat([model(item_indices, training=False) for model in self.models], axis=-1)

    def encode_at(self, item_indices: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
        """The networks' vectors, put end to end."""
        return tf.concat([model.vectors_at(item_indices, places) for model in self.models], axis=-1)

    def scores(self, session_vectors: tf.Tensor, newest: tf.Tensor) -> tf.Tensor:
        """The networks' scores, and what the hybrid part adds to them."""
        scores = self._networks_scores(session_vectors)
        if self.hybrid is None:
            return scores
        return self.hybrid.mix(scores, tf.cast(newest, tf.int32) - self.first_item)

    def scores_of(self, session_vectors: tf.Tensor, newest: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
        """Scores of some items of each row, int [rows, n]: float32 [rows, n]; the others cost nothing.

        Only a hybrid and a vote score them all, since one item's score depends on all the network's scores there.
        """
        if self.hybrid is not None or self.vote:
            return super().scores_of(session_vectors, newest, places)
        scores = tf.einsum("rw,rnw->rn", session_vectors, item_vectors(self.models, places))
        return scores + tf.gather(self.bias, places) if self.model.settings.output_bias else scores

    def _networks_scores(self, session_vectors: tf.Tensor) -> tf.Tensor:
        """float32 [rows, items], without the hybrid part, but as it wants them."""
        if not self.vote:
            scores = tf.matmul(session_vectors, self.vectors)
            return scores + self.bias if self.model.settings.output_bias else scores
        widths = [model.settings.embedding_size for model in self.models]
        parts = tf.split(session_vectors, widths, axis=1), tf.split(tf.convert_to_tensor(self.vectors), widths, axis=0)
        members = [tf.matmul(rows, columns) for rows, columns in zip(*parts, strict=True)]
        members = [scores + bias for scores, bias in zip(members, tf.unstack(self.bias), strict=True)]
        found, mean = votes.points(members), tf.add_n(members)
        return votes.ranked(found, mean) if self.hybrid is None else votes.log_shares(found, mean)

    def _item_bias(self) -> tf.Tensor:
        """Of the mean score, float32 [items]; where members vote, each one's share of it, [members, items]."""
        biases = [model.item_bias() for model in self.models]
        return (tf.stack(biases) if self.vote else tf.add_n(biases)) / len(self.models)


def item_vectors(models: Sequence[Recommender], places: tf.Tensor | None = None) -> tf.Tensor:
    """What an ensemble's session vectors are multiplied with: float32 [items, width], or [..., width] of int places."""
    return tf.concat([model.item_vectors(places) for model in models], axis=-1) / len(models)


def item_columns(models: Sequence[Recommender]) -> tf.Tensor:
    """All of them beside each other: float32 [width, items]."""
    return tf.transpose(item_vectors(models))
