"""Dynamic batching: calls that come while the threads are busy are run together, as TensorFlow Serving does it.

    call → queue of its kind (version, signature, outputs, inner shapes) → batch → one run → rows back to their calls

A batch starts when a thread is free and it is full, or its first call has waited for `batch_timeout_seconds`. Only
calls of one kind share a batch, so that a row's answer never depends on its neighbours.
"""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np

from nextclick.serving.calls import Array, Call
from nextclick.serving.failures import RequestFailure, invalid
from nextclick.serving.metrics import Metrics
from nextclick.serving.servable import Servable
from nextclick.serving.settings_files import Batching

Kind = tuple[Any, ...]
Outcome = list[Array] | BaseException


@dataclasses.dataclass(frozen=True)
class _Task:
    call: Call
    rows: int
    since: float  # seconds, monotonic
    future: asyncio.Future[list[Array]]


@dataclasses.dataclass
class _Queue:
    """Calls of one kind that wait for a run."""

    servable: Servable
    tasks: collections.deque[_Task] = dataclasses.field(default_factory=collections.deque)
    rows: int = 0

    def add(self, task: _Task) -> None:
        self.tasks.append(task)
        self.rows += task.rows

    def take(self, most: int) -> list[_Task]:
        """Calls from the head that fit in one run of so many rows; those whose caller has left are dropped."""
        taken, rows = [], 0
        while self.tasks and rows + self.tasks[0].rows <= most:
            task = self.tasks.popleft()
            self.rows -= task.rows
            if not task.future.done():
                taken.append(task)
                rows += task.rows
        return taken


class Batcher:
    """Runs calls in batches. Lives in the event loop; the runs are in threads of its own."""

    def __init__(self, batching: Batching, metrics: Metrics) -> None:
        self._batching = batching
        self._metrics = metrics
        self._pool = ThreadPoolExecutor(batching.num_batch_threads, thread_name_prefix="batch")
        self._free = batching.num_batch_threads
        self._queues: dict[Kind, _Queue] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def run(self, servable: Servable, call: Call) -> list[Array]:
        """One array for each output of the call. Raises RequestFailure: too many rows, or the queue is full."""
        rows = call.rows
        if rows is None:
            raise invalid("batching needs inputs with the same 0th dimension in all of them")
        if rows > self._batching.max_batch_size:
            raise invalid(f"{rows} rows are more than the maximum batch size of {self._batching.max_batch_size}")
        size = self._batching.max_execution_batch_size
        if rows <= size:
            return await self._enqueue(servable, call, rows)
        parts = [_slice(call, start, start + size) for start in range(0, rows, size)]
        results = await asyncio.gather(*(self._enqueue(servable, part, part.rows or 0) for part in parts))
        return [np.concatenate(arrays) for arrays in zip(*results, strict=True)]

    def close(self) -> None:
        """Waits for the runs under way."""
        self._pool.shutdown()

    def _enqueue(self, servable: Servable, call: Call, rows: int) -> asyncio.Future[list[Array]]:
        queue = self._queues.setdefault(_kind(servable, call), _Queue(servable))
        if queue.rows + rows > self._batching.max_enqueued_batches * self._batching.max_execution_batch_size:
            raise RequestFailure(grpc.StatusCode.UNAVAILABLE, "the batching queue is full: ask later")
        future: asyncio.Future[list[Array]] = asyncio.get_running_loop().create_future()
        queue.add(_Task(call, rows, time.monotonic(), future))
        self._dispatch()
        return future

    def _dispatch(self) -> None:
        """Starts every batch that may start, and wakes up when the next one may."""
        while self._free and (kind := self._ripe()):
            queue = self._queues[kind]
            tasks = queue.take(self._batching.max_execution_batch_size)
            if tasks:
                self._start(queue.servable, tasks)
            if not queue.tasks:
                del self._queues[kind]
        self._set_timer()

    def _ripe(self) -> Kind | None:
        """The queue whose first call has waited longest, among those with a full or an overdue batch."""
        overdue, full = time.monotonic() - self._batching.batch_timeout_seconds, self._batching.max_execution_batch_size
        ripe = {
            queue.tasks[0].since: kind
            for kind, queue in self._queues.items()
            if queue.tasks[0].since <= overdue or queue.rows >= full
        }
        return ripe[min(ripe)] if ripe else None

    def _start(self, servable: Servable, tasks: list[_Task]) -> None:
        self._free -= 1
        now = time.monotonic()
        self._metrics.batch_size.add(sum(task.rows for task in tasks))
        for task in tasks:
            self._metrics.queueing_latency.add((now - task.since) * 1e6)
        work = asyncio.get_running_loop().run_in_executor(
            self._pool, _run, servable, [task.call for task in tasks], self._batching.allowed_batch_sizes
        )
        work.add_done_callback(lambda done: self._finish(tasks, done))

    def _finish(self, tasks: list[_Task], done: asyncio.Future[list[Outcome]]) -> None:
        self._free += 1
        error = done.exception()
        outcomes = done.result() if error is None else [error] * len(tasks)
        for task, outcome in zip(tasks, outcomes, strict=True):
            if task.future.done():
                continue
            if isinstance(outcome, BaseException):
                task.future.set_exception(outcome)
            else:
                task.future.set_result(outcome)
        self._dispatch()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._queues and self._free:
            first = min(queue.tasks[0].since for queue in self._queues.values())
            wait = max(0.0, first + self._batching.batch_timeout_seconds - time.monotonic())
            self._timer = asyncio.get_running_loop().call_later(wait, self._dispatch)


def _kind(servable: Servable, call: Call) -> Kind:
    shapes = tuple((alias, array.shape[1:]) for alias, array in sorted(call.inputs.items()))
    return (id(servable), call.signature, call.outputs, shapes)


def _slice(call: Call, start: int, end: int) -> Call:
    return dataclasses.replace(call, inputs={alias: array[start:end] for alias, array in call.inputs.items()})


def _run(servable: Servable, parts: Sequence[Call], allowed: Sequence[int]) -> list[Outcome]:
    """What became of each call: one run of all, and where the graph refuses that, one run each, to find the culprit."""
    total = sum(part.rows or 0 for part in parts)
    fill = next((size for size in allowed if size >= total), total) - total if total else 0
    try:
        if len(parts) == 1 and not fill:
            return [servable.run(parts[0])]
        return [*_run_together(servable, parts, total, fill)]
    except RequestFailure as failure:
        if len(parts) == 1:
            return [failure]
        return [outcome for part in parts for outcome in _run(servable, [part], allowed)]


def _run_together(servable: Servable, parts: Sequence[Call], total: int, fill: int) -> Iterator[list[Array]]:
    inputs = {alias: _joined([part.inputs[alias] for part in parts], fill) for alias in parts[0].inputs}
    results = servable.run(dataclasses.replace(parts[0], inputs=inputs))
    if any(array.ndim == 0 or array.shape[0] != total + fill for array in results):
        raise RequestFailure(
            grpc.StatusCode.FAILED_PRECONDITION,
            f"signature {parts[0].signature} cannot be batched: an output has no row for each input row",
        )
    start = 0
    for part in parts:
        end = start + (part.rows or 0)
        yield [array[start:end] for array in results]
        start = end


def _joined(arrays: list[Array], fill: int) -> Array:
    """One array of all rows; the rows that fill it up to an allowed size repeat the first one."""
    first = next(array for array in arrays if array.shape[0])[:1] if fill else arrays[0][:0]
    return np.concatenate([*arrays, *[first] * fill])
