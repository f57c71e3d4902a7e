"""Without this, the recommender over gRPC could answer otherwise than the exported model does when called directly.

The model is the real one: trained by run_fn on Transform's output, which is deleted before it is served.
"""

import shutil

import grpc
import numpy as np
import pytest
import recommender_runs
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from nextclick.serving import server
from nextclick.serving.client import Client


@pytest.fixture(scope="module")
def exported():
    return recommender_runs.exported()


@pytest.fixture(scope="module")
def address(exported, tmp_path_factory):
    base = tmp_path_factory.mktemp("serving") / "nextclick"
    shutil.copytree(exported.folder, base / "1")
    with server.running("--model", str(base), "--server", "local") as facts:
        yield facts["grpc"]


def sessions_of(exported):
    return [[], ["never seen"], *([item.decode() for item in session] for session in exported.validation)]


def test_client_gets_what_the_signature_answers_when_called_directly(exported, address):
    """In one batch over gRPC, padded to the look-back, against one session at a time, unpadded and untrimmed."""
    sessions = sessions_of(exported)
    with Client(address, timeout_seconds=60) as client:
        answers = client.predict_batch(sessions, k=1000)
    for session, answer in zip(sessions, answers, strict=True):
        direct = exported.signature("serving_default")(item_ids=tf.constant([session], tf.string, [1, len(session)]))
        direct_scores = direct["scores"].numpy()[0]
        assert len(answer.items) == recommender_runs.ITEMS
        np.testing.assert_allclose(answer.scores, direct_scores, rtol=1e-4, atol=1e-5)
        served = dict(zip(answer.items, answer.scores, strict=True))
        for item, score in zip(direct["item_ids"].numpy()[0], direct_scores, strict=True):
            assert served[item.decode()] == pytest.approx(float(score), rel=1e-4, abs=1e-5)


def test_model_tells_its_lookback_and_shows_what_it_sees(exported, address):
    with Client(address, timeout_seconds=60) as client:
        assert client.lookback() == recommender_runs.LOOKBACK
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "nextclick"
    request.model_spec.signature_name = "encode"
    width = max(map(len, exported.validation))
    rows = [session + [b""] * (width - len(session)) for session in exported.validation]
    request.inputs["item_ids"].CopyFrom(tf.make_tensor_proto(rows, tf.string))
    with grpc.insecure_channel(address) as channel:
        response = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request, timeout=60)
    seen = tf.make_ndarray(response.outputs["item_indices"])
    for session, row in zip(exported.validation, seen.tolist(), strict=True):
        newest = exported.transformed[b"\0".join(session)][-recommender_runs.LOOKBACK :]
        assert row == newest + [0] * (recommender_runs.LOOKBACK - len(newest))
