"""Item vectors for TensorBoard's embedding projector, which shows items that the model holds alike close together."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from nextclick.components.model import Recommender

# The projector draws no more; the vocabulary begins with the most popular items.
_ITEMS = 10_000
_CONFIG, _VECTORS, _NAMES = "projector_config.pbtxt", "item_vectors.tsv", "item_names.tsv"


def write_projector(folder: str, model: Recommender, vocabulary: Sequence[bytes]) -> None:
    """Writes the vectors of the most popular items, their ids and what tells TensorBoard of both.

    Args:
      folder: where the TensorBoard logs are.
      model: of the vectors.
      vocabulary: item ids, in order.
    """
    vectors = model.item_vectors(tf.range(min(_ITEMS, len(vocabulary)))).numpy()  # [items, embedding_size] float32
    names = [_one_field(item) for item in vocabulary[:_ITEMS]]
    config = f'embeddings {{ tensor_name: "items" tensor_path: "{_VECTORS}" metadata_path: "{_NAMES}" }}\n'
    tf.io.gfile.makedirs(folder)
    _write(folder, _VECTORS, "".join("\t".join(f"{value:.5g}" for value in row) + "\n" for row in np.asarray(vectors)))
    _write(folder, _NAMES, "".join(f"{name}\n" for name in names))
    _write(folder, _CONFIG, config)


def _one_field(item: bytes) -> str:
    """An id as a field of a TSV file: ids are opaque and may hold a tab, or no UTF-8."""
    return item.decode("utf-8", "replace").replace("\t", " ")


def _write(folder: str, name: str, text: str) -> None:
    with tf.io.gfile.GFile(posixpath.join(folder, name), "w") as file:
        file.write(text)
