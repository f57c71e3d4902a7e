"""A small HTTP/1.1 server on asyncio; h11 does the protocol. One handler answers every request.

Keep-alive, bodies with a length or in chunks, `Expect: 100-continue`, a limit on bodies, a limit on idle time.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import Awaitable, Callable

import h11

from nextclick.pipeline.errors import ServingError

IDLE_SECONDS = 75.0
_READ_BYTES = 64 * 1024

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Request:
    """What was asked: `path` without the query."""

    method: str
    path: str
    body: bytes


@dataclasses.dataclass(frozen=True)
class Response:
    """What is answered."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


Handler = Callable[[Request], Awaitable[Response]]


class HttpServer:
    """Serves one handler on one port."""

    def __init__(self, handler: Handler, max_body_bytes: int) -> None:
        self._handler = handler
        self._max_body_bytes = max_body_bytes
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self, host: str, port: int) -> int:
        """Listens, and returns the port. Raises ServingError where it is taken."""
        try:
            self._server = await asyncio.start_server(self._connected, host, port)
        except OSError as error:
            raise ServingError(
                f"cannot listen on {host}:{port} for REST: {error.strerror}; try --rest-port 0"
            ) from error
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Takes no more connections and closes those that are open."""
        if self._server is not None:
            self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await _Connection(reader, writer, self._handler, self._max_body_bytes).serve()
        except (OSError, asyncio.TimeoutError, h11.RemoteProtocolError):
            pass  # the other side has left, or speaks no HTTP: nobody to tell
        finally:
            self._connections.discard(task)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


class _TooLargeError(Exception):
    """The body is beyond the limit."""


class _Connection:
    """One client, request after request."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, handler: Handler, max_body_bytes: int
    ) -> None:
        self._reader, self._writer = reader, writer
        self._handler = handler
        self._max_body_bytes = max_body_bytes
        self._http = h11.Connection(h11.SERVER)

    async def serve(self) -> None:
        """Answers until the client leaves or keeps silent too long."""
        while True:
            try:
                request = await self._receive()
            except _TooLargeError:
                text = f'{{"error": "the body is larger than {self._max_body_bytes} bytes"}}'
                await self._send(Response(413, text.encode()), close=True)
                return
            if request is None:
                return
            try:
                response = await self._handler(request)
            except Exception:
                log.exception("%s %s failed", request.method, request.path)
                response = Response(500, b'{"error": "internal error: see the server\'s log"}')
            await self._send(response)
            if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
                return
            self._http.start_next_cycle()

    async def _receive(self) -> Request | None:
        """The next request, or None where the client has left. Raises _TooLargeError."""
        head = await self._event()
        if not isinstance(head, h11.Request):
            return None
        if self._http.they_are_waiting_for_100_continue:
            self._writer.write(self._http.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
        body = bytearray()
        while isinstance(event := await self._event(), h11.Data):
            body += event.data
            if len(body) > self._max_body_bytes:
                raise _TooLargeError
        if not isinstance(event, h11.EndOfMessage):
            return None
        return Request(head.method.decode(), head.target.decode("ascii").partition("?")[0], bytes(body))

    async def _event(self) -> object:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            data = await asyncio.wait_for(self._reader.read(_READ_BYTES), IDLE_SECONDS)
            self._http.receive_data(data)
        return event

    async def _send(self, response: Response, close: bool = False) -> None:
        headers = [
            ("content-type", response.content_type),
            ("content-length", str(len(response.body))),
            ("x-content-type-options", "nosniff"),
            *response.headers,
        ]
        if close:
            headers.append(("connection", "close"))
        parts = [
            self._http.send(h11.Response(status_code=response.status, headers=headers)),
            self._http.send(h11.Data(response.body)),
            self._http.send(h11.EndOfMessage()),
        ]
        self._writer.write(b"".join(part or b"" for part in parts))
        await self._writer.drain()
