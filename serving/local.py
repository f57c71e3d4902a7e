"""The local server: TensorFlow Serving's protocol on grpc.aio over TensorFlow's C++ sessions.

For development, tests and small CPU nodes, where TensorFlow Serving itself is not installed.

    models are loaded and warmed up → the port opens → "ready" is printed and the ready file is written
    SIGTERM or SIGINT → health says NOT_SERVING, no new call is taken, calls under way are answered → exit 0
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from nextclick.pipeline.errors import ServingError
from nextclick.serving import protos
from nextclick.serving.admission import Admission
from nextclick.serving.models import Models
from nextclick.serving.services import ModelService, PredictionService, Predictor, Runner

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class LocalSettings:
    """How the local server runs."""

    host: str = "127.0.0.1"
    port: int = 8500  # 0: any free one
    rest_port: int | None = None  # 0: any free one; None: no REST
    poll_seconds: float = 1.0  # between two looks for new versions
    grace_seconds: float = 15.0  # that calls under way get when the server is told to stop
    run_threads: int = 2  # calls that run at once
    threads: int = 0  # of TensorFlow, in one call; 0: all cores
    max_message_bytes: int = 64 * 2**20
    max_concurrent_calls: int = 1000  # beyond: RESOURCE_EXHAUSTED
    ready_file: Path | None = None


def run(config: Any, settings: LocalSettings) -> int:
    """Serves a ModelServerConfig until SIGTERM or SIGINT; returns 0 when all calls have been answered.

    Raises ServingError where the port is taken or no version of a model can be loaded.
    """
    asyncio.run(_serve(config, settings))
    return 0


async def _serve(config: Any, settings: LocalSettings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    models, runner = Models(config, threads=settings.threads), Runner(settings.run_threads)
    admission = Admission(settings.max_concurrent_calls)
    server, healthy = _build(models, runner, admission, settings)
    port = _bind(server, settings)
    stopped = asyncio.ensure_future(stop.wait())
    loading = asyncio.ensure_future(models.poll())
    await asyncio.wait({stopped, loading}, return_when=asyncio.FIRST_COMPLETED)
    if stopped.done():
        await loading
        await models.close()
        return
    _check_loaded(models)
    await server.start()
    await _report_health(healthy, models)
    facts = {"server": "local", "grpc": f"{settings.host}:{port}", "rest": None, "models": models.names()}
    announce(facts, settings.ready_file)
    watching = asyncio.ensure_future(_watch(models, healthy, settings.poll_seconds))
    await stop.wait()
    log.info("stopping: calls under way have %g s", settings.grace_seconds)
    watching.cancel()
    await healthy.enter_graceful_shutdown()
    await admission.close(settings.grace_seconds)
    await server.stop(1.0)
    runner.close()
    await models.close()


def announce(facts: dict[str, Any], ready_file: Path | None) -> None:
    """Says that the server answers: one line on stdout, "ready: " and the facts as JSON, the same in the ready file."""
    text = json.dumps(facts)
    if ready_file is not None:
        aside = ready_file.with_name(ready_file.name + f".{os.getpid()}")
        aside.write_text(text + "\n", encoding="utf-8")
        aside.replace(ready_file)
    print(f"ready: {text}", flush=True)


def _build(
    models: Models, runner: Runner, admission: Admission, settings: LocalSettings
) -> tuple[grpc.aio.Server, Any]:
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", settings.max_message_bytes),
            ("grpc.so_reuseport", 0),  # a second server on the port is an error, not a silent share of its calls
        ]
    )
    predictor = Predictor(models, runner)
    protos.prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        PredictionService(models, predictor, admission), server
    )
    protos.model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(models, admission), server)
    healthy = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
    return server, healthy


def _bind(server: grpc.aio.Server, settings: LocalSettings) -> int:
    address = f"{settings.host}:{settings.port}"
    try:
        port = server.add_insecure_port(address)
    except RuntimeError as error:
        raise ServingError(f"cannot listen on {address}: {error}; is another server there? try --port 0") from error
    if not port:
        raise ServingError(f"cannot listen on {address}; is another server there? try --port 0")
    return int(port)


def _check_loaded(models: Models) -> None:
    missing = [name for name, version in models.names().items() if version is None]
    if missing:
        reasons = "; ".join(models.reasons()) or "no version on disk"
        raise ServingError(f"no version of model {', '.join(missing)} can be served: {reasons}")


async def _watch(models: Models, healthy: Any, poll_seconds: float) -> None:
    async def keep_reporting() -> None:
        while True:
            await asyncio.sleep(poll_seconds)
            await _report_health(healthy, models)

    await asyncio.gather(models.watch(poll_seconds), keep_reporting())


async def _report_health(healthy: Any, models: Models) -> None:
    """Health of the whole server ("") and of each model by its name."""
    serving, broken = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
    names = models.names()
    for name, version in names.items():
        await healthy.set(name, broken if version is None else serving)
    await healthy.set("", serving if all(version is not None for version in names.values()) else broken)


def log_to_stderr() -> None:
    """One line a message, with its time."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
