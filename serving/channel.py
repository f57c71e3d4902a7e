"""How a client reaches a server: address, options of the channel, TLS, pauses between tries, errors in words."""

from __future__ import annotations

import dataclasses
import json
import random
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc

from nextclick.pipeline.errors import ConfigError, ServingError
from nextclick.serving.messages import Target

DEFAULT_ADDRESS = "127.0.0.1:8500"
DEFAULT_TIMEOUT_SECONDS = 2.0
MAX_ANSWER_BYTES = 64 * 2**20  # the largest batch with the largest K, with room to spare

FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 1.0

# A server closes connections that ping more often than every five minutes without data (GOAWAY, too_many_pings).
KEEPALIVE_SECONDS = 300
_ADDRESS = re.compile(r"(?:dns:/*)?(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):(\d{1,5})|unix:.+")


@dataclasses.dataclass(frozen=True)
class Tls:
    """Files (PEM) of a TLS connection; with certificate and key the client shows its own as well (mutual TLS)."""

    ca_file: str = ""
    certificate_file: str = ""
    key_file: str = ""
    server_name: str = ""  # where the server's certificate names another host than the address

    def __post_init__(self) -> None:
        """Raises ConfigError where only one of certificate and key is given."""
        if bool(self.certificate_file) != bool(self.key_file):
            raise ConfigError("mutual TLS needs both certificate_file and key_file, received only one of them")

    def credentials(self) -> grpc.ChannelCredentials:
        """Reads the files. Raises ConfigError on one that cannot be read."""
        return grpc.ssl_channel_credentials(
            root_certificates=_read(self.ca_file),
            private_key=_read(self.key_file),
            certificate_chain=_read(self.certificate_file),
        )


class Deadline:
    """A moment that a call, with all its tries, must not pass."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds left, never below zero."""
        return max(0.0, self._end - time.monotonic())


def check_address(address: str) -> str:
    """The address, if it is one. Raises ConfigError."""
    match = _ADDRESS.fullmatch(address)
    if match is None or (match[1] and not 0 < int(match[1]) < 65536):
        raise ConfigError(f"the address must be HOST:PORT such as {DEFAULT_ADDRESS}, received {address!r}")
    return address


def options(tls: Tls | None) -> list[tuple[str, Any]]:
    """Options of the channel, the same for both clients.

    Calls are spread over all addresses that the name resolves to (round_robin over a headless service). A lost
    connection is tried again within a second, so that a client whose deadline allows it sees a restarted server.
    """
    chosen: list[tuple[str, Any]] = [
        ("grpc.max_receive_message_length", MAX_ANSWER_BYTES),
        ("grpc.keepalive_time_ms", KEEPALIVE_SECONDS * 1000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.keepalive_permit_without_calls", 0),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 1000),
        ("grpc.max_reconnect_backoff_ms", 1000),
        ("grpc.service_config", json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})),
    ]
    if tls is not None and tls.server_name:
        chosen.append(("grpc.ssl_target_name_override", tls.server_name))
    return chosen


def open_channel(module: Any, address: str, tls: Tls | None) -> Any:
    """A channel of `module`: `grpc` for the blocking client, `grpc.aio` for asyncio."""
    check_address(address)
    if tls is None:
        return module.insecure_channel(address, options=options(tls))
    return module.secure_channel(address, tls.credentials(), options=options(tls))


def pauses() -> Iterator[float]:
    """Seconds to wait before each further try: doubling up to a second, less a random part.

    The random part keeps the clients of a restarted server from coming back at the same moment.
    """
    longest = FIRST_PAUSE_SECONDS
    while True:
        yield longest * random.uniform(0.5, 1.0)
        longest = min(2 * longest, LONGEST_PAUSE_SECONDS)


def in_words(error: grpc.RpcError, address: str, target: Target, seconds: float) -> ServingError:
    """A failed call as one sentence that names the address and the model."""
    code, details = error.code(), _one_line(error.details())
    if code is grpc.StatusCode.UNAVAILABLE:
        return ServingError(
            f"no server answers at {address} for model {target.model} within {seconds:g} s ({details}): "
            "start one with nextclick serve, or give its --address"
        )
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return ServingError(f"{address} did not answer for model {target.model} within {seconds:g} s")
    if code is grpc.StatusCode.NOT_FOUND:
        return ServingError(f"{address} does not serve what was asked of model {target.model}: {details}")
    return ServingError(f"{address} refused a request for model {target.model} with {code.name}: {details}")


def _one_line(details: str | None) -> str:
    return " ".join((details or "no details").split())


def _read(path: str) -> bytes | None:
    if not path:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read the TLS file {path}: {error.strerror}") from error
