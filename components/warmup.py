"""Warm-up requests that TF Serving replays before a model version answers: no caller waits for first-time work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
from tensorflow_serving.apis import model_pb2, predict_pb2, prediction_log_pb2

from nextclick.components import contract

# TF Serving refuses to load a model with more.
MAX_RECORDS = 1000
FILE = "assets.extra/tf_serving_warmup_requests"
BATCH_SIZES = (1, 2, 4, 8, 16, 32)


def write_warmup(
    folder: str,
    model_name: str,
    vocabulary: Sequence[bytes],
    first_item: int,
    lookback: int,
    side_types: Mapping[str, tf.DType] | None = None,
) -> int:
    """Writes the warm-up requests of a SavedModel.

    Args:
      folder: of the SavedModel.
      model_name: that the requests ask for.
      vocabulary: item ids; the requests are sessions of the most popular ones.
      first_item: index of the vocabulary's first item.
      lookback: length of the sessions.
      side_types: further inputs of `contract.SIGNATURE_EVENTS`, by name; none: there is no such signature.

    Returns: number of requests.
    """
    logs = warmup_logs(model_name, vocabulary, first_item, lookback, side_types)
    path = f"{folder}/{FILE}"
    tf.io.gfile.makedirs(path.rpartition("/")[0])
    write_logs(path, logs)
    return len(logs)


def write_logs(path: str, logs: Sequence[Any]) -> None:
    """Writes prediction logs as a TFRecord file. Raises ValueError where TF Serving would refuse them."""
    if len(logs) > MAX_RECORDS:
        raise ValueError(f"TF Serving takes at most {MAX_RECORDS} warm-up requests, received {len(logs)}")
    with tf.io.TFRecordWriter(path) as writer:
        for log in logs:
            writer.write(log.SerializeToString())


def warmup_logs(
    model_name: str,
    vocabulary: Sequence[bytes],
    first_item: int,
    lookback: int,
    side_types: Mapping[str, tf.DType] | None = None,
) -> list[Any]:
    """A PredictionLog for each signature that callers use and each batch size."""
    places = [place % len(vocabulary) for place in range(lookback)]
    ids = [vocabulary[place] for place in places]
    session = tf.train.Example(
        features=tf.train.Features(
            feature={contract.ITEM_IDS: tf.train.Feature(bytes_list=tf.train.BytesList(value=ids))}
        )
    ).SerializeToString()
    listed = [vocabulary[0]] + [b""] * (contract.LIST_WIDTHS[0] - 1)
    inputs: dict[str, dict[str, Any]] = {
        contract.SIGNATURE_SERVING: {contract.INPUT_ITEM_IDS: ids},
        contract.SIGNATURE_INDICES: {contract.INPUT_ITEM_INDICES: [first_item + place for place in places]},
        contract.SIGNATURE_EXAMPLES: {contract.INPUT_EXAMPLES: session},
        contract.SIGNATURE_RECOMMEND: {
            contract.INPUT_ITEM_IDS: ids,
            contract.INPUT_EXCLUDE: listed,
            contract.INPUT_ALLOW: listed,
        },
        contract.SIGNATURE_RANK: {contract.INPUT_ITEM_IDS: ids, contract.INPUT_CANDIDATES: listed},
    }
    if side_types:
        unknown = {name: [b"" if kind == tf.string else 0] * lookback for name, kind in side_types.items()}
        inputs[contract.SIGNATURE_EVENTS] = {contract.INPUT_ITEM_IDS: ids, **unknown}
    return [
        _log(model_name, signature, {name: tf.constant([row] * size, _dtype(row)) for name, row in rows.items()})
        for size in BATCH_SIZES
        for signature, rows in inputs.items()
    ]


def _dtype(row: Any) -> tf.DType:
    return tf.int64 if isinstance(row, list) and isinstance(row[0], int) else tf.string


def _log(model_name: str, signature: str, inputs: dict[str, tf.Tensor]) -> Any:
    request = predict_pb2.PredictRequest(
        model_spec=model_pb2.ModelSpec(name=model_name, signature_name=signature),
        inputs={name: tf.make_tensor_proto(values) for name, values in inputs.items()},
    )
    return prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
