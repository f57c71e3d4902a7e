"""Without this, the recommender over gRPC could answer otherwise than the exported model does when called directly.

The model is the real one: trained by run_fn on Transform's output, which is deleted before it is served.
"""

import json
import shutil
import urllib.request

import grpc
import numpy as np
import pytest
import recommender_runs
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from nextclick.serving import server
from nextclick.serving.client import Client

ITEM = st.sampled_from(["never seen", *(f"item {number}" for number in range(recommender_runs.ITEMS))])


@pytest.fixture(scope="module")
def exported():
    return recommender_runs.exported()


@pytest.fixture(scope="module")
def served(exported, tmp_path_factory):
    base = tmp_path_factory.mktemp("serving") / "nextclick"
    shutil.copytree(exported.folder, base / "1")
    with server.running("--model", str(base), "--server", "local", "--rest-port", "0") as facts:
        yield facts


@pytest.fixture(scope="module")
def address(served):
    return served["grpc"]


@pytest.fixture(scope="module")
def rest(served):
    return served["rest"]


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


@settings(max_examples=25, deadline=None)
@given(
    session=st.lists(ITEM, max_size=8),
    k=st.integers(1, 40),
    exclude=st.lists(ITEM, max_size=30),
    allow=st.none() | st.lists(ITEM, min_size=1, max_size=30),
    candidates=st.none() | st.lists(ITEM, min_size=1, max_size=30),
)
def test_client_answers_the_ranking_of_what_is_left(address, session, k, exclude, allow, candidates):
    """Any k, exclusions, allow list and candidates over gRPC, against the model's scores of all items."""
    with Client(address, timeout_seconds=60) as client:
        everything = client.predict(session, k=recommender_runs.ITEMS)
        answer = client.predict(session, k=k, exclude=exclude, allow=allow, candidates=candidates)
    scores = dict(zip(everything.items, everything.scores, strict=True))
    left = [
        item
        for item in everything.items
        if item not in exclude and all(only is None or item in only for only in (allow, candidates))
    ]
    assert len(answer.items) == min(k, len(left))
    assert set(answer.items) <= set(left)
    found = np.array([scores[item] for item in answer.items])
    np.testing.assert_allclose(found, sorted((scores[item] for item in left), reverse=True)[:k], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(answer.scores, found, rtol=1e-4, atol=1e-5)


def test_rest_takes_the_lists_by_name(address, rest):
    body = {
        "signature_name": "recommend",
        "instances": [{"item_ids": ["item 3"], "exclude_item_ids": ["item 4"], "allow_item_ids": ["item 4", "item 9"]}],
    }
    with urllib.request.urlopen(f"http://{rest}/v1/models/nextclick:predict", json.dumps(body).encode()) as answer:
        assert json.load(answer)["predictions"][0]["item_ids"] == ["item 9"] + [""] * 29


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
