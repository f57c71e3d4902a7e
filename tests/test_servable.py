"""Without this, an unloaded version could keep its memory, a run could lose its model, or bad warm-up could pass."""

import gc
import threading
import weakref

import grpc
import pytest
import tensorflow as tf
import tiny_models
from tensorflow_serving.apis import prediction_log_pb2

from nextclick.pipeline.errors import ServingError
from nextclick.serving import calls, messages
from nextclick.serving.failures import RequestFailure
from nextclick.serving.messages import Target
from nextclick.serving.servable import Servable


@pytest.fixture
def folder(tmp_path):
    return tiny_models.save(tmp_path / "1", warm_up=False)


def load(folder):
    return Servable("tiny", 1, folder)


def request(session=("a",)):
    return messages.predict_request([session], Target("tiny"), 4)


def test_memory_is_given_back(folder):
    servable = load(folder)
    servable.predict(request())
    graph = weakref.ref(servable._session.graph)
    servable.close()
    gc.collect()
    assert graph() is None


def test_a_closed_version_refuses_and_waits_for_the_run_under_way(folder, monkeypatch):
    servable = load(folder)
    call = calls.read(request(), servable.signatures)
    inside, go_on = threading.Event(), threading.Event()
    run = servable._callable(call)

    def slow(*arguments):
        inside.set()
        assert go_on.wait(60)
        return run(*arguments)

    servable._callables[call.signature, call.outputs] = slow
    results = []
    runner = threading.Thread(target=lambda: results.append(servable.run(call)))
    closer = threading.Thread(target=servable.close)
    runner.start()
    assert inside.wait(60)
    closer.start()
    while not servable._closed:
        pass
    with pytest.raises(RequestFailure) as caught:
        servable.run(call)
    assert caught.value.code is grpc.StatusCode.UNAVAILABLE
    assert closer.is_alive()
    go_on.set()
    for thread in (runner, closer):
        thread.join(60)
    assert results[0][0][0][0] == b"b"


def test_warm_up_replays_every_record_and_counts_them(folder):
    tiny_models.write_warm_up(folder, [[["a"]], [["a", "b"]], [["a"]] * 8])
    assert load(folder).warm_up() == 3


def test_more_records_than_tensorflow_serving_takes_are_refused(folder):
    tiny_models.write_warm_up(folder, [[["a"]]] * 1000)
    assert load(folder).warm_up() == 1000
    tiny_models.write_warm_up(folder, [[["a"]]] * 1001)
    with pytest.raises(ServingError, match="has more than 1000 records"):
        load(folder).warm_up()


def test_records_that_are_no_predict_requests_are_refused(folder):
    path = folder / tiny_models.WARM_UP
    path.parent.mkdir()
    for record in (b"\xff\xff", prediction_log_pb2.PredictionLog().SerializeToString()):
        with tf.io.TFRecordWriter(str(path)) as writer:
            writer.write(record)
        with pytest.raises(ServingError, match="warm-up request 0 of version 1 of model tiny failed"):
            load(folder).warm_up()


def test_a_damaged_warm_up_file_is_refused(folder):
    tiny_models.write_warm_up(folder, [[["a"]], [["b"]]])
    path = folder / tiny_models.WARM_UP
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(ServingError, match=r"the warm-up file .* is damaged"):
        load(folder).warm_up()


def test_the_reason_of_a_failed_load_is_one_sentence(tmp_path):
    (tmp_path / "1").mkdir()
    with pytest.raises(
        ServingError, match="cannot load version 1 of model tiny: SavedModel file does not exist"
    ) as caught:
        load(tmp_path / "1")
    assert "\n" not in str(caught.value)
