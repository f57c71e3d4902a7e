"""Without this, the local server could answer with other items than the model, with half a model, with statuses that
TensorFlow Serving does not give, or drop requests when a model is replaced or the server is stopped.
"""

import shutil
import signal
import threading
import time

import grpc
import pytest
import tensorflow as tf
import tiny_models
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow.core.framework import tensor_pb2
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from nextclick.serving import server
from nextclick.serving.client import Client

SESSIONS = [["a"], ["c", "b"], [], ["unknown"], ["a", "unknown"], ["p", "a", "b", "c", "d", "e"], ["ü"]]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Three models: tiny in two versions, alone in one, half in one that loads and one that does not."""
    root = tmp_path_factory.mktemp("root")
    for name in ("tiny", "alone", "half"):
        (root / "serving" / name).mkdir(parents=True)
        tiny_models.save(root / "serving" / name / "1")
    tiny_models.save(root / "serving" / "tiny" / "2", shift=2)
    corrupt(shutil.copytree(root / "serving" / "half" / "1", root / "serving" / "half" / "5"))
    return root


@pytest.fixture(scope="module")
def served(root):
    """What the server of `root` says of itself."""
    with server.running("--root", str(root), "--server", "local", "--poll-seconds", "0.1") as facts:
        yield facts


@pytest.fixture(scope="module")
def channel(served):
    with grpc.insecure_channel(served["grpc"]) as channel:
        yield channel


@pytest.fixture(scope="module")
def predictions(channel):
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


@pytest.fixture(scope="module")
def statuses(channel):
    return model_service_pb2_grpc.ModelServiceStub(channel)


def corrupt(version):
    """Cuts the variables of a version in half."""
    (data,) = (version / "variables").glob("variables.data*")
    data.write_bytes(data.read_bytes()[: data.stat().st_size // 2])
    return version


def request(model="tiny", signature="", version=None, label=None, **inputs):
    made = predict_pb2.PredictRequest()
    made.model_spec.name = model
    made.model_spec.signature_name = signature
    if version is not None:
        made.model_spec.version.value = version
    if label is not None:
        made.model_spec.version_label = label
    for name, value in inputs.items():
        made.inputs[name].CopyFrom(value if isinstance(value, tensor_pb2.TensorProto) else tf.make_tensor_proto(value))
    return made


def test_it_says_what_it_serves(served):
    assert served["server"] == "local"
    assert served["models"] == {"alone": 1, "half": 1, "tiny": 2}


@pytest.mark.parametrize("k", [1, 3, 10])
def test_client_gets_the_items_worked_out_by_hand(served, k):
    with Client(served["grpc"], "tiny", timeout_seconds=20) as client:
        answers = client.predict_batch(SESSIONS, k=k)
    assert [(answer.items, answer.scores) for answer in answers] == [tiny_models.expected(s, 2, k) for s in SESSIONS]
    assert {answer.model_version for answer in answers} == {2}


def test_every_signature_answers_as_when_called_directly(root, predictions):
    model = tf.saved_model.load(str(root / "serving" / "tiny" / "2"))
    example = tf.train.Example(
        features=tf.train.Features(feature={"item_ids": tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"c"]))})
    ).SerializeToString()
    inputs = {
        "serving_default": {"item_ids": [["a", "b"], ["zz", ""]]},
        "predict_indices": {"item_indices": tf.constant([[3, 4, 0], [0, 0, 0]], tf.int64)},
        "predict_examples": {"examples": [example, example]},
        "encode": {"item_ids": [["a", "b", "c", "d", "e"]]},
    }
    assert set(model.signatures) == set(inputs)
    for name, values in inputs.items():
        direct = model.signatures[name](**{key: tf.constant(value) for key, value in values.items()})
        response = predictions.Predict(request(signature=name, **values), timeout=20)
        assert response.model_spec.signature_name == name
        assert response.model_spec.version.value == 2
        assert set(response.outputs) == set(direct)
        for output, tensor in direct.items():
            assert tf.make_ndarray(response.outputs[output]).tolist() == tensor.numpy().tolist()


def test_output_filter_is_honoured(predictions):
    made = request(item_ids=[["a"]])
    made.output_filter.append("scores")
    assert set(predictions.Predict(made, timeout=20).outputs) == {"scores"}


def test_a_version_is_answered_by_itself_alone(predictions):
    old = request("half", version=1, item_ids=[["a"]])
    assert predictions.Predict(old, timeout=20).model_spec.version.value == 1


def test_short_value_lists_are_filled_with_their_last_value(predictions):
    """TensorFlow's rule for TensorProto, which clients use for constant tensors."""
    tensor = tf.make_tensor_proto([["a", "b"]])
    tensor.tensor_shape.dim[1].size = 3
    filled = predictions.Predict(request(item_ids=tensor), timeout=20)
    plain = predictions.Predict(request(item_ids=[["a", "b", "b"]]), timeout=20)
    assert filled == plain


def test_metadata_holds_the_signatures_of_the_saved_model(root, predictions):
    made = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    made.model_spec.name = "tiny"
    response = predictions.GetModelMetadata(made, timeout=20)
    found = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(found)
    assert response.model_spec.version.value == 2
    saved = saved_model_pb2.SavedModel.FromString((root / "serving" / "tiny" / "2" / "saved_model.pb").read_bytes())
    written = saved.meta_graphs[0].signature_def
    names = ["encode", "predict_examples", "predict_indices", "serving_default"]
    assert sorted(found.signature_def) == names
    assert [found.signature_def[name] for name in names] == [written[name] for name in names]


def status(statuses, model, version=None):
    made = get_model_status_pb2.GetModelStatusRequest()
    made.model_spec.name = model
    if version is not None:
        made.model_spec.version.value = version
    response = statuses.GetModelStatus(made, timeout=20)
    names = get_model_status_pb2.ModelVersionStatus.State
    return {e.version: (names.Name(e.state), e.status.error_message) for e in response.model_version_status}


def test_status_tells_the_state_of_each_version_and_why_one_was_refused(statuses):
    assert status(statuses, "tiny") == {2: ("AVAILABLE", "")}
    half = status(statuses, "half")
    assert half[1] == ("AVAILABLE", "")
    assert half[5][0] == "END"
    assert "cannot load version 5 of model half" in half[5][1]
    assert status(statuses, "half", 1) == {1: ("AVAILABLE", "")}


def code_of(method, made):
    with pytest.raises(grpc.RpcError) as caught:
        method(made, timeout=20)
    return caught.value.code().name, caught.value.details()


@pytest.mark.parametrize(
    ("made", "code", "words"),
    [
        (request("nobody", item_ids=[["a"]]), "NOT_FOUND", "Servable not found for request: Latest(nobody)"),
        (request("", item_ids=[["a"]]), "INVALID_ARGUMENT", "ModelSpec has no name"),
        (request(version=9, item_ids=[["a"]]), "NOT_FOUND", "Servable not found for request: Specific(tiny, 9)"),
        (request("half", version=5, item_ids=[["a"]]), "NOT_FOUND", "Specific(half, 5)"),
        (request(label="blue", item_ids=[["a"]]), "INVALID_ARGUMENT", "Unrecognized servable version label: blue"),
        (request(signature="nothing", item_ids=[["a"]]), "FAILED_PRECONDITION", 'signature key "nothing" not found'),
        (request(), "INVALID_ARGUMENT", "missing but required: {item_ids}"),
        (request(item_ids=[["a"]], more=[1]), "INVALID_ARGUMENT", "sent extra: {more}"),
        (request(items=[["a"]]), "INVALID_ARGUMENT", "sent extra: {items}, missing but required: {item_ids}"),
        (request(item_ids=[[1]]), "INVALID_ARGUMENT", "input item_ids must be string, received int32"),
        (request(item_ids=["a"]), "INVALID_ARGUMENT", "must have shape [-1, -1] (-1: any size), received [1]"),
        (request(item_ids="a"), "INVALID_ARGUMENT", "must have shape [-1, -1] (-1: any size), received []"),
        (request(item_ids=[[["a"]]]), "INVALID_ARGUMENT", "received [1, 1, 1]"),
        (request(item_ids=[["a"]] * 1025), "INVALID_ARGUMENT", "has 1025 rows, at most 1024"),
        (request(item_ids=[["a"] * 1001]), "INVALID_ARGUMENT", "has 1001 items a row, at most 1000"),
        (request(item_ids=[["a" * 257]]), "INVALID_ARGUMENT", "an id of more than 256 bytes"),
    ],
    ids=lambda value: value if isinstance(value, str) and " " not in value else "",
)
def test_wrong_requests_get_their_status_and_a_sentence(predictions, made, code, words):
    found, details = code_of(predictions.Predict, made)
    assert found == code
    assert words in details


def test_wrong_output_filters(predictions):
    for wanted, words in ((["nothing"], "alias not found in signature: nothing"), (["scores"] * 2, "duplicate output")):
        made = request(item_ids=[["a"]])
        made.output_filter.extend(wanted)
        found, details = code_of(predictions.Predict, made)
        assert (found, words in details) == ("INVALID_ARGUMENT", True)


def test_a_shape_that_asks_for_gigabytes_is_refused_unread(predictions):
    tensor = tf.make_tensor_proto([[1]], tf.int64)
    for sizes in ((1024, 2**40), (-1, 1)):
        for dim, size in zip(tensor.tensor_shape.dim, sizes, strict=True):
            dim.size = size
        assert (
            code_of(predictions.Predict, request(signature="predict_indices", item_indices=tensor))[0]
            == "INVALID_ARGUMENT"
        )


def test_exactly_at_the_limits_it_answers(predictions):
    response = predictions.Predict(request(item_ids=[["a" * 256] * 1000] * 2), timeout=20)
    assert [dim.size for dim in response.outputs["scores"].tensor_shape.dim] == [2, 10]
    response = predictions.Predict(request(item_ids=[["a"]] * 1024), timeout=20)
    assert [dim.size for dim in response.outputs["scores"].tensor_shape.dim] == [1024, 10]


def test_an_error_inside_the_graph_is_the_caller_s_status(predictions):
    assert (
        code_of(predictions.Predict, request(signature="predict_examples", examples=["no example"]))[0]
        == "INVALID_ARGUMENT"
    )


def test_wrong_metadata_and_status_requests(predictions, statuses):
    made = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    assert code_of(predictions.GetModelMetadata, made) == ("INVALID_ARGUMENT", "Missing ModelSpec")
    made.model_spec.name = "nobody"
    assert code_of(predictions.GetModelMetadata, made)[0] == "NOT_FOUND"
    made.model_spec.name = "tiny"
    made.metadata_field.append("weights")
    assert code_of(predictions.GetModelMetadata, made) == (
        "INVALID_ARGUMENT",
        "Metadata field weights is not supported",
    )
    del made.metadata_field[:]
    assert "at least one metadata_field" in code_of(predictions.GetModelMetadata, made)[1]
    assert code_of(statuses.GetModelStatus, get_model_status_pb2.GetModelStatusRequest())[1] == "Missing ModelSpec"
    asked = get_model_status_pb2.GetModelStatusRequest()
    asked.model_spec.name = "nobody"
    assert code_of(statuses.GetModelStatus, asked)[0] == "NOT_FOUND"


def test_methods_that_are_not_offered_say_so(predictions):
    found, details = code_of(predictions.Classify, classification_pb2.ClassificationRequest())
    assert found == "UNIMPLEMENTED"
    assert "use Predict" in details


def test_health_of_the_server_and_of_each_model(channel):
    stub = health_pb2_grpc.HealthStub(channel)
    for name in ("", "tiny", "half"):
        answer = stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=20)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    assert code_of(stub.Check, health_pb2.HealthCheckRequest(service="nobody"))[0] == "NOT_FOUND"


def test_versions_are_replaced_under_load_without_a_lost_request(root, served, statuses):
    """Versions 2 and 4 are good; 3 is cut in half and 5 lacks its graph: neither may be seen by a caller."""
    base = root / "serving" / "alone"
    seen, failures, done = [], [], threading.Event()

    def ask():
        with Client(served["grpc"], "alone", timeout_seconds=20) as client:
            while not done.is_set():
                try:
                    answer = client.predict(["a"], k=3)
                except Exception as error:  # noqa: BLE001
                    failures.append(error)
                    return
                seen.append((answer.model_version, answer.items, answer.scores))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        tiny_models.save(base / "2", shift=2)
        wait_until(lambda: status(statuses, "alone").get(2) == ("AVAILABLE", ""))
        corrupt(shutil.copytree(base / "2", base / ".3")).rename(base / "3")
        wait_until(lambda: "cannot load version 3" in status(statuses, "alone").get(3, ("", ""))[1])
        tiny_models.save(base / "4", shift=4)
        wait_until(lambda: status(statuses, "alone").get(4) == ("AVAILABLE", ""))
        (base / "5").mkdir()
        wait_until(lambda: "cannot load version 5" in status(statuses, "alone").get(5, ("", ""))[1])
        wait_until(lambda: seen and seen[-1][0] == 4)
    finally:
        done.set()
        for thread in threads:
            thread.join(timeout=60)
    assert failures == []
    assert {version for version, _, _ in seen} == {1, 2, 4}
    assert all((items, scores) == tiny_models.expected(["a"], version, 3) for version, items, scores in seen)
    assert status(statuses, "alone")[1] == ("END", "")


def test_a_version_with_another_signature_or_a_failing_warm_up_is_refused_until_repaired(root, statuses):
    base = root / "serving" / "half"
    tiny_models.save(base / "6", warm_up=False)
    tiny_models.write_warm_up(base / "6", [[["a"]]], signature="gone")
    wait_until(lambda: "warm-up request 0 of version 6" in status(statuses, "half").get(6, ("", ""))[1])
    module = tf.Module()
    module.f = tf.function(lambda x: {"y": x}, input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    tf.saved_model.save(module, str(base / ".7"), signatures={"serving_default": module.f.get_concrete_function()})
    (base / ".7").rename(base / "7")
    wait_until(lambda: "has no DT_STRING tensor item_ids" in status(statuses, "half").get(7, ("", ""))[1])
    assert status(statuses, "half")[1] == ("AVAILABLE", "")
    tiny_models.write_warm_up(base / "6", [[["a"]]])
    wait_until(lambda: status(statuses, "half").get(6) == ("AVAILABLE", ""))


def wait_until(condition, seconds=60):
    """Waits for something that the server does in its own time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def test_sigterm_answers_what_was_accepted_and_exits_0(root):
    """A storm of requests, one SIGTERM: each request is answered or was never accepted (UNAVAILABLE)."""
    answered, refused, wrong = [], [], []

    def ask(address):
        with grpc.insecure_channel(address) as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            while not refused:
                try:
                    answered.append(stub.Predict(request(item_ids=[["a"]] * 50), timeout=20))
                except grpc.RpcError as error:
                    (refused if error.code() is grpc.StatusCode.UNAVAILABLE else wrong).append(error)
                    return

    process, facts = server.start("--model", str(root / "serving" / "tiny"), "--server", "local")
    threads = [threading.Thread(target=ask, args=(facts["grpc"],)) for _ in range(4)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(answered) > 20)
    process.send_signal(signal.SIGTERM)
    for thread in threads:
        thread.join(timeout=60)
    assert process.wait(timeout=60) == 0
    assert wrong == []
    assert refused
    assert all(len(response.outputs["item_ids"].string_val) == 500 for response in answered)
