"""TensorFlow Serving itself: its program or its Docker image, started, waited for, and stopped with us."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf import text_format

from nextclick.pipeline.errors import ServingError
from nextclick.serving.client import Client

PROGRAM = "tensorflow_model_server"
# The serving API that this project pins is of the same minor version.
IMAGE = "tensorflow/serving:2.16.1"
DOCKER_TIMEOUT_SECONDS = 10
START_TIMEOUT_SECONDS = 300.0  # an image may have to be fetched first

_GRPC_PORT, _REST_PORT = 8500, 8501  # inside the container
_LOOK_SECONDS = 0.2


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """Where a server listens; REST only where its port is given."""

    host: str
    port: int
    rest_port: int | None

    @property
    def address(self) -> str:
        """Of gRPC, for clients."""
        return f"{self.host}:{self.port}"

    @property
    def rest_address(self) -> str | None:
        """Of REST, or None."""
        return None if self.rest_port is None else f"{self.host}:{self.rest_port}"


@dataclasses.dataclass(frozen=True)
class SettingsFiles:
    """TensorFlow Serving's own settings files (settings_files.py); None: not given."""

    batching: Path | None = None
    monitoring: Path | None = None
    ssl: Path | None = None

    def paths(self) -> list[Path]:
        """Those that are given."""
        return [path for path in (self.batching, self.monitoring, self.ssl) if path is not None]


def has_program() -> bool:
    """Whether TensorFlow Serving is installed here."""
    return shutil.which(PROGRAM) is not None


def has_docker() -> bool:
    """Whether a Docker engine answers; the `docker` program alone is not enough."""
    if shutil.which("docker") is None:
        return False
    try:
        answer = subprocess.run(
            ["docker", "version", "--format", "{{.Server.Version}}"],
            capture_output=True,
            timeout=DOCKER_TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return answer.returncode == 0 and bool(answer.stdout.strip())


def program_command(config_file: Path, endpoint: Endpoint, files: SettingsFiles) -> list[str]:
    """How the program is started."""
    return [PROGRAM, *_flags(config_file, endpoint.port, endpoint.rest_port, files)]


def docker_command(config: Any, config_file: Path, endpoint: Endpoint, files: SettingsFiles) -> list[str]:
    """How the container is started; every path is mounted where it is here, so that a reload can name it too."""
    command = ["docker", "run", "--rm", "--init", "-p", f"{endpoint.address}:{_GRPC_PORT}"]
    if endpoint.rest_port is not None:
        command += ["-p", f"{endpoint.host}:{endpoint.rest_port}:{_REST_PORT}"]
    mounted = [entry.base_path for entry in config.model_config_list.config]
    for path in [*mounted, str(config_file.parent), *map(str, files.paths())]:
        command += ["-v", f"{path}:{path}:ro"]
    rest_port = None if endpoint.rest_port is None else _REST_PORT
    return [*command, "--entrypoint", PROGRAM, IMAGE, *_flags(config_file, _GRPC_PORT, rest_port, files)]


@contextlib.contextmanager
def config_file(config: Any) -> Iterator[Path]:
    """The configuration as a text file that lives as long as the block."""
    with tempfile.TemporaryDirectory(prefix="nextclick-serving-") as folder:
        path = Path(folder) / "models.config"
        path.write_text(text_format.MessageToString(config), encoding="utf-8")
        yield path


def with_free_ports(endpoint: Endpoint) -> Endpoint:
    """The endpoint with a free port in place of each 0, which TensorFlow Serving would take for "off"."""
    port = endpoint.port or _free_port(endpoint.host)
    rest_port = endpoint.rest_port if endpoint.rest_port != 0 else _free_port(endpoint.host)
    return dataclasses.replace(endpoint, port=port, rest_port=rest_port)


def wait_available(
    process: subprocess.Popen[bytes], address: str, models: list[str], timeout_seconds: float
) -> dict[str, int]:
    """Waits until every model has a version that answers; returns the newest of each.

    Raises ServingError where the server ends or takes longer.
    """
    end = time.monotonic() + timeout_seconds
    found: dict[str, int] = {}
    for model in models:
        with Client(address, model, timeout_seconds=1.0) as client:
            while not (available := _available(client)):
                if process.poll() is not None:
                    raise ServingError(f"the server ended with exit code {process.returncode}: see its output above")
                if time.monotonic() > end:
                    raise ServingError(f"model {model} is not available at {address} after {timeout_seconds:g} s")
                time.sleep(_LOOK_SECONDS)
            found[model] = max(available)
    return found


def forward_signals(process: subprocess.Popen[bytes]) -> None:
    """Hands SIGTERM and SIGINT on, so that stopping us stops the server."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, frame: process.send_signal(received))


def _available(client: Client) -> list[int]:
    try:
        return [version for version, state in client.versions().items() if state == "AVAILABLE"]
    except ServingError:
        return []


def _flags(config_file: Path, port: int, rest_port: int | None, files: SettingsFiles) -> list[str]:
    flags = [
        f"--port={port}",
        f"--model_config_file={config_file}",
        "--file_system_poll_wait_seconds=1",
        "--allow_version_labels_for_unavailable_models=true",
        # With none of their own, loads and unloads run in the threads that answer requests.
        "--num_load_threads=1",
        "--num_unload_threads=1",
    ]
    if rest_port is not None:
        flags.append(f"--rest_api_port={rest_port}")
    if files.batching is not None:
        flags += ["--enable_batching=true", f"--batching_parameters_file={files.batching}"]
    if files.monitoring is not None:
        flags.append(f"--monitoring_config_file={files.monitoring}")
    if files.ssl is not None:
        flags.append(f"--ssl_config_file={files.ssl}")
    return flags


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])
