"""Without this, the REST API could read or write other JSON than TensorFlow Serving's, or hang on a bad client."""

import asyncio
import base64
import http.client
import json
import re
import socket

import pytest
import tiny_models

from nextclick.serving import model_config, server
from nextclick.serving.admission import Admission
from nextclick.serving.http import Request
from nextclick.serving.metrics import Metrics
from nextclick.serving.models import Models
from nextclick.serving.rest import Rest
from nextclick.serving.services import Predictor, Runner


@pytest.fixture(scope="module")
def facts(tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    base = root / "serving" / "tiny"
    base.mkdir(parents=True)
    tiny_models.save(base / "1")
    tiny_models.save(base / "2", shift=2)
    text = """model_config_list { config { name: "tiny" base_path: "tiny" model_platform: "tensorflow"
        model_version_policy { all {} } version_labels { key: "stable" value: 1 } } }"""
    (root / "serving" / "models.config").write_text(text, encoding="utf-8")
    with server.running("--root", str(root), "--server", "local", "--playground") as facts:
        yield facts


@pytest.fixture
def connection(facts):
    host, port = facts["rest"].split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=30)
    yield connection
    connection.close()


def ask(connection, method, path, body=None, headers=None):
    """Status and parsed JSON."""
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    connection.request(method, path, data, headers or {})
    response = connection.getresponse()
    return response.status, json.loads(response.read())


def predict(connection, body, path="/v1/models/tiny:predict"):
    return ask(connection, "POST", path, body)


def row(session, shift, k=10):
    items, scores = tiny_models.expected(session, shift, k)
    return {"item_ids": list(items), "scores": list(scores)}


def test_row_format(connection):
    status, answer = predict(connection, {"instances": [["a", "b"], ["zz", ""]]})
    assert (status, answer) == (200, {"predictions": [row(["a", "b"], 2), row([], 2)]})


def test_row_format_by_name_and_signature(connection):
    body = {"signature_name": "predict_indices", "instances": [{"item_indices": [1, 2]}, {"item_indices": [0, 0]}]}
    status, answer = predict(connection, body)
    assert status == 200
    assert [prediction["item_indices"][:3] for prediction in answer["predictions"]] == [[4, 3, 5], [1, 2, 3]]


def test_columnar_format(connection):
    for inputs in ({"item_ids": [["a"], ["c"]]}, [["a"], ["c"]]):
        status, answer = predict(connection, {"inputs": inputs})
        rows = [row(["a"], 2), row(["c"], 2)]
        assert (status, answer) == (
            200,
            {"outputs": {name: [r[name] for r in rows] for name in ("item_ids", "scores")}},
        )


def test_a_single_output_has_no_name(connection):
    body = {"signature_name": "encode", "instances": [["a", "b"]]}
    assert predict(connection, body) == (200, {"predictions": [[1, 2, 0, 0]]})


def test_bytes_as_base64(connection):
    example = b"\n\x10\n\x0e\n\x08item_ids\x12\x02\n\x00"
    value = {"b64": base64.b64encode(example).decode()}
    status, answer = predict(connection, {"signature_name": "predict_examples", "instances": [value]})
    assert (status, answer) == (200, {"predictions": [row([], 2)]})


@pytest.mark.parametrize(("path", "shift"), [("/versions/1", 1), ("/versions/2", 2), ("/labels/stable", 1), ("", 2)])
def test_version_and_label(connection, path, shift):
    status, answer = predict(connection, {"instances": [["a"]]}, f"/v1/models/tiny{path}:predict")
    assert (status, answer) == (200, {"predictions": [row(["a"], shift)]})


def test_status(connection):
    good = {"error_code": "OK", "error_message": ""}
    entries = [{"version": version, "state": "AVAILABLE", "status": good} for version in ("2", "1")]
    assert ask(connection, "GET", "/v1/models/tiny") == (200, {"model_version_status": entries})
    assert ask(connection, "GET", "/v1/models/tiny/labels/stable") == (200, {"model_version_status": entries[1:]})
    assert ask(connection, "GET", "/v1/models/tiny/versions/2") == (200, {"model_version_status": entries[:1]})


def test_metadata(connection):
    status, answer = ask(connection, "GET", "/v1/models/tiny/metadata")
    assert status == 200
    assert answer["model_spec"] == {"name": "tiny", "signature_name": "", "version": "2"}
    signature = answer["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["inputs"]["item_ids"]["dtype"] == "DT_STRING"


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"{", 400, "the body is not JSON"),
        (b"[" * 100_000, 400, "the body is not JSON"),
        (b"[1]", 400, "must be a JSON object"),
        ({}, 400, "either instances or inputs"),
        ({"instances": [["a"]], "inputs": [["a"]]}, 400, "either instances or inputs"),
        ({"instances": []}, 400, "at least one entry"),
        ({"instances": "a"}, 400, "must be a list"),
        ({"instances": [["a"], ["a", "b"]]}, 400, "rows must have the same length: pad them"),
        ({"instances": [["a"], "b"]}, 400, "rows must have the same length"),
        ({"instances": [["a", ["b"]]]}, 400, "rows must have the same length"),
        ({"instances": [[1]]}, 400, "input item_ids takes texts, received 1"),
        ({"instances": [[{"b64": "?"}]]}, 400, "input item_ids: "),
        ({"instances": [{"items": ["a"]}]}, 400, "the signature has no input items; it has: item_ids"),
        ({"instances": [{"item_ids": ["a"]}, {"items": ["a"]}]}, 400, "must have the same names"),
        ({"instances": ["a"]}, 400, "must have shape"),
        ({"instances": [["a"] * 1001]}, 400, "at most 1000"),
        ({"signature_name": 3, "instances": [["a"]]}, 400, "signature_name must be a text"),
        ({"signature_name": "no", "instances": [["a"]]}, 400, 'Serving signature name: "no" not found'),
        ({"signature_name": "predict_indices", "instances": [["a"]]}, 400, 'takes int64, received "a"'),
        ({"signature_name": "predict_indices", "instances": [[True]]}, 400, "takes int64, received true"),
        ({"signature_name": "predict_indices", "instances": [[2**63]]}, 400, "a number that is no int64"),
    ],
)
def test_wrong_bodies_get_a_sentence(connection, body, status, words):
    found, answer = predict(connection, body)
    assert found == status
    assert words in answer["error"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v1/models/nobody:predict", 404),
        ("POST", "/v1/models/tiny/versions/9:predict", 404),
        ("POST", "/v1/models/tiny/labels/blue:predict", 400),
        ("GET", "/v1/models/nobody", 404),
        ("GET", "/v1/models/tiny:predict", 400),
        ("POST", "/v1/models/tiny:classify", 400),
        ("DELETE", "/v1/models/tiny", 400),
        ("GET", "/v1/models/tiny/versions/99999999999999999999", 400),
        ("GET", "/", 404),
        ("GET", "/playground/../rest.py", 404),
        ("GET", "/playground/%2e%2e/rest.py", 404),
    ],
)
def test_wrong_paths_and_methods(connection, method, path, status):
    found, answer = ask(connection, method, path, {"instances": [["a"]]} if method == "POST" else None)
    assert found == status
    assert answer["error"]


def test_one_connection_takes_many_requests_after_errors_too(connection):
    for _ in range(3):
        assert predict(connection, {"instances": [["a"]]})[0] == 200
        assert predict(connection, b"{")[0] == 400


def test_chunked_body_and_expect_100_continue(facts):
    host, port = facts["rest"].split(":")
    body = json.dumps({"instances": [["a"]]}).encode()
    head = b"POST /v1/models/tiny:predict HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    with socket.create_connection((host, int(port)), timeout=30) as client:
        client.sendall(head + b"Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n")
        assert client.recv(1000).startswith(b"HTTP/1.1 100")
        for part in (body[:7], body[7:]):
            client.sendall(b"%x\r\n%s\r\n" % (len(part), part))
        client.sendall(b"0\r\n\r\n")
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 200")
    assert json.loads(answer.partition(b"\r\n\r\n")[2]) == {"predictions": [row(["a"], 2)]}


def test_what_is_no_http_is_hung_up_on(facts, connection):
    host, port = facts["rest"].split(":")
    with socket.create_connection((host, int(port)), timeout=30) as client:
        client.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        assert client.recv(1000) == b""
    assert predict(connection, {"instances": [["a"]]})[0] == 200


def test_metrics_under_tensorflow_serving_s_names(connection):
    predict(connection, {"instances": [["a"]]})
    predict(connection, {"instances": [["a"]]}, "/v1/models/made-up:predict")
    connection.request("GET", "/monitoring/prometheus/metrics")
    response = connection.getresponse()
    assert response.headers["content-type"].startswith("text/plain")
    lines = response.read().decode().splitlines()
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert int(values[':tensorflow:serving:request_count{model_name="tiny",status="OK"}']) > 0
    labels = '{model_name="tiny",API="Predict",entrypoint="REST"'
    buckets = [v for k, v in values.items() if k.startswith(f":tensorflow:serving:request_latency_bucket{labels}")]
    assert len(buckets) == 34
    assert buckets[-1] == values[f":tensorflow:serving:request_latency_count{labels}}}"]
    assert [int(value) for value in buckets] == sorted(int(value) for value in buckets)
    assert any(re.match(r':tensorflow:cc:saved_model:load_attempt_count\{.*status="success"\}', key) for key in values)
    assert not any("made-up" in line for line in lines), "callers could fill the memory with names"


def test_playground_is_served(connection):
    connection.request("GET", "/playground/")
    response = connection.getresponse()
    assert response.status == 200
    assert response.headers["content-type"] == "text/html"
    response.read()


def test_the_version_whose_signature_typed_a_request_answers_it(tmp_path):
    """Also where a newer one, which could take other types, is loaded between the two."""
    config = tmp_path / "models.config"
    config.write_text(
        'model_config_list { config { name: "tiny" base_path: "tiny" model_platform: "tensorflow" '
        "model_version_policy { all {} } } }",
        encoding="utf-8",
    )
    (tmp_path / "tiny").mkdir()
    tiny_models.save(tmp_path / "tiny" / "1", shift=1)

    async def ask_once():
        models = Models(model_config.of_file(config), Metrics(), threads=1)

        class Interrupted(Predictor):
            """Lets a newer version come before it answers."""

            async def predict(self, request, entrypoint):
                tiny_models.save(tmp_path / "tiny" / "2", shift=2)
                await models.poll()
                return await super().predict(request, entrypoint)

        runner = Runner(1)
        await models.poll()
        rest = Rest(models, Interrupted(models, runner, Metrics()), Admission(10))
        body = json.dumps({"instances": [["a", "b"]]}).encode()
        answer = await rest.handle(Request("POST", "/v1/models/tiny:predict", body))
        names = models.names()
        runner.close()
        await models.close()
        return names, json.loads(answer.body)

    names, answer = asyncio.run(ask_once())
    assert names == {"tiny": 2}
    assert answer == {"predictions": [row(["a", "b"], 1)]}
