"""The asyncio twin of `nextclick.serving.client`: the same arguments, answers and errors, with `await`.

    async with AsyncClient("recommender.shop.svc:8500") as client:
        answer = await client.predict(["214536502"], k=5)

Make it inside the event loop that will use it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Any

import grpc
import grpc.aio

from nextclick.serving import channel, messages
from nextclick.serving.channel import Deadline
from nextclick.serving.client import Asking
from nextclick.serving.messages import DEFAULT_TOP_K, Answer


class AsyncClient(Asking):
    """Asks one model at one address; arguments and errors as for `client.Client`."""

    _grpc = grpc.aio

    async def predict(
        self,
        items: Sequence[str],
        *,
        k: int = DEFAULT_TOP_K,
        exclude: Sequence[str] = (),
        timeout_seconds: float | None = None,
    ) -> Answer:
        """The k items that the model expects next after `items` (oldest first), none of them in `exclude`."""
        return (await self.predict_batch([items], k=k, exclude=exclude, timeout_seconds=timeout_seconds))[0]

    async def predict_batch(
        self,
        sessions: Sequence[Sequence[str]],
        *,
        k: int = DEFAULT_TOP_K,
        exclude: Sequence[str] = (),
        timeout_seconds: float | None = None,
    ) -> list[Answer]:
        """One answer a session, in one request."""
        messages.check_limits(sessions, k, exclude)
        deadline = self._deadline(timeout_seconds)
        request = self._request(sessions, await self._known_lookback(deadline))
        response = await self._call(self._predictions.Predict, request, deadline)
        return self._answers(response, len(sessions), k, exclude)

    async def close(self) -> None:
        """Closes the channel; calls under way end with an error."""
        await self._channel.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _known_lookback(self, deadline: Deadline) -> int | None:
        if self._pad_to is not None:
            return self._pad_to
        if self._lookback is None:
            metadata = await self._call(
                self._predictions.GetModelMetadata, messages.metadata_request(self._target), deadline
            )
            self._lookback = messages.lookback(metadata), metadata.model_spec.version.value
        return self._lookback[0]

    async def _call(self, method: Callable[..., Awaitable[Any]], request: Any, deadline: Deadline) -> Any:
        for pause in channel.pauses():
            try:
                return await method(request, timeout=deadline.left())
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE or deadline.left() <= pause:
                    raise self._failure(error, deadline) from error
            await asyncio.sleep(pause)
        raise AssertionError("the pauses have no end")
