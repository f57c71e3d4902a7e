"""Measure serving: latency, throughput, CPU and memory of a server under load from a second process over gRPC."""

from __future__ import annotations

import argparse
import functools
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from nextclick.pipeline import presets, timing
from nextclick.pipeline.config import Config

PEER = "Serenade (published; session kNN): p90 < 1.7 ms in process, 1,000 requests/s with p90 < 7 ms end to end, 2 vCPU"
# p99 limits, in milliseconds, for which the greatest rate is looked for.
LIMITS_MS = (10, 25, 50)
# Rates are tried in steps of this factor, from the closed loop's throughput downwards.
_STEP = 0.85
_MOST_STEPS = 12
_ANSWERED = 0.98  # share of the wanted rate that must really be answered


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `nextclick benchmark serve`."""
    parser.add_argument(
        "--items", metavar="N", type=int, nargs="+", default=[3_000, 40_000], help="catalogue sizes (%(default)s)"
    )
    parser.add_argument(
        "--preset", choices=tuple(presets.PRESETS), default="default", help="size of the network (%(default)s)"
    )
    parser.add_argument("--seconds", type=float, default=8.0, help="of each measurement (%(default)s)")
    parser.add_argument(
        "--workers", type=int, nargs="+", default=[1, 8, 32], help="callers of the closed loops (%(default)s)"
    )
    parser.add_argument(
        "--batching", metavar="FILE", default="default", help="batching parameters, or off (the ones we ship)"
    )
    parser.add_argument("--server", default="auto", help="which server; see nextclick serve (%(default)s)")


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Figures by catalogue size."""
    config = presets.PRESETS[args.preset]
    sizes = {f"{items:,} items": _measure_size(args, config, items) for items in args.items}
    return {"preset": args.preset, "load_average_before": os.getloadavg()[0], **sizes, "peer": PEER}


def _measure_size(args: argparse.Namespace, config: Config, items: int) -> dict[str, Any]:
    from nextclick.serving import server

    with tempfile.TemporaryDirectory(prefix="nextclick-benchmark-") as scratch:
        base = Path(scratch) / config.serving.model_name
        # Exported and called in a process of its own: this one must stay small beside the server.
        inside = json.loads(_python(_INSIDE, str(base / "1"), str(items), args.preset))
        started = time.monotonic()
        arguments = ("--model", str(base), "--server", args.server, "--batching", args.batching)
        with server.running(*arguments, timeout_seconds=300) as facts:
            first_answer = _first_answer(facts["grpc"], config, inside["item"], started)
            load = _Load(facts, config, inside.pop("items"), args.seconds)
            return {
                "server": facts["server"],
                **{name: inside[name] for name in ("model_bytes", "floor", "in_process")},
                "seconds_to_first_answer": first_answer,
                "closed_loop": {f"{workers} callers": load.closed(workers) for workers in args.workers},
                "open_loop": load.greatest_rates(),
                "memory_bytes_at_most": load.peak_memory_bytes(),
            }


class _Load:
    """Jobs of the load generator against one server."""

    def __init__(self, facts: dict[str, Any], config: Config, items: Sequence[str], seconds: float) -> None:
        self._job = {
            "address": facts["grpc"],
            "model": config.serving.model_name,
            "items": random.Random(config.seed).sample(items, min(len(items), 3000)),
            "length": config.features.lookback,
            "seed": config.seed,
        }
        self._pid, self._seconds, self._fastest = facts["pid"], seconds, 0.0

    def closed(self, workers: int) -> dict[str, Any]:
        """So many callers, each asking again as soon as it is answered."""
        result = self._run(workers=workers)
        self._fastest = max(self._fastest, result["requests_per_second"])
        return result

    def greatest_rates(self) -> dict[str, Any]:
        """For each limit on p99, the greatest of the tried rates that stays within it."""
        found: dict[str, Any] = {}
        rate, limits = self._fastest, list(LIMITS_MS)
        for _ in range(_MOST_STEPS):
            result = self._run(rate=rate)
            kept_up = not result["errors"] and result["requests_per_second"] >= _ANSWERED * rate
            for limit in list(limits):
                if kept_up and result["p99_ms"] <= limit:
                    found[f"p99 <= {limit} ms"] = result
                    limits.remove(limit)
            if not limits:
                break
            rate *= _STEP
        return dict(reversed(found.items())) | {f"p99 <= {limit} ms": "not reached" for limit in limits}

    def peak_memory_bytes(self) -> int | None:
        """Largest resident size of the server so far, where the system tells it."""
        status = Path(f"/proc/{self._pid}/status")
        if not status.exists():
            return None
        return next(int(line.split()[1]) * 1024 for line in status.read_text().splitlines() if line.startswith("VmHWM"))

    def _run(self, **kind: float) -> dict[str, Any]:
        before = _cpu_seconds(self._pid)
        job = {**self._job, "seconds": self._seconds, **kind}
        result = json.loads(_python("nextclick.pipeline.benchmarks.load", stdin=json.dumps(job), module=True))
        answered = len(result["latencies"])
        return {
            "requests_per_second": answered / result["seconds"],
            **percentiles_ms(result["latencies"]),
            "errors": result["errors"],
            "server_cpu_ms_per_request": (_cpu_seconds(self._pid) - before) * 1000 / answered,
        }


def percentiles_ms(seconds: Sequence[float]) -> dict[str, float]:
    """Median and tail of latencies, in milliseconds."""
    shares = {"p50_ms": 0.5, "p90_ms": 0.9, "p99_ms": 0.99, "p99.9_ms": 0.999}
    return {name: timing.percentile(seconds, share) * 1000 for name, share in shares.items()}


def inside(folder: str, items: int, preset: str) -> dict[str, Any]:
    """Exports a model and times its signature in this process, and the floor: scores and the best of them alone."""
    import tensorflow as tf

    from nextclick.components import best_items
    from nextclick.pipeline.benchmarks import untrained
    from nextclick.serving import calls, messages
    from nextclick.serving.messages import Target
    from nextclick.serving.servable import Servable

    config = presets.PRESETS[preset]
    ids = untrained.export(config, items, Path(folder))
    servable = Servable(config.serving.model_name, 1, Path(folder))
    servable.warm_up()
    vectors = tf.random.normal([config.model.embedding_size, items])
    best = tf.function(lambda rows: best_items.top_k(tf.matmul(rows, vectors), config.serving.top_k)[0])

    def top(session: tf.Tensor) -> Any:
        return best(session).numpy()

    floor, in_process = {}, {}
    for rows in (1, 32):
        request = messages.predict_request([ids[:5]] * rows, Target("m"), config.features.lookback)
        call = calls.read(request, servable.signatures)
        session = tf.random.normal([rows, config.model.embedding_size])
        floor[f"batch {rows}"] = _timed(functools.partial(top, session))
        in_process[f"batch {rows}"] = _timed(functools.partial(servable.run, call))
    size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    return {"items": ids, "item": ids[0], "model_bytes": size, "floor": floor, "in_process": in_process}


def _timed(run: Callable[[], Any], warm_up: int = 30, times: int = 300) -> dict[str, float]:
    for _ in range(warm_up):
        run()
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start)
    return percentiles_ms(taken)


_INSIDE = (
    "import json, sys; from nextclick.pipeline.benchmarks import serve;"
    "print(json.dumps(serve.inside(sys.argv[1], int(sys.argv[2]), sys.argv[3])))"
)


def _python(code: str, *arguments: str, stdin: str = "", module: bool = False) -> str:
    """Standard output of a Python process."""
    command = [sys.executable, "-m" if module else "-c", code, *arguments]
    return subprocess.run(command, input=stdin, stdout=subprocess.PIPE, text=True, check=True).stdout


def _first_answer(address: str, config: Config, item: str, started: float) -> float:
    from nextclick.serving.client import Client

    with Client(address, config.serving.model_name, timeout_seconds=60) as client:
        client.predict([item])
    return time.monotonic() - started


def _cpu_seconds(pid: int) -> float:
    """Processor time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
