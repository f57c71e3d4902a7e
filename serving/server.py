"""Serves pushed models by the best server at hand, and says which: TensorFlow Serving's program, its Docker image,
or the local server. `running` starts one in a process of its own for as long as a block of code needs it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nextclick.pipeline.errors import ConfigError, ServingError
from nextclick.serving import external, local, settings_files
from nextclick.serving.external import Endpoint, SettingsFiles

PROGRAM, DOCKER, LOCAL = ("tensorflow_model_server", "docker", "local")

_LOOK_SECONDS = 0.02
_STOP_SECONDS = 30.0


def choose() -> str:
    """The best server that this machine has."""
    if external.has_program():
        return PROGRAM
    return DOCKER if external.has_docker() else LOCAL


def serve(config: Any, kind: str, settings: local.LocalSettings, files: SettingsFiles) -> int:
    """Serves a ModelServerConfig until SIGTERM or SIGINT; returns the server's exit code.

    Raises ConfigError where that kind of server is not here or a settings file is wrong, ServingError where it does
    not come up.
    """
    settings = with_files(settings, files)  # read in any case: TensorFlow Serving's own complaints are hard to find
    if kind == LOCAL:
        print("server: the local server of nextclick (TensorFlow in Python, for development and CPU nodes)", flush=True)
        return local.run(config, settings)
    if settings.playground:
        raise ConfigError("the playground is a page of the local server: add --server local")
    if kind == PROGRAM and not external.has_program():
        raise ConfigError(f"{PROGRAM} is not on the PATH: install TensorFlow Serving or leave --server out")
    if kind == DOCKER and not external.has_docker():
        raise ConfigError("no Docker engine answers here: start it or leave --server out")
    return _serve_externally(config, kind, settings, files)


def with_files(settings: local.LocalSettings, files: SettingsFiles) -> local.LocalSettings:
    """Settings of the local server with what TensorFlow Serving's files say. Raises ConfigError."""
    return dataclasses.replace(
        settings,
        batching=settings_files.read_batching(files.batching) if files.batching else None,
        metrics_path=settings_files.read_monitoring_path(files.monitoring) if files.monitoring else None,
        tls=settings_files.read_tls(files.ssl) if files.ssl else None,
    )


@contextlib.contextmanager
def running(*arguments: str, timeout_seconds: float = 120.0) -> Iterator[dict[str, Any]]:
    """Runs `nextclick serve ARGUMENTS` in a process of its own, on a free port unless the arguments name one.

    Yields what the server says of itself when it is ready: {"server", "grpc": "HOST:PORT", "rest", "models": {name:
    version}}. Stops it at the end of the block. Raises ServingError with its last words where it does not come up.
    """
    process, facts = start(*arguments, timeout_seconds=timeout_seconds)
    try:
        yield facts
    finally:
        stop(process)


def start(*arguments: str, timeout_seconds: float = 120.0) -> tuple[subprocess.Popen[bytes], dict[str, Any]]:
    """As `running`, for callers that stop the process themselves."""
    with tempfile.TemporaryDirectory(prefix="nextclick-serve-") as folder:
        ready_file, log = Path(folder) / "ready.json", Path(folder) / "log"
        ports = [] if "--port" in arguments else ["--port", "0"]
        command = [sys.executable, "-m", "nextclick.pipeline.cli", "serve", *arguments, *ports]
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*command, "--ready-file", str(ready_file)], stdout=output, stderr=subprocess.STDOUT
            )
        try:
            _wait_ready(process, ready_file, log, timeout_seconds)
            return process, json.loads(ready_file.read_text(encoding="utf-8"))
        except BaseException:
            stop(process)
            raise


def stop(process: subprocess.Popen[bytes]) -> int:
    """Tells a server to stop and waits until it has answered its calls; kills it where it takes too long."""
    process.terminate()
    try:
        return process.wait(timeout=_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def _wait_ready(process: subprocess.Popen[bytes], ready_file: Path, log: Path, timeout_seconds: float) -> None:
    end = time.monotonic() + timeout_seconds
    while not ready_file.exists():
        if process.poll() is not None or time.monotonic() > end:
            state = "is not ready" if process.returncode is None else f"ended with exit code {process.returncode}"
            words = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            raise ServingError(f"the server {state}; its last words: {words[-1] if words else '(none)'}")
        time.sleep(_LOOK_SECONDS)


def _serve_externally(config: Any, kind: str, settings: local.LocalSettings, files: SettingsFiles) -> int:
    endpoint = external.with_free_ports(Endpoint(settings.host, settings.port, settings.rest_port))
    with external.config_file(config) as path:
        if kind == PROGRAM:
            print("server: TensorFlow Serving, the tensorflow_model_server on this machine", flush=True)
            command = external.program_command(path, endpoint, files)
        else:
            print(f"server: TensorFlow Serving in Docker, image {external.IMAGE}", flush=True)
            command = external.docker_command(config, path, endpoint, files)
        with subprocess.Popen(command) as process:
            external.forward_signals(process)
            names = [entry.name for entry in config.model_config_list.config]
            try:
                models = external.wait_available(process, endpoint.address, names, external.START_TIMEOUT_SECONDS)
            except ServingError:
                stop(process)
                raise
            facts = {"server": kind, "grpc": endpoint.address, "rest": endpoint.rest_address, "models": models}
            local.announce(facts, settings.ready_file)
            return _exit_code(process.wait())


def _exit_code(code: int) -> int:
    """TensorFlow Serving dies of the SIGTERM or SIGINT that it is stopped with: that is a good end."""
    return 0 if code in (-2, -15, 130, 143) else code
