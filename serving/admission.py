"""Who may come in: at most so many calls at once, and none when the server is stopping."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator

import grpc

from nextclick.serving.failures import RequestFailure

# A stopping server waits until no call has come for so long: gRPC cancels what it has received and not yet handed on.
QUIET_SECONDS = 0.2
_LOOK_SECONDS = 0.02


class Admission:
    """Counts the calls under way, whatever road they come by. Lives in the event loop."""

    def __init__(self, most: int) -> None:
        self.under_way = 0
        self._most = most
        self._stopping = False
        self._last_seconds = 0.0  # when the last call came, by the monotonic clock

    @contextlib.contextmanager
    def admitted(self) -> Iterator[None]:
        """One call. Raises RequestFailure: RESOURCE_EXHAUSTED beyond the limit, UNAVAILABLE while stopping."""
        self._last_seconds = time.monotonic()
        if self._stopping:
            raise RequestFailure(grpc.StatusCode.UNAVAILABLE, "the server is stopping: ask another one")
        if self.under_way >= self._most:
            raise RequestFailure(
                grpc.StatusCode.RESOURCE_EXHAUSTED, f"{self._most} calls are under way, which is the limit: ask later"
            )
        self.under_way += 1
        try:
            yield
        finally:
            self.under_way -= 1

    async def close(self, grace_seconds: float) -> None:
        """Lets no further call in; returns when those under way have ended and no more come, or the grace is over."""
        self._stopping = True
        end = time.monotonic() + grace_seconds
        while time.monotonic() < end and (self.under_way or time.monotonic() - self._last_seconds < QUIET_SECONDS):
            await asyncio.sleep(_LOOK_SECONDS)
