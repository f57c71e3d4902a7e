"""The local server: TensorFlow Serving's protocol on grpc.aio over TensorFlow's C++ sessions.

For development, tests and small CPU nodes, where TensorFlow Serving itself is not installed.

    models are loaded and warmed up → the ports open → "ready" is printed and the ready file is written
    SIGTERM or SIGINT → health says NOT_SERVING, no new call is taken, calls under way are answered → exit 0
"""

from __future__ import annotations

import asyncio
import dataclasses
import gc
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

from nextclick.pipeline.errors import ConfigError, ServingError
from nextclick.serving import model_config, protos, reflection
from nextclick.serving.admission import Admission
from nextclick.serving.batching import Batcher
from nextclick.serving.failures import RequestFailure
from nextclick.serving.http import HttpServer
from nextclick.serving.metrics import Metrics
from nextclick.serving.models import Models
from nextclick.serving.rest import PLAYGROUND, Rest
from nextclick.serving.servable import import_tensorflow
from nextclick.serving.services import ModelService, PredictionService, Predictor, Runner
from nextclick.serving.settings_files import DEFAULT_METRICS_PATH, Batching, ServerTls

# Replies of calls that were answered just before the end get so long to leave.
_LAST_SECONDS = 1.0
_SWITCH_SECONDS = 0.0005

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class LocalSettings:
    """How the local server runs."""

    host: str = "127.0.0.1"
    port: int = 8500  # 0: any free one
    rest_port: int | None = None  # 0: any free one; None: no REST
    poll_seconds: float = 1.0  # between two looks for new versions
    grace_seconds: float = 15.0  # that calls under way get when the server is told to stop
    run_threads: int = 2  # calls that run at once, without batching
    threads: int = 0  # of TensorFlow, in one call; 0: all cores
    batching: Batching | None = None
    max_message_bytes: int = 64 * 2**20
    max_concurrent_calls: int = 1000  # beyond: RESOURCE_EXHAUSTED
    metrics_path: str | None = DEFAULT_METRICS_PATH
    tls: ServerTls | None = None
    playground: bool = False
    config_file: Path | None = None  # read again when it changes
    ready_file: Path | None = None


def run(config: Any, settings: LocalSettings) -> int:
    """Serves a ModelServerConfig until SIGTERM or SIGINT; returns 0 when all calls have been answered.

    Raises ServingError where a port is taken or no version of a model can be loaded.
    """

    async def serve() -> None:
        await LocalServer(config, settings).serve()

    asyncio.run(serve())
    return 0


class LocalServer:
    """The parts of one server, put together; made inside the event loop."""

    def __init__(self, config: Any, settings: LocalSettings) -> None:
        self._settings = settings
        metrics = Metrics()
        self._models = Models(config, metrics, threads=settings.threads)
        self._runner = Batcher(settings.batching, metrics) if settings.batching else Runner(settings.run_threads)
        self._admission = Admission(settings.max_concurrent_calls)
        self._healthy = health.aio.HealthServicer()
        predictor = Predictor(self._models, self._runner, metrics)
        self._grpc = self._grpc_server(predictor)
        self._started = False
        rest = Rest(
            self._models,
            predictor,
            self._admission,
            metrics=(settings.metrics_path, metrics.text) if settings.metrics_path else None,
            playground=Path(__file__).with_name("playground") if settings.playground else None,
        )
        self._http = HttpServer(rest.handle, settings.max_message_bytes)

    async def serve(self) -> None:
        """From loading the models to the last answer."""
        try:
            await self._serve()
        finally:
            # A gRPC server that never ran can spin for ever in its destructor: one that failed early is run, on no
            # port or with no call taken, and stopped.
            if not self._started:
                await self._grpc.start()
                await self._grpc.stop(None)
            self._runner.close()
            await self._models.close()

    async def _serve(self) -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        port = self._bind()
        await asyncio.get_running_loop().run_in_executor(None, _prepare_interpreter)
        stopped = asyncio.ensure_future(stop.wait())
        loading = asyncio.ensure_future(self._models.poll())
        await asyncio.wait({stopped, loading}, return_when=asyncio.FIRST_COMPLETED)
        await loading
        if not stopped.done():
            _check_loaded(self._models)
            await self._open(port)
            watching = asyncio.ensure_future(self._watch())
            await stopped
            log.info("stopping: calls under way have %g s", self._settings.grace_seconds)
            watching.cancel()
            await self._close()

    def _grpc_server(self, predictor: Predictor) -> grpc.aio.Server:
        server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", self._settings.max_message_bytes),
                ("grpc.so_reuseport", 0),  # a second server on the port is an error, not a silent share of its calls
            ]
        )
        protos.prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
            PredictionService(self._models, predictor, self._admission), server
        )
        protos.model_service_pb2_grpc.add_ModelServiceServicer_to_server(
            ModelService(self._models, self._admission), server
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._healthy, server)
        reflection.enable(server)
        return server

    def _bind(self) -> int:
        """Takes the gRPC port before the models are loaded, which takes seconds."""
        address, tls = f"{self._settings.host}:{self._settings.port}", self._settings.tls
        try:
            if tls is None:
                return int(self._grpc.add_insecure_port(address))
            credentials = grpc.ssl_server_credentials(
                [(tls.key, tls.certificate)], tls.authority or None, require_client_auth=tls.verify_clients
            )
            return int(self._grpc.add_secure_port(address, credentials))
        except (RuntimeError, ValueError) as error:
            raise ServingError(f"cannot listen on {address}: {error}; is another server there? try --port 0") from error

    async def _open(self, port: int) -> None:
        settings, rest = self._settings, None
        if settings.rest_port is not None:
            rest = f"{settings.host}:{await self._http.start(settings.host, settings.rest_port)}"
        await self._grpc.start()
        self._started = True
        await self._report_health()
        facts = {"server": "local", "grpc": f"{settings.host}:{port}", "rest": rest, "models": self._models.names()}
        if settings.playground and rest:
            print(f"playground: http://{rest}{PLAYGROUND}", flush=True)
        announce(facts, settings.ready_file)

    async def _close(self) -> None:
        await self._healthy.enter_graceful_shutdown()
        await self._admission.close(self._settings.grace_seconds)
        await self._grpc.stop(_LAST_SECONDS)
        await self._http.stop()

    async def _watch(self) -> None:
        """Looks for new versions and for a changed configuration file, for ever; whatever fails, the loaded go on."""
        seen = _changed_ns(self._settings.config_file)
        while True:
            await asyncio.sleep(self._settings.poll_seconds)
            try:
                if (changed := _changed_ns(self._settings.config_file)) != seen:
                    seen = changed
                    await self._reread()
                await self._models.poll()
                await self._report_health()
            except Exception:
                log.exception("looking for changes failed; the loaded versions go on serving")

    async def _reread(self) -> None:
        assert self._settings.config_file is not None
        try:
            await self._models.reconfigure(model_config.of_file(self._settings.config_file))
            log.info("read %s again", self._settings.config_file)
        except (ConfigError, RequestFailure) as error:
            log.error("left the changed %s unused: %s", self._settings.config_file, error)

    async def _report_health(self) -> None:
        """Health of the whole server ("") and of each model by its name."""
        serving, broken = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
        names = self._models.names()
        for name, version in names.items():
            await self._healthy.set(name, broken if version is None else serving)
        await self._healthy.set("", serving if all(version is not None for version in names.values()) else broken)


def announce(facts: dict[str, Any], ready_file: Path | None) -> None:
    """Says that the server answers: one line on stdout, "ready: " and the facts as JSON, the same in the ready file."""
    text = json.dumps({**facts, "pid": os.getpid()})
    if ready_file is not None:
        aside = ready_file.with_name(f"{ready_file.name}.{os.getpid()}")
        aside.write_text(text + "\n", encoding="utf-8")
        aside.replace(ready_file)
    print(f"ready: {text}", flush=True)


def log_to_stderr() -> None:
    """One line a message, with its time."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")


def _prepare_interpreter() -> None:
    """Keeps the interpreter's own pauses out of the calls while versions come and go."""
    import_tensorflow()
    # A version that is loaded runs Python for a second: calls must get the interpreter's lock back soon, not in 5 ms.
    sys.setswitchinterval(_SWITCH_SECONDS)
    # What TensorFlow's import left is never garbage: collecting an unloaded version need not walk through all of it.
    gc.collect()
    gc.freeze()


def _changed_ns(path: Path | None) -> int:
    """When a file was last written; 0 where it is not there."""
    return path.stat().st_mtime_ns if path is not None and path.exists() else 0


def _check_loaded(models: Models) -> None:
    missing = [name for name, version in models.names().items() if version is None]
    if missing:
        reasons = "; ".join(models.reasons()) or "no version on disk"
        raise ServingError(f"no version of model {', '.join(missing)} can be served: {reasons}")
