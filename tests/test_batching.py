"""Without this, calls that share a run could get each other's rows, wait for ever, or fail for a neighbour's fault."""

import asyncio
import threading

import grpc
import numpy as np
import pytest
import tiny_models

from nextclick.serving.batching import Batcher
from nextclick.serving.calls import Call
from nextclick.serving.failures import RequestFailure
from nextclick.serving.metrics import Metrics
from nextclick.serving.servable import Servable
from nextclick.serving.settings_files import Batching


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return Servable("tiny", 1, tiny_models.save(tmp_path_factory.mktemp("model") / "1"))


def call(*sessions, signature="serving_default"):
    width = max(map(len, sessions), default=1)
    rows = np.empty((len(sessions), width), dtype=object)
    for place, session in enumerate(sessions):
        rows[place] = [item.encode() for item in session] + [b""] * (width - len(session))
    return Call(signature, {"item_ids": rows}, ("item_ids", "scores"))


class Held:
    """A servable whose runs wait until they are let go: then what comes meanwhile must share a run."""

    def __init__(self, servable):
        self.servable, self.gate, self.rows = servable, threading.Event(), []

    def run(self, made):
        self.rows.append(made.rows)
        assert self.gate.wait(60)
        return self.servable.run(made)


def run_all(batching, servable, calls, metrics=None):
    """Outcomes of calls that are all made before the first run ends."""

    async def main():
        batcher = Batcher(batching, metrics or Metrics())
        tasks = [asyncio.ensure_future(batcher.run(servable, made)) for made in calls]
        for _ in range(3):
            await asyncio.sleep(0)
        if isinstance(servable, Held):
            servable.gate.set()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        batcher.close()
        return outcomes

    return asyncio.run(main())


def items(outcome):
    return [tuple(item.decode() for item in row) for row in outcome[0]]


ONE_THREAD = Batching(max_batch_size=8, max_execution_batch_size=8, max_enqueued_batches=100, num_batch_threads=1)


def test_calls_that_wait_share_a_run_and_get_their_own_rows(tiny):
    held = Held(tiny)
    sessions = [["a"], ["b"], ["c"], ["p"], ["unknown"]]
    outcomes = run_all(ONE_THREAD, held, [call(session) for session in sessions])
    assert held.rows == [1, 4]
    assert [items(outcome) for outcome in outcomes] == [[tiny_models.expected(session)[0]] for session in sessions]


def test_calls_of_several_rows_stay_whole_and_no_run_exceeds_the_limit(tiny):
    held = Held(tiny)
    calls = [call(["a"])] + [call(["a"], ["b"], ["c"])] * 3 + [call(*[["d"]] * 8)]
    outcomes = run_all(ONE_THREAD, held, calls)
    assert held.rows == [1, 6, 3, 8]
    assert [len(items(outcome)) for outcome in outcomes] == [1, 3, 3, 3, 8]


def test_other_shapes_and_signatures_never_share_a_run(tiny):
    held = Held(tiny)
    encode = Call("encode", call(["a", "b"]).inputs, ("item_indices",))
    outcomes = run_all(ONE_THREAD, held, [call(["a"]), call(["a", "b"]), call(["c"]), encode])
    assert sorted(held.rows) == [1, 1, 1, 1]
    assert items(outcomes[1]) == [tiny_models.expected(["a", "b"])[0]]
    assert outcomes[3][0].tolist() == [[1, 2, 0, 0]]


def test_a_call_alone_starts_at_once_where_there_is_no_timeout(tiny):
    (outcome,) = run_all(ONE_THREAD, tiny, [call(["a"])])
    assert items(outcome) == [tiny_models.expected(["a"])[0]]


def test_a_timeout_lets_a_batch_fill_up_and_then_starts_it(tiny):
    held = Held(tiny)
    held.gate.set()
    batching = Batching(8, 8, batch_timeout_seconds=0.05, num_batch_threads=2)
    outcomes = run_all(batching, held, [call(["a"]), call(["b"])])
    assert held.rows == [2]
    assert items(outcomes[1]) == [tiny_models.expected(["b"])[0]]


def test_rows_are_filled_up_to_an_allowed_size_and_the_filling_is_not_answered(tiny):
    held = Held(tiny)
    batching = Batching(4, 4, num_batch_threads=1, allowed_batch_sizes=(1, 4))
    outcomes = run_all(batching, held, [call(["a"]), call(["b"]), call(["c"])])
    assert held.rows == [1, 4]
    assert [items(outcome) for outcome in outcomes] == [[tiny_models.expected([item])[0]] for item in "abc"]


def test_a_large_call_is_split_where_allowed_and_refused_where_not(tiny):
    sessions = [[item] for item in tiny_models.ITEMS[:10]]
    split = Batching(max_batch_size=100, max_execution_batch_size=4, num_batch_threads=1, split_large_batches=True)
    (outcome,) = run_all(split, tiny, [call(*sessions)])
    assert items(outcome) == [tiny_models.expected(session)[0] for session in sessions]
    (outcome,) = run_all(ONE_THREAD, tiny, [call(*sessions)])
    assert outcome.code is grpc.StatusCode.INVALID_ARGUMENT
    assert "10 rows are more than the maximum batch size of 8" in outcome.message


def test_a_neighbour_s_fault_is_its_own(tiny):
    good = call(["a"], signature="predict_examples").inputs["item_ids"].reshape(1)
    bad = good.copy()
    good[0], bad[0] = b"", b"no example"
    calls = [Call("predict_examples", {"examples": values}, ("item_ids",)) for values in (good, good, bad, good)]
    held = Held(tiny)
    outcomes = run_all(ONE_THREAD, held, calls)
    assert isinstance(outcomes[2], RequestFailure)
    assert [items(outcomes[place]) for place in (0, 1, 3)] == [[tiny_models.expected([])[0]]] * 3


def test_a_full_queue_is_unavailable(tiny):
    held = Held(tiny)
    batching = Batching(max_batch_size=2, max_execution_batch_size=2, max_enqueued_batches=1, num_batch_threads=1)
    outcomes = run_all(batching, held, [call(["a"])] * 4)
    assert [isinstance(outcome, RequestFailure) for outcome in outcomes] == [False, False, False, True]
    assert outcomes[3].code is grpc.StatusCode.UNAVAILABLE


def test_a_call_whose_caller_has_left_is_not_run(tiny):
    held = Held(tiny)

    async def main():
        batcher = Batcher(ONE_THREAD, Metrics())
        tasks = [asyncio.ensure_future(batcher.run(held, call([item]))) for item in "abc"]
        await asyncio.sleep(0)
        tasks[1].cancel()
        await asyncio.sleep(0)
        held.gate.set()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        batcher.close()
        return outcomes

    outcomes = asyncio.run(main())
    assert isinstance(outcomes[1], asyncio.CancelledError)
    assert held.rows == [1, 1]
    assert items(outcomes[2]) == [tiny_models.expected(["c"])[0]]


def test_no_rows_give_no_rows(tiny):
    empty = Call("serving_default", {"item_ids": np.empty((0, 3), dtype=object)}, ("item_ids", "scores"))
    outcomes = run_all(Batching(4, 4, num_batch_threads=1, allowed_batch_sizes=(2, 4)), tiny, [empty])
    assert [array.shape for array in outcomes[0]] == [(0, 10), (0, 10)]


def test_inputs_of_different_lengths_cannot_be_batched(tiny):
    odd = Call("serving_default", {"a": np.zeros((2, 1)), "b": np.zeros((3, 1))}, ("scores",))
    (outcome,) = run_all(ONE_THREAD, tiny, [odd])
    assert outcome.code is grpc.StatusCode.INVALID_ARGUMENT


def test_sizes_and_waits_are_counted(tiny):
    metrics = Metrics()
    run_all(ONE_THREAD, Held(tiny), [call(["a"]), call(["b"]), call(["c"])], metrics)
    lines = metrics.text().splitlines()
    assert ":tensorflow:serving:batching_session:processed_batch_size_sum{} 3" in lines
    assert ":tensorflow:serving:batching_session:processed_batch_size_count{} 2" in lines
    assert ":tensorflow:serving:batching_session:queuing_latency_count{} 3" in lines
