"""Trained vectors of the side features' values, added to the items' vectors or put beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf
import tf_keras

from nextclick.components.contract import SIDE_FEATURES

# Features whose values are learnt from the data: an index means another value in another model.
_LEARNT = "event_type"


@tf_keras.utils.register_keras_serializable("nextclick")
class SideEmbeddings(tf_keras.layers.Layer):
    """One table a feature. All rows start at zero, so what training never saw (unknown values, perhaps) tells nothing.

    Args:
      counts: indices of each feature, in the order of their columns.
      mode: "add": each vector is as wide as the item's and added to it; "concat": it is put behind it.
      width: of a vector that is put behind.
    """

    def __init__(self, counts: Mapping[str, int], mode: str, width: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.counts, self.mode, self.width = dict(counts), mode, width

    def build(self, input_shape: Any) -> None:
        """Makes the tables for item vectors [..., width]."""
        columns = int(input_shape[-1]) if self.mode == "add" else self.width
        self.tables = [
            self.add_weight(name=f"side_{name}", shape=[count, columns], initializer="zeros")
            for name, count in self.counts.items()
        ]
        super().build(input_shape)

    def call(self, vectors: tf.Tensor, indices: tf.Tensor) -> tf.Tensor:
        """float32 [batch, time, output_width] of vectors [batch, time, width], indices int [batch, time, features]."""
        found = [tf.gather(table, indices[:, :, place]) for place, table in enumerate(self.tables)]
        return tf.add_n([vectors, *found]) if self.mode == "add" else tf.concat([vectors, *found], axis=2)

    def output_width(self, width: int) -> int:
        """Of what `call` gives for item vectors of a width."""
        return width if self.mode == "add" else width + self.width * len(self.counts)

    def tables_of_learnt_values(self) -> list[tf.Variable]:
        """Those whose rows mean another value in another model."""
        return [
            table
            for name, table in zip(self.counts, self.tables, strict=True)
            if name == _LEARNT or name not in SIDE_FEATURES
        ]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "counts": self.counts, "mode": self.mode, "width": self.width}
