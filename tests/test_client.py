"""Without this, the client could send what TensorFlow Serving does not take, hang, hammer a server that is down, or
give a caller a stack trace in place of a sentence.
"""

import asyncio
import dataclasses
import itertools
import socket
import subprocess
import sys
import threading
import time
from concurrent import futures

import grpc
import pytest
import recording_server
import tensorflow as tf
from recording_server import METADATA, PREDICT, RecordingServer
from tensorflow.core.framework import tensor_pb2, tensor_shape_pb2, types_pb2
from tensorflow_serving.apis import model_pb2, predict_pb2

from nextclick.pipeline.errors import ConfigError, DataError, ServingError
from nextclick.serving import channel
from nextclick.serving.async_client import AsyncClient
from nextclick.serving.client import Answer, Client, Tls

ANSWER = recording_server.prediction([["x", "y", "z"]], [[3.0, 2.0, 1.0]])


def answering(*predictions, lookback=4):
    return RecordingServer({PREDICT: predictions or [ANSWER], METADATA: [recording_server.metadata(lookback)]})


def blocking(address, sessions, **options):
    """Answers of the blocking client."""
    call = {name: options.pop(name) for name in ("k", "exclude", "allow", "candidates") if name in options}
    with Client(address, "tiny", **options) as client:
        return client.predict_batch(sessions, **call)


def with_asyncio(address, sessions, **options):
    """Answers of the asyncio client."""
    call = {name: options.pop(name) for name in ("k", "exclude", "allow", "candidates") if name in options}

    async def ask():
        async with AsyncClient(address, "tiny", **options) as client:
            return await client.predict_batch(sessions, **call)

    return asyncio.run(ask())


BOTH = pytest.mark.parametrize("ask", [blocking, with_asyncio])


def by_hand(rows, **spec):
    """The request as a reader of TensorFlow Serving's protos would write it."""
    values = [item for row in rows for item in row]
    tensor = tensor_pb2.TensorProto(
        dtype=types_pb2.DT_STRING,
        tensor_shape=tensor_shape_pb2.TensorShapeProto(
            dim=[
                tensor_shape_pb2.TensorShapeProto.Dim(size=len(rows)),
                tensor_shape_pb2.TensorShapeProto.Dim(size=len(rows[0])),
            ]
        ),
        string_val=values,
    )
    model = model_pb2.ModelSpec(name="tiny", signature_name="serving_default", **spec)
    return predict_pb2.PredictRequest(model_spec=model, inputs={"item_ids": tensor}).SerializeToString()


@BOTH
def test_request_is_byte_for_byte_the_official_message(ask):
    with answering(recording_server.prediction([["x"]] * 2, [[1.0]] * 2)) as server:
        ask(server.address, [["a", "b", "c", "d", "e"], ["ü"]])
    assert server.received[PREDICT] == [by_hand([[b"b", b"c", b"d", b"e"], [b"\xc3\xbc", b"", b"", b""]])]


def test_version_and_label_travel_in_the_model_spec():
    with answering() as server:
        blocking(server.address, [["a"]], label="canary", pad_to=1)
        blocking(server.address, [["a"]], version=12, pad_to=1)
    twelve = model_pb2.ModelSpec()
    twelve.version.value = 12
    assert server.received[PREDICT] == [
        by_hand([[b"a"]], version_label="canary"),
        by_hand([[b"a"]], version=twelve.version),
    ]


def test_sessions_are_padded_to_the_model_s_own_lookback_asked_once():
    with answering(lookback=3) as server, Client(server.address, "tiny") as client:
        for session in (["a"], ["a", "b", "c", "d"], []):
            client.predict(session)
    rows = [[b"a", b"", b""], [b"b", b"c", b"d"], [b"", b"", b""]]
    assert server.received[PREDICT] == [by_hand([row]) for row in rows]
    assert len(server.received[METADATA]) == 1


def test_a_newer_version_is_asked_for_its_lookback():
    newer = recording_server.prediction([["x"]], [[1.0]], version=8)
    with answering(newer, lookback=2) as server, Client(server.address, "tiny") as client:
        client.predict(["a"])
        server.answers[METADATA] = [recording_server.metadata(3, version=8)]
        client.predict(["a"])
        client.predict(["a"])
    assert server.received[PREDICT] == [
        by_hand([[b"a", b""]]),
        by_hand([[b"a", b"", b""]]),
        by_hand([[b"a", b"", b""]]),
    ]
    assert len(server.received[METADATA]) == 2


def test_a_model_that_tells_no_lookback_gets_nothing_cut_off():
    session = [str(number) for number in range(60)]
    with answering(lookback=None) as server:
        blocking(server.address, [session])
        blocking(server.address, [["a"]])
    first, second = (
        predict_pb2.PredictRequest.FromString(sent).inputs["item_ids"] for sent in server.received[PREDICT]
    )
    assert [dim.size for dim in first.tensor_shape.dim] == [1, 60]
    assert [dim.size for dim in second.tensor_shape.dim] == [1, 50]


@BOTH
@pytest.mark.parametrize("as_content", [False, True], ids=["float_val", "tensor_content"])
def test_answer_is_cut_to_k_without_excluded_and_padding(ask, as_content):
    sent = recording_server.prediction(
        [["x", "y", "", "ü"], ["q", "x", "r", "s"]], [[4, 3, 2, 1], [8, 7, 6, 5]], 7, as_content
    )
    with answering(sent) as server:
        found = ask(server.address, [["a"], ["b"]], k=2, exclude=["x", "not there"])
    assert found == [Answer(("y", "ü"), (3.0, 1.0), 7), Answer(("q", "r"), (8.0, 6.0), 7)]


def restricting(top_k=3, signatures=("recommend", "rank_candidates"), version=7):
    return recording_server.metadata(2, version, top_k, signatures)


def rows_of(sent):
    """Signature and inputs of a PredictRequest, the padding of the lists left out."""
    request = predict_pb2.PredictRequest.FromString(sent)
    rows = {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
    assert {array.shape[1] for name, array in rows.items() if name != "item_ids"} <= {8, 32}
    return request.model_spec.signature_name, {
        name: [[item.decode() for item in row if item] for row in array.tolist()] for name, array in rows.items()
    }


@BOTH
def test_lists_are_asked_of_the_signature_that_takes_them(ask):
    """An exclusion that the model's list of 3 has room for stays with serving_default, where requests share runs."""
    two = recording_server.prediction([["x"]] * 2, [[1.0]] * 2)
    ten = [f"i{number}" for number in range(10)]
    asked = [
        {"k": 2, "exclude": ["x"]},
        {"k": 3, "exclude": ["x"]},
        {"allow": ten, "exclude": ["i3"]},
        {"candidates": ten, "allow": ["i2", "i9", "b"], "exclude": ["i9"]},
        {"candidates": ["i1"], "exclude": ["i1"]},
    ]
    with RecordingServer({PREDICT: [two], METADATA: [restricting()]}) as server:
        for options in asked:
            ask(server.address, [["a"], ["b"]], **options)
        ask(server.address, [["a"], ["b"]], pad_to=2, candidates=["i1"])
    item_ids = {"item_ids": [["a"], ["b"]]}
    assert [rows_of(sent) for sent in server.received[PREDICT]] == [
        ("serving_default", item_ids),
        ("recommend", {**item_ids, "exclude_item_ids": [["x"]] * 2, "allow_item_ids": [[]] * 2}),
        ("recommend", {**item_ids, "exclude_item_ids": [["i3"]] * 2, "allow_item_ids": [ten] * 2}),
        ("rank_candidates", {**item_ids, "candidate_item_ids": [["i2"]] * 2}),
        ("rank_candidates", {**item_ids, "candidate_item_ids": [[]] * 2}),
        ("rank_candidates", {**item_ids, "candidate_item_ids": [["i1"]] * 2}),
    ]


def test_candidates_come_back_all_unless_k_says_otherwise():
    answer = recording_server.prediction([[f"i{number}" for number in range(30)] + [""] * 2], [[1.0] * 32])
    candidates = [f"i{number}" for number in range(30)]
    with RecordingServer({PREDICT: [answer], METADATA: [restricting()]}) as server:
        assert len(blocking(server.address, [["a"]], candidates=candidates)[0].items) == 30
        assert len(blocking(server.address, [["a"]], candidates=candidates, k=4)[0].items) == 4


@BOTH
def test_an_older_model_has_its_exclusions_applied_here_and_refuses_the_rest_in_words(ask):
    with RecordingServer({PREDICT: [ANSWER], METADATA: [restricting(signatures=())]}) as server:
        assert ask(server.address, [["a"]], exclude=["y"]) == [Answer(("x", "z"), (3.0, 1.0), 7)]
        for options, words in (
            ({"allow": ["x"]}, "no signature recommend .*, which an allow list would need: push a new model"),
            ({"candidates": ["x"]}, "no signature rank_candidates .*, which candidates would need: push a new model"),
        ):
            with pytest.raises(ServingError, match=f"{server.address}, model tiny: version 7 of the model has {words}"):
                ask(server.address, [["a"]], **options)
    assert len(server.received[PREDICT]) == 1


def test_a_rollback_to_an_older_model_is_noticed_by_its_refusal():
    refused = grpc.StatusCode.FAILED_PRECONDITION
    answers = {PREDICT: [refused, ANSWER], METADATA: [restricting(version=8), restricting(signatures=())]}
    with RecordingServer(answers) as server, Client(server.address, "tiny") as client:
        with pytest.raises(ServingError, match="FAILED_PRECONDITION"):
            client.predict(["a"], exclude=["x"])
        assert client.predict(["a"], exclude=["x"]).items == ("y", "z")


def test_threads_share_a_client_while_versions_change():
    """Each answer of another version makes the client forget the look-back, perhaps between two lines of a thread."""
    answers = [recording_server.prediction([["x"]], [[1.0]], version) for version in (7, 8)] * 100
    with (
        answering(*answers) as server,
        Client(server.address, "tiny", timeout_seconds=60) as client,
        futures.ThreadPoolExecutor(8) as pool,
    ):
        found = list(pool.map(lambda number: client.predict([str(number)]).items, range(200)))
    assert found == [("x",)] * 200


def test_answer_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Answer(("x",), (1.0,), 1).model_version = 2


def test_ids_that_are_not_utf_8_come_back_as_they_went():
    raw = b"\xff\xfe"
    with answering(recording_server.prediction([[raw]], [[1.0]])) as server:
        (answer,) = blocking(server.address, [[raw.decode("utf-8", "surrogateescape")]], pad_to=1)
    assert server.received[PREDICT] == [by_hand([[raw]])]
    assert answer.items[0].encode("utf-8", "surrogateescape") == raw


@pytest.mark.parametrize(
    ("sessions", "options", "words"),
    [
        ([["a"]] * 1025, {}, "holds 1 to 1024 sessions, received 1025"),
        ([], {}, "holds 1 to 1024 sessions, received 0"),
        ([["a"] * 1001], {}, "session 0 has 1001 items, at most 1000"),
        ([["a"], ["b" * 257]], {}, "session 1: the item id 'bbbbbbbbbbbbbbbbbbbb'... has 257 bytes, at most 256"),
        ([["ü" * 129]], {}, "has 258 bytes"),
        ([[""]], {}, "session 0: an item id is empty"),
        ([[7]], {}, "an item id is text, received 7"),
        (["abc"], {}, "session 0 is one text, not a list"),
        ([["\ud800"]], {}, "cannot be written as UTF-8"),
        ([["a"]], {"k": 0}, "k must lie between 1 and 1000, received 0"),
        ([["a"]], {"k": 1001}, "k must lie between 1 and 1000, received 1001"),
        ([["a"]], {"exclude": [""]}, "exclude: an item id is empty"),
        ([["a"]], {"exclude": "abc"}, "exclude is one text, not a list"),
        ([["a"]], {"exclude": ["b"] * 10_001}, "exclude has 10001 items, at most 10000"),
        ([["a"]], {"allow": ["b", 7]}, "allow: an item id is text, received 7"),
        ([["a"]], {"allow": []}, "allow is an empty list, which leaves nothing to answer"),
        ([["a"]], {"candidates": []}, "candidates is an empty list, which leaves nothing to answer"),
        ([["a"]], {"candidates": ["b"] * 1001, "k": 5}, "candidates has 1001 items, at most 1000"),
    ],
)
def test_beyond_a_limit_nothing_is_sent(sessions, options, words):
    with answering() as server, pytest.raises(DataError, match=".*".join(words.split("..."))):
        blocking(server.address, sessions, **options)
    assert server.received == {PREDICT: [], METADATA: []}


def test_exactly_at_the_limits_it_is_sent():
    sessions = [["a"] * 1000] + [["b" * 256]] * 1023
    with answering(recording_server.prediction([["x"]] * 1024, [[1.0]] * 1024)) as server:
        assert len(blocking(server.address, sessions, k=1000)) == 1024


@BOTH
def test_unavailable_is_tried_again(ask):
    busy = grpc.StatusCode.UNAVAILABLE
    with answering(busy, busy, ANSWER) as server:
        (answer,) = ask(server.address, [["a"]], timeout_seconds=20)
    assert answer.items == ("x", "y", "z")
    assert len(server.received[PREDICT]) == 3


def test_pauses_double_up_to_a_second_less_a_random_part():
    found = list(itertools.islice(channel.pauses(), 8))
    for pause, longest in zip(found, (0.05, 0.1, 0.2, 0.4, 0.8, 1, 1, 1), strict=True):
        assert longest / 2 <= pause <= longest


@BOTH
@pytest.mark.parametrize("code", ["RESOURCE_EXHAUSTED", "INVALID_ARGUMENT", "INTERNAL"])
def test_no_other_status_is_tried_again(ask, code):
    with answering(grpc.StatusCode[code]) as server, pytest.raises(ServingError) as caught:
        ask(server.address, [["a"]])
    assert str(caught.value) == f"{server.address} refused a request for model tiny with {code}: as the test wants"
    assert len(server.received[PREDICT]) == 1


@BOTH
def test_a_server_that_comes_up_late_is_met_within_the_deadline(ask):
    port, started = free_port(), []

    def come_up():
        started.append(RecordingServer({PREDICT: [ANSWER], METADATA: [recording_server.metadata(4)]}, port).start())

    timer = threading.Timer(0.7, come_up)
    timer.start()
    try:
        (answer,) = ask(f"127.0.0.1:{port}", [["a"]], timeout_seconds=30)
    finally:
        timer.join()
        started[0].stop()
    assert answer.items == ("x", "y", "z")


@BOTH
def test_where_no_server_is_the_deadline_holds(ask):
    address = f"127.0.0.1:{free_port()}"
    started = time.monotonic()
    with pytest.raises(
        ServingError, match=f"no server answers at {address} for model tiny within 0.5 s .*nextclick serve"
    ):
        ask(address, [["a"]], timeout_seconds=0.5)
    assert time.monotonic() - started < 5


@BOTH
def test_a_black_hole_is_left_at_the_deadline(ask):
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as hole:
        address = f"127.0.0.1:{hole.getsockname()[1]}"
        started = time.monotonic()
        with pytest.raises(ServingError, match=rf"{address} did not answer for model tiny within 0\.5 s"):
            ask(address, [["a"]], timeout_seconds=0.5)
        assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("response", "words"),
    [
        (
            recording_server.prediction([["x"]] * 2, [[1.0]] * 2),
            r"expected item_ids and scores of shape \[1, K\], received item_ids \[2, 1\]",
        ),
        (recording_server.prediction([["x", "y"]], [[1.0]]), r"received item_ids \[1, 2\]"),
        (predict_pb2.PredictResponse().SerializeToString(), r"received item_ids \[\]"),
    ],
    ids=["another batch", "fewer scores", "nothing"],
)
def test_an_answer_of_the_wrong_shape_is_an_error(response, words):
    with (
        answering(response) as server,
        pytest.raises(ServingError, match=f"{server.address} gave a wrong answer.*{words}"),
    ):
        blocking(server.address, [["a"]])


@pytest.mark.parametrize(
    "address", ["", "localhost", "localhost:0", "localhost:65536", "http://localhost:8500", "a b:1"]
)
def test_an_address_that_is_none_is_refused(address):
    with pytest.raises(ConfigError, match="the address must be HOST:PORT"):
        Client(address)


@pytest.mark.parametrize("address", ["localhost:8500", "10.0.0.1:1", "[::1]:8500", "dns:///recommender.shop.svc:8500"])
def test_an_address_that_is_one_is_taken(address):
    Client(address).close()


def test_version_and_label_together_are_refused():
    with pytest.raises(DataError, match="a version or a label, not both"):
        Client("localhost:1", version=1, label="stable")


def test_tls_and_mutual_tls(certificates):
    private = certificates / "key.pem", certificates / "certificate.pem"
    pair = [tuple(path.read_bytes() for path in private)]
    authority = private[1].read_bytes()
    mutual = grpc.ssl_server_credentials(pair, root_certificates=authority, require_client_auth=True)
    answers = {PREDICT: [ANSWER], METADATA: [recording_server.metadata(4)]}
    ca = str(private[1])
    ours = Tls(ca_file=ca, certificate_file=ca, key_file=str(private[0]))
    with RecordingServer(answers, credentials=grpc.ssl_server_credentials(pair)) as server:
        assert blocking(server.address, [["a"]], tls=Tls(ca_file=ca))[0].items == ("x", "y", "z")
        with pytest.raises(ServingError, match="no server answers at"):
            blocking(server.address, [["a"]], timeout_seconds=0.5)
    with RecordingServer(answers, credentials=mutual) as server:
        assert blocking(server.address, [["a"]], tls=ours)[0].items == ("x", "y", "z")
        with pytest.raises(ServingError, match="no server answers at"):
            blocking(server.address, [["a"]], tls=Tls(ca_file=ca), timeout_seconds=0.5)


def test_tls_files_that_are_not_there_are_named(tmp_path):
    with pytest.raises(ConfigError, match=f"cannot read the TLS file {tmp_path}/none.pem: No such file"):
        Client("localhost:1", tls=Tls(ca_file=str(tmp_path / "none.pem")))
    with pytest.raises(ConfigError, match="needs both certificate_file and key_file"):
        Tls(certificate_file="only.pem")


def test_importing_the_client_does_not_load_tensorflow_and_does_not_stand_in_its_way():
    code = (
        "import sys; from nextclick.serving import async_client, client, protos;"
        "assert 'tensorflow' not in sys.modules, 'loaded';"
        "import tensorflow as tf;"
        "assert type(tf.make_tensor_proto(1)) is protos.tensor_pb2.TensorProto, 'two classes';"
        "assert tf.__version__ and tf.io.decode_raw"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """A self-signed certificate of 127.0.0.1 and its key."""
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        f"""openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1
            -keyout {folder}/key.pem -out {folder}/certificate.pem""".split(),
        check=True,
        capture_output=True,
        timeout=60,
    )
    return folder
