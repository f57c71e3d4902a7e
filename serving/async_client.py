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
from nextclick.serving.messages import Answer, ModelFacts
from nextclick.serving.wanted import Wanted


class AsyncClient(Asking):
    """Asks one model at one address; arguments and errors as for `client.Client`."""

    _grpc = grpc.aio

    async def predict(
        self,
        items: Sequence[str],
        *,
        k: int | None = None,
        exclude: Sequence[str] = (),
        allow: Sequence[str] | None = None,
        candidates: Sequence[str] | None = None,
        timeout_seconds: float | None = None,
    ) -> Answer:
        """The k items that the model expects next after `items`, oldest first; see `client.Client.predict`."""
        found = await self.predict_batch(
            [items], k=k, exclude=exclude, allow=allow, candidates=candidates, timeout_seconds=timeout_seconds
        )
        return found[0]

    async def predict_batch(
        self,
        sessions: Sequence[Sequence[str]],
        *,
        k: int | None = None,
        exclude: Sequence[str] = (),
        allow: Sequence[str] | None = None,
        candidates: Sequence[str] | None = None,
        timeout_seconds: float | None = None,
    ) -> list[Answer]:
        """One answer a session, in one request."""
        wanted = Wanted(k, exclude, allow, candidates)
        messages.check_limits(sessions)
        deadline = self._deadline(timeout_seconds)
        model = self._facts(wanted) or self._learn(await self._ask_facts(deadline))
        response = await self._call(self._predictions.Predict, self._request(sessions, wanted, model), deadline)
        return self._answers(response, len(sessions), wanted)

    async def close(self) -> None:
        """Closes the channel; calls under way end with an error."""
        await self._channel.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _ask_facts(self, deadline: Deadline) -> ModelFacts:
        request = messages.metadata_request(self._target)
        return messages.model_facts(await self._call(self._predictions.GetModelMetadata, request, deadline))

    async def _call(self, method: Callable[..., Awaitable[Any]], request: Any, deadline: Deadline) -> Any:
        for pause in channel.pauses():
            try:
                return await method(request, timeout=deadline.left())
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE or deadline.left() <= pause:
                    raise self._failure(error, deadline) from error
            await asyncio.sleep(pause)
        raise AssertionError("the pauses have no end")
