"""Without this, one caller could take the server down for all, or talk to it in clear where TLS is asked for."""

import asyncio
import concurrent.futures
import subprocess

import grpc
import pytest
import tiny_models
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from nextclick.pipeline.errors import ServingError
from nextclick.serving import server
from nextclick.serving.admission import Admission
from nextclick.serving.client import Client, Tls
from nextclick.serving.failures import RequestFailure


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    base = tmp_path_factory.mktemp("models") / "tiny"
    base.mkdir()
    tiny_models.save(base / "1")
    return base


@pytest.fixture(scope="module")
def tls_files(tmp_path_factory):
    """Key and certificate of 127.0.0.1, and an ssl.config with them that asks clients for theirs."""
    folder = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        f"""openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1
            -keyout {key} -out {certificate}""".split(),
        check=True,
        capture_output=True,
        timeout=60,
    )
    texts = {"server_key": key, "server_cert": certificate, "custom_ca": certificate}
    lines = [f"{name}: {path.read_text(encoding='utf-8')!r}" for name, path in texts.items()]
    (folder / "ssl.config").write_text("\n".join([*lines, "client_verify: true"]), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def facts(model, tls_files):
    with server.running("--model", str(model), "--server", "local", "--ssl", str(tls_files / "ssl.config")) as facts:
        yield facts


@pytest.fixture(scope="module")
def channel(facts, tls_files):
    key, certificate = ((tls_files / name).read_bytes() for name in ("key.pem", "certificate.pem"))
    with grpc.secure_channel(facts["grpc"], grpc.ssl_channel_credentials(certificate, key, certificate)) as channel:
        yield channel


def test_mutual_tls_lets_in_who_has_a_certificate_and_nobody_else(facts, tls_files):
    certificate = str(tls_files / "certificate.pem")
    with Client(facts["grpc"], "tiny", tls=Tls(certificate, certificate, str(tls_files / "key.pem"))) as client:
        assert client.predict(["a"], k=1, timeout_seconds=20).items == ("b",)
    for tls in (None, Tls(certificate)):
        with Client(facts["grpc"], "tiny", tls=tls) as client, pytest.raises(ServingError, match="no server answers"):
            client.predict(["a"], timeout_seconds=0.5)


def test_reflection_lists_the_services(channel):
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    (answer,) = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]), timeout=20)
    names = {service.name for service in answer.list_services_response.service}
    assert names >= {
        "tensorflow.serving.PredictionService",
        "tensorflow.serving.ModelService",
        "grpc.health.v1.Health",
    }
    wanted = reflection_pb2.ServerReflectionRequest(file_containing_symbol="tensorflow.serving.PredictionService")
    (answer,) = stub.ServerReflectionInfo(iter([wanted]), timeout=20)
    assert answer.file_descriptor_response.file_descriptor_proto


def test_a_message_beyond_the_limit_is_refused(channel):
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "x" * (65 * 2**20)
    with pytest.raises(grpc.RpcError) as caught:
        stub.Predict(request, timeout=60)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_deadline_that_has_passed_ends_the_call_and_the_server_lives_on(channel):
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "tiny"
    tensor = request.inputs["item_ids"]
    tensor.dtype = 7
    tensor.tensor_shape.dim.add(size=1000)
    tensor.tensor_shape.dim.add(size=1000)
    tensor.string_val.append(b"a")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        outcomes = [pool.submit(stub.Predict, request, timeout=0.01) for _ in range(8)]
        for outcome in outcomes:
            assert outcome.exception(60).code() is grpc.StatusCode.DEADLINE_EXCEEDED
    del tensor.tensor_shape.dim[:]
    tensor.tensor_shape.dim.add(size=1)
    tensor.tensor_shape.dim.add(size=1)
    assert stub.Predict(request, timeout=60).outputs["item_ids"].string_val[0] == b"b"


def test_calls_beyond_the_limit_are_refused():
    admission = Admission(2)
    with admission.admitted(), admission.admitted():
        with pytest.raises(RequestFailure) as caught, admission.admitted():
            pass
        assert caught.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert admission.under_way == 2
    with admission.admitted():
        pass
    assert admission.under_way == 0


def test_a_stopping_server_waits_for_calls_under_way_and_lets_none_in():
    async def main():
        admission = Admission(2)
        first = admission.admitted()
        first.__enter__()
        closing = asyncio.ensure_future(admission.close(60))
        await asyncio.sleep(0)
        with pytest.raises(RequestFailure) as caught, admission.admitted():
            pass
        assert caught.value.code is grpc.StatusCode.UNAVAILABLE
        assert not closing.done()
        first.__exit__(None, None, None)
        await closing

    asyncio.run(main())
