"""Item tables of a trained recommender in fewer bits: what is exported with `serving.weights` = float16 or int8.

Nearly all of a recommender's weights are the vectors of its items. Stored are the tables, in 16 or 8 bits. A session's
few items are widened as they are looked up. What sessions are scored against, all items' normalised vectors in
float32, is not stored but computed once when the model is loaded: widening all of it at each request would cost more
than scoring. So the files shrink to about a quarter and an eighth, and requests take as long as before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from nextclick.components.model import Recommender
from nextclick.components.scorer import Scorer, item_columns

INT8 = "int8"
_REFERENCE_FOLDER = "Float32"
_TABLES = ("embedding", "output_embedding")
_LARGEST_INT8 = 127


class NarrowRows(tf.Module):
    """A float32 table [rows, width] kept in fewer bits; takes a variable's place in `Recommender`.

    int8: symmetric, each row with a scale of its own, so that its greatest absolute value becomes 127.
    """

    def __init__(self, table: npt.NDArray[np.float32], kind: str) -> None:
        super().__init__()
        self.scales = None
        narrow = table.astype(np.float16)
        if kind == INT8:
            scales = np.maximum(np.abs(table).max(axis=1, keepdims=True), np.finfo(np.float32).tiny) / _LARGEST_INT8
            narrow = np.rint(table / scales).astype(np.int8)
            self.scales = tf.Variable(scales, trainable=False, dtype=tf.float32, name="scales")
        self.narrow = tf.Variable(narrow, trainable=False, name="narrow")

    def sparse_read(self, indices: tf.Tensor, name: str | None = None) -> tf.Tensor:
        """Rows of any indices, float32 [..., width]: what `tf.gather` asks a variable for."""
        rows = tf.cast(tf.gather(self.narrow, indices), tf.float32)
        return rows if self.scales is None else rows * tf.gather(self.scales, indices)

    def __getitem__(self, key: Any) -> tf.Tensor:
        """A slice of the table, float32."""
        rows = tf.cast(self.narrow[key], tf.float32)
        return rows if self.scales is None else rows * self.scales[key]


class LoadedVectors(tf.saved_model.experimental.TrackableResource):
    """All items' vectors, float32 [width, items], computed when the model is loaded; usable as a tensor.

    Args:
      models: whose vectors they are.
      name: unlike that of any other model, since two may be loaded in one process.
    """

    def __init__(self, models: Sequence[Recommender], name: str) -> None:
        super().__init__()
        self._models, self._name = list(models), name
        self._shape = (sum(model.settings.embedding_size for model in models), models[0].items)
        self._initialize()

    def _create_resource(self) -> tf.Tensor:
        return tf.raw_ops.VarHandleOp(dtype=tf.float32, shape=self._shape, shared_name=self._name)

    def _initialize(self) -> None:
        tf.raw_ops.AssignVariableOp(resource=self.resource_handle, value=item_columns(self._models))

    def __tf_tensor__(self, dtype: tf.DType | None = None, name: str | None = None) -> tf.Tensor:
        vectors = tf.raw_ops.ReadVariableOp(resource=self.resource_handle, dtype=tf.float32)
        return tf.ensure_shape(vectors, self._shape)


def reference_folder(model_path: str) -> str:
    """Where the float32 form of a model stands, beside its own folder: what the gate compares it with."""
    return f"{model_path.rstrip('/').rpartition('/')[0]}/{_REFERENCE_FOLDER}"


def narrowed(scorer: Scorer, kind: str) -> Scorer:
    """A scorer over copies of the recommenders whose item tables are float16 or int8."""
    digest = hashlib.sha256(kind.encode())
    models = [_narrowed(model, kind) for model in scorer.models]
    for model in models:
        for part in (part for name in _TABLES if hasattr(model, name) for part in getattr(model, name).variables):
            digest.update(part.numpy().tobytes())
    vectors = LoadedVectors(models, f"item_vectors_{digest.hexdigest()}")
    return Scorer(models, scorer.lookback, scorer.hybrid, vectors, scorer.vote)


def _narrowed(model: Recommender, kind: str) -> Recommender:
    copy: Recommender = Recommender.from_config(model.get_config())
    copy.build()
    copy.set_weights(model.get_weights())
    for name in _TABLES:
        if hasattr(copy, name):
            rows = NarrowRows(getattr(copy, name).numpy(), kind)
            delattr(copy, name)
            setattr(copy, name, rows)
    return copy
