"""The load generator of `nextclick benchmark serve`, which runs it as a process of its own.

Reads a job as JSON from standard input and writes the latencies of its calls, in seconds, as JSON to standard output.
Requests are serialised beforehand and answers are left as bytes, so that on a small machine the server gets the cores.

    closed loop  `workers` callers, each asks again as soon as it is answered
    open loop    calls leave at random moments, `rate` a second on average, whatever becomes of the earlier ones;
                 latency counts from the moment a call should have left
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from typing import Any

import grpc
import grpc.aio

from nextclick.serving import channel, messages
from nextclick.serving.messages import Target

PREDICT = "/tensorflow.serving.PredictionService/Predict"
DISTINCT_REQUESTS = 500
LONGEST_SESSION = 8


def main() -> int:
    """Runs the job on standard input."""
    json.dump(asyncio.run(run(json.load(sys.stdin))), sys.stdout)
    return 0


async def run(job: dict[str, Any]) -> dict[str, Any]:
    """Latencies and errors of a job: address, model, items, length, seed, seconds, and workers or rate."""
    requests = _requests(job)
    async with channel.open_channel(grpc.aio, job["address"], None) as connection:
        call = connection.unary_unary(PREDICT)
        for request in requests[:20]:
            await call(request, timeout=60)
        caller = _Caller(call, requests)
        if "rate" in job:
            await caller.open_loop(job["rate"], job["seconds"], random.Random(job["seed"]))
        else:
            await asyncio.gather(*(caller.closed_loop(job["seconds"], worker) for worker in range(job["workers"])))
    return {"latencies": caller.latencies, "errors": caller.errors, "seconds": caller.seconds}


class _Caller:
    def __init__(self, call: Any, requests: list[bytes]) -> None:
        self._call, self._requests = call, requests
        self.latencies: list[float] = []
        self.errors = 0
        self.seconds = 0.0

    async def closed_loop(self, seconds: float, worker: int) -> None:
        start = time.perf_counter()
        number = worker
        while time.perf_counter() - start < seconds:
            await self._ask(time.perf_counter(), number)
            number += 17
        self.seconds = time.perf_counter() - start

    async def open_loop(self, rate: float, seconds: float, chance: random.Random) -> None:
        start = due = time.perf_counter()
        tasks: list[asyncio.Future[None]] = []
        while due - start < seconds:
            wait = due - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            tasks.append(asyncio.ensure_future(self._ask(due, len(tasks))))
            due += chance.expovariate(rate)
        await asyncio.gather(*tasks)
        self.seconds = time.perf_counter() - start

    async def _ask(self, since: float, number: int) -> None:
        try:
            await self._call(self._requests[number % len(self._requests)], timeout=10)
            self.latencies.append(time.perf_counter() - since)
        except grpc.RpcError:
            self.errors += 1


def _requests(job: dict[str, Any]) -> list[bytes]:
    """Requests for sessions of one to eight items of the catalogue, padded to the model's look-back."""
    chance, target = random.Random(job["seed"]), Target(job["model"])
    sessions = [chance.choices(job["items"], k=chance.randint(1, LONGEST_SESSION)) for _ in range(DISTINCT_REQUESTS)]
    return [messages.predict_request([session], target, job["length"]).SerializeToString() for session in sessions]


if __name__ == "__main__":
    sys.exit(main())
