"""Warm-up requests: one that fails keeps TF Serving from loading the model at all."""

import pytest
import recommender_runs as runs
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from nextclick.components import warmup


def logs(folder):
    path = f"{folder}/assets.extra/tf_serving_warmup_requests"
    return [prediction_log_pb2.PredictionLog.FromString(record.numpy()) for record in tf.data.TFRecordDataset(path)]


def test_every_request_replays_through_its_signature():
    exported = runs.exported()
    asked = set()
    for log in logs(exported.folder):
        request = log.predict_log.request
        assert request.model_spec.name == "nextclick"
        inputs = {name: tf.constant(tf.make_ndarray(value)) for name, value in request.inputs.items()}
        answer = exported.signature(request.model_spec.signature_name)(**inputs)
        (rows,) = {values.shape[0] for values in inputs.values()}
        assert answer["scores"].shape[0] == rows
        asked.add((request.model_spec.signature_name, *(tuple(inputs[name].shape) for name in sorted(inputs))))
    sizes = (1, 2, 4, 8, 16, 32)
    assert asked == {
        *(("serving_default", (size, runs.LOOKBACK)) for size in sizes),
        *(("predict_indices", (size, runs.LOOKBACK)) for size in sizes),
        *(("predict_examples", (size,)) for size in sizes),
        *(("recommend", (size, 8), (size, 8), (size, runs.LOOKBACK)) for size in sizes),
        *(("rank_candidates", (size, 8), (size, runs.LOOKBACK)) for size in sizes),
    }


def test_a_vocabulary_shorter_than_the_look_back_is_repeated():
    found = warmup.warmup_logs("m", [b"a", b"b"], 2, 5)
    ids, indices = (tf.make_ndarray(next(iter(log.predict_log.request.inputs.values()))).tolist() for log in found[:2])
    assert ids == [[b"a", b"b", b"a", b"b", b"a"]]
    assert indices == [[2, 3, 2, 3, 2]]


def test_more_requests_than_tf_serving_takes_are_not_written(tmp_path):
    log = prediction_log_pb2.PredictionLog()
    warmup.write_logs(str(tmp_path / "file"), [log] * 1000)
    with pytest.raises(ValueError, match="at most 1000 warm-up requests, received 1001"):
        warmup.write_logs(str(tmp_path / "more"), [log] * 1001)
    assert not (tmp_path / "more").exists()
