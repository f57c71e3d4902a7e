"""A SavedModel with the documented signatures whose answers can be worked out by hand.

Items are a, b, c, ... (`ITEMS`). The score of item j after a session that ends with item i is -|j - i - shift|: the
best next item is the one `shift` places further on. A session without a known item gets the first items.
"""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf
from tensorflow_serving.apis import model_pb2, predict_pb2, prediction_log_pb2

ITEMS = tuple("abcdefghijklmnop")
LOOKBACK = 4
TOP_K = 10
WARM_UP = "assets.extra/tf_serving_warmup_requests"


class TinyModel(tf.Module):
    """The signatures of INTERFACE.md, over a table instead of a network."""

    def __init__(self, shift: int, lookback: int = LOOKBACK) -> None:
        super().__init__()
        self.shift, self.lookback = tf.Variable(shift), lookback
        self.items = tf.constant(ITEMS)
        places = tf.lookup.KeyValueTensorInitializer(self.items, tf.range(1, len(ITEMS) + 1, dtype=tf.int64))
        self.table = tf.lookup.StaticHashTable(places, 0)

    def functions(self):
        ids = tf.TensorSpec([None, None], tf.string, name="item_ids")
        indices = tf.TensorSpec([None, None], tf.int64, name="item_indices")
        examples = tf.TensorSpec([None], tf.string, name="examples")
        return {
            "serving_default": tf.function(self.predict_ids).get_concrete_function(ids),
            "predict_indices": tf.function(self.predict_indices).get_concrete_function(indices),
            "predict_examples": tf.function(self.predict_examples).get_concrete_function(examples),
            "encode": tf.function(self.encode).get_concrete_function(ids),
        }

    def predict_ids(self, item_ids):
        places, scores = self._top(self.table.lookup(item_ids))
        return {"item_ids": tf.gather(self.items, places), "scores": scores}

    def predict_indices(self, item_indices):
        places, scores = self._top(item_indices)
        return {"item_indices": tf.cast(places, tf.int64) + 1, "scores": scores}

    def predict_examples(self, examples):
        parsed = tf.io.parse_example(examples, {"item_ids": tf.io.VarLenFeature(tf.string)})
        return self.predict_ids(tf.sparse.to_dense(parsed["item_ids"], ""))

    def encode(self, item_ids):
        length = tf.reduce_sum(tf.cast(item_ids != "", tf.int32), axis=1)
        sessions = tf.RaggedTensor.from_tensor(self.table.lookup(item_ids), lengths=length)[:, -self.lookback :]
        return {"item_indices": sessions.to_tensor(shape=[None, self.lookback])}

    def _top(self, indices):
        """Places of the items with the greatest scores, after the last known item of each row."""
        batch, width = tf.shape(indices)[0], tf.shape(indices)[1]
        padded = tf.concat([indices, tf.zeros([batch, 1], tf.int64)], axis=1)  # one more place, for "none is known"
        known = tf.where(padded > 0, tf.range(width + 1), -1)
        last = tf.reduce_max(known, axis=1)
        item = tf.gather(padded, tf.where(last < 0, width, last), axis=1, batch_dims=1)
        wanted = tf.where(item > 0, tf.cast(item, tf.int32) - 1 + self.shift, 0)
        distance = tf.abs(tf.range(len(ITEMS))[tf.newaxis, :] - wanted[:, tf.newaxis])
        scores, places = tf.math.top_k(-tf.cast(distance, tf.float32), TOP_K)
        return places, scores


def save(folder: Path, shift: int = 1, *, lookback: int = LOOKBACK, warm_up: bool = True) -> Path:
    """Writes the model as a version folder, aside first and then renamed, as a pusher does."""
    model = TinyModel(shift, lookback)
    aside = folder.with_name(f".incoming-{folder.name}")
    tf.saved_model.save(model, str(aside), signatures=model.functions())
    if warm_up:
        write_warm_up(aside, [[["a", "b"]], [["a", "b"], ["c", "d"]]])
    aside.rename(folder)
    return folder


def write_warm_up(folder: Path, batches, signature: str = "serving_default", name: str = "item_ids") -> None:
    """A warm-up request for each batch of sessions."""
    path = folder / WARM_UP
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for batch in batches:
            request = predict_pb2.PredictRequest(
                model_spec=model_pb2.ModelSpec(name="tiny", signature_name=signature),
                inputs={name: tf.make_tensor_proto(batch, tf.string)},
            )
            log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
            writer.write(log.SerializeToString())


def expected(session, shift: int = 1, k: int = TOP_K):
    """Items and scores of a session, worked out the plain way; ties go to the earlier item."""
    known = [ITEMS.index(item) for item in session if item in ITEMS]
    wanted = known[-1] + shift if known else 0
    ranked = sorted(range(len(ITEMS)), key=lambda place: (abs(place - wanted), place))[:k]
    return tuple(ITEMS[place] for place in ranked), tuple(-float(abs(place - wanted)) for place in ranked)
