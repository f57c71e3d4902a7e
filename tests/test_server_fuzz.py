"""Without this, some request that no test thought of could crash the server, hang it, or be answered with nonsense.

NEXTCLICK_FUZZ_REQUESTS=10000 makes it thorough.
"""

import collections
import concurrent.futures
import os
import random

import grpc
import pytest
import recommender_runs as runs
import tiny_models
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from nextclick.pipeline.benchmarks import untrained
from nextclick.serving import server
from nextclick.serving.client import Client

REQUESTS = int(os.environ.get("NEXTCLICK_FUZZ_REQUESTS", "1500"))
PREDICT = "/tensorflow.serving.PredictionService/Predict"
LIST_ITEMS = 60
DTYPES = [number for number in types_pb2.DataType.values() if number != types_pb2.DT_STRING]


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    for model in ("tiny", "lists"):
        (root / "serving" / model).mkdir(parents=True)
    tiny_models.save(root / "serving" / "tiny" / "1")
    untrained.export(runs.CONFIG, LIST_ITEMS, root / "serving" / "lists" / "1")
    (root / "serving" / "lists" / "vocabulary.txt").unlink()
    with server.running("--root", str(root), "--server", "local") as facts:
        yield facts["grpc"]


def good(chance):
    """A right request of up to five sessions."""
    made = predict_pb2.PredictRequest()
    made.model_spec.name = "tiny"
    rows, length = chance.randint(1, 5), chance.randint(1, 8)
    tensor = made.inputs["item_ids"]
    tensor.dtype = types_pb2.DT_STRING
    for size in (rows, length):
        tensor.tensor_shape.dim.add(size=size)
    known = [item.encode() for item in tiny_models.ITEMS]
    tensor.string_val.extend(chance.choice([*known, b"", b"\xff\xfe", "ü".encode()]) for _ in range(rows * length))
    return made


def wrong_dtype(made, chance):
    made.inputs["item_ids"].dtype = chance.choice(DTYPES)
    return {"INVALID_ARGUMENT"}


def unknown_dtype(made, chance):
    made.inputs["item_ids"].dtype = chance.randint(200, 2**31 - 1)
    return {"INVALID_ARGUMENT"}


def wrong_rank(made, chance):
    dims = made.inputs["item_ids"].tensor_shape.dim
    del dims[:]
    for _ in range(chance.choice([0, 1, 3, 8])):
        dims.add(size=1)
    return {"INVALID_ARGUMENT"}


def unknown_rank(made, chance):
    made.inputs["item_ids"].tensor_shape.unknown_rank = True
    return {"INVALID_ARGUMENT"}


def wild_dimension(made, chance):
    sizes = [-(2**63), -1, 1025, 2**31, 2**62, 2**63 - 1]
    made.inputs["item_ids"].tensor_shape.dim[0].size = chance.choice(sizes)
    return {"INVALID_ARGUMENT"}


def long_rows(made, chance):
    made.inputs["item_ids"].tensor_shape.dim[1].size = chance.choice([1001, 10_000, 2**40])
    return {"INVALID_ARGUMENT"}


def empty(made, chance):
    made.inputs["item_ids"].tensor_shape.dim[chance.randint(0, 1)].size = 0
    return {"OK"}


def values_do_not_match_the_shape(made, chance):
    """TensorFlow's rule: too few are filled up with the last, too many are cut."""
    values = made.inputs["item_ids"].string_val
    del values[chance.randint(0, len(values)) :]
    values.extend([b"a"] * chance.choice([0, 1, 1000]))
    return {"OK"}


def long_id(made, chance):
    made.inputs["item_ids"].string_val[0] = b"x" * chance.choice([257, 100_000])
    return {"INVALID_ARGUMENT"}


def longest_id(made, chance):
    made.inputs["item_ids"].string_val[0] = b"x" * 256
    return {"OK"}


def content_for_strings(made, chance):
    made.inputs["item_ids"].tensor_content = chance.randbytes(chance.randint(1, 100))
    return {"INVALID_ARGUMENT"}


def other_input(made, chance):
    name = chance.choice(["", "items", "ITEM_IDS", "item_ids ", "x" * 10_000])
    made.inputs[name].CopyFrom(made.inputs["item_ids"])
    if chance.random() < 0.5:
        del made.inputs["item_ids"]
    return {"INVALID_ARGUMENT"}


def no_input(made, chance):
    made.ClearField("inputs")
    return {"INVALID_ARGUMENT"}


def other_signature(made, chance):
    made.model_spec.signature_name = chance.choice(["x", "serving_default ", "__saved_model_init_op", "ü" * 5000])
    return {"FAILED_PRECONDITION"}


def signature_of_another_input(made, chance):
    made.model_spec.signature_name = chance.choice(["predict_indices", "predict_examples"])
    return {"INVALID_ARGUMENT"}


def wild_indices(made, chance):
    made.model_spec.signature_name = "predict_indices"
    tensor = made.inputs["item_indices"]
    tensor.dtype = types_pb2.DT_INT64
    for size in (1, 2):
        tensor.tensor_shape.dim.add(size=size)
    tensor.int64_val.extend(chance.choice([0, 1, 16, -1, 2**62, -(2**63)]) for _ in range(2))
    del made.inputs["item_ids"]
    return {"OK", "INVALID_ARGUMENT"}


def other_model(made, chance):
    made.model_spec.name = chance.choice(["nobody", "tiny ", "../tiny", "x" * 10_000])
    return {"NOT_FOUND"}


def no_model(made, chance):
    made.model_spec.name = ""
    return {"INVALID_ARGUMENT"}


def other_version(made, chance):
    made.model_spec.version.value = chance.choice([0, -1, 2, 2**63 - 1])
    return {"NOT_FOUND"}


def other_label(made, chance):
    made.model_spec.version_label = chance.choice(["stable", "x" * 1000, "ü"])
    return {"INVALID_ARGUMENT"}


def other_output(made, chance):
    made.output_filter.append(chance.choice(["", "x", "x" * 10_000]))
    return {"INVALID_ARGUMENT"}


def unharmed(made, chance):
    return {"OK"}


def good_lists(chance):
    """A right request to a signature with lists."""
    made = predict_pb2.PredictRequest()
    made.model_spec.name = "lists"
    made.model_spec.signature_name = chance.choice(list(LISTS))
    rows = chance.randint(1, 4)
    for name in ("item_ids", *LISTS[made.model_spec.signature_name]):
        fill(made.inputs[name], chance, rows, chance.randint(0 if name != "item_ids" else 1, 6))
    return made


LISTS = {"recommend": ["exclude_item_ids", "allow_item_ids"], "rank_candidates": ["candidate_item_ids"]}


def fill(tensor, chance, rows, length):
    tensor.Clear()
    tensor.dtype = types_pb2.DT_STRING
    for size in (rows, length):
        tensor.tensor_shape.dim.add(size=size)
    known = [str(100_000_000 + number).encode() for number in range(LIST_ITEMS)]
    tensor.string_val.extend(chance.choice([*known, b"", b"\xff\xfe"]) for _ in range(rows * length))


def any_list(made, chance):
    return made.inputs[chance.choice(LISTS[made.model_spec.signature_name])]


def unharmed_lists(made, chance):
    return {"OK"}


def no_list(made, chance):
    del made.inputs[chance.choice(LISTS[made.model_spec.signature_name])]
    return {"INVALID_ARGUMENT"}


def list_of_another_signature(made, chance):
    (other,) = set(LISTS) - {made.model_spec.signature_name}
    fill(made.inputs[chance.choice(LISTS[other])], chance, 1, 1)
    return {"INVALID_ARGUMENT"}


def list_of_wrong_dtype(made, chance):
    any_list(made, chance).dtype = chance.choice(DTYPES)
    return {"INVALID_ARGUMENT"}


def list_of_wrong_rank(made, chance):
    dims = any_list(made, chance).tensor_shape.dim
    del dims[:]
    for _ in range(chance.choice([0, 1, 3])):
        dims.add(size=1)
    return {"INVALID_ARGUMENT"}


def list_with_other_rows(made, chance):
    rows = made.inputs["item_ids"].tensor_shape.dim[0].size
    fill(any_list(made, chance), chance, chance.choice([0, rows + 1, 2 * rows]), 3)
    return {"INVALID_ARGUMENT"}


def too_long_list(made, chance):
    most = 1_000 if made.model_spec.signature_name == "rank_candidates" else 10_000
    any_list(made, chance).tensor_shape.dim[1].size = chance.choice([most + 1, 2**40])
    return {"INVALID_ARGUMENT"}


def too_long_id_in_a_list(made, chance):
    tensor, rows = any_list(made, chance), made.inputs["item_ids"].tensor_shape.dim[0].size
    fill(tensor, chance, rows, 2)
    tensor.string_val[0] = b"x" * chance.choice([257, 100_000])
    return {"INVALID_ARGUMENT"}


MUTATIONS = [
    wrong_dtype, unknown_dtype, wrong_rank, unknown_rank, wild_dimension, long_rows, empty, long_id, longest_id,
    values_do_not_match_the_shape, content_for_strings, other_input, no_input, other_signature, wild_indices,
    signature_of_another_input, other_model, no_model, other_version, other_label, other_output, unharmed,
]  # fmt: skip
LIST_MUTATIONS = [
    unharmed_lists, no_list, list_of_another_signature, list_of_wrong_dtype, list_of_wrong_rank, list_with_other_rows,
    too_long_list, too_long_id_in_a_list,
]  # fmt: skip


def test_every_request_gets_its_status_and_the_server_lives_on(address):
    chance = random.Random(8)
    cases = []
    for number in range(REQUESTS):
        mutate = (MUTATIONS + LIST_MUTATIONS)[number % len(MUTATIONS + LIST_MUTATIONS)]
        made = good_lists(chance) if mutate in LIST_MUTATIONS else good(chance)
        cases.append((mutate.__name__, made, mutate(made, chance)))
    with grpc.insecure_channel(address) as channel, concurrent.futures.ThreadPoolExecutor(8) as pool:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        statuses = list(pool.map(lambda case: status_of(stub.Predict, case[1]), cases))
    wrong = [(name, status) for (name, _, wanted), status in zip(cases, statuses, strict=True) if status not in wanted]
    print(collections.Counter(statuses))
    assert wrong == []
    still_right(address)


def test_bytes_that_are_no_request_are_refused(address):
    """UNKNOWN is what grpc.aio answers where it cannot parse a message; TensorFlow Serving's C++ says INTERNAL."""
    chance = random.Random(9)
    whole = good(chance).SerializeToString()
    with grpc.insecure_channel(address) as channel:
        call = channel.unary_unary(PREDICT)
        for _ in range(100):
            data = bytearray(whole)
            for _ in range(chance.randint(1, 8)):
                data[chance.randrange(len(data))] = chance.randrange(256)
            assert status_of(call, bytes(data)) in {
                "OK",
                "UNKNOWN",
                "INVALID_ARGUMENT",
                "NOT_FOUND",
                "FAILED_PRECONDITION",
            }
        assert status_of(call, b"\xff" * 100) == "UNKNOWN"
        unknown = channel.unary_unary("/tensorflow.serving.PredictionService/Nothing")
        assert status_of(unknown, b"") == "UNIMPLEMENTED"
    still_right(address)


def status_of(call, made):
    try:
        call(made, timeout=60)
    except grpc.RpcError as error:
        return error.code().name
    return "OK"


def still_right(address):
    with Client(address, "tiny", timeout_seconds=20) as client:
        answer = client.predict(["a", "b"])
    assert (answer.items, answer.scores) == tiny_models.expected(["a", "b"])
