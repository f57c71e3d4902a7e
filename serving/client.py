"""The client of the recommender: typed answers over gRPC from TensorFlow Serving or the local server.

    with Client("127.0.0.1:8500") as client:
        answer = client.predict(["214536502", "214536500"], k=5, exclude=["214536502"])
        print(answer.items, answer.scores, answer.model_version)

One client holds one channel and is meant to be kept: make it once a process (after a fork, not before) and share it
between threads. Every call has a deadline. UNAVAILABLE, and nothing else, is tried again until the deadline.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, ClassVar

import grpc

from nextclick.pipeline.config import FeaturesConfig, ServingConfig
from nextclick.pipeline.errors import ServingError
from nextclick.serving import channel, messages, protos
from nextclick.serving.channel import DEFAULT_ADDRESS, DEFAULT_TIMEOUT_SECONDS, Deadline, Tls
from nextclick.serving.messages import Answer, ModelFacts, Target
from nextclick.serving.wanted import Wanted

__all__ = ["Answer", "Client", "Tls"]


class Asking:
    """What the blocking and the asyncio client share: whom they ask, and the way between sessions and messages."""

    _grpc: ClassVar[Any]  # the module that opens channels: grpc or grpc.aio

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        model: str = ServingConfig.model_name,
        *,
        version: int | None = None,
        label: str | None = None,
        timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
        tls: Tls | None = None,
        pad_to: int | None = None,
    ) -> None:
        self._address, self._target = address, Target(model, version, label)
        self._timeout_seconds, self._pad_to = timeout_seconds, pad_to
        # None: to be asked. Threads share a client: read it once, then look at the copy.
        self._known: ModelFacts | None = None
        self._channel = channel.open_channel(self._grpc, address, tls)
        self._predictions = protos.prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._models = protos.model_service_pb2_grpc.ModelServiceStub(self._channel)

    def _deadline(self, timeout_seconds: float | None) -> Deadline:
        return Deadline(self._timeout_seconds if timeout_seconds is None else timeout_seconds)

    def _facts(self, wanted: Wanted) -> ModelFacts | None:
        """What there is to know for a request, or None where the model must be asked first."""
        if self._pad_to is not None and not wanted.is_restricted:
            return ModelFacts(lookback=self._pad_to)
        return self._known

    def _learn(self, model: ModelFacts) -> ModelFacts:
        """Keeps what the model tells of itself."""
        if self._pad_to is not None:
            model = dataclasses.replace(model, lookback=self._pad_to)
        self._known = model
        return model

    def _request(self, sessions: Sequence[Sequence[str]], wanted: Wanted, model: ModelFacts) -> Any:
        length = messages.padded_length(sessions, model.lookback, FeaturesConfig.lookback)
        try:
            signature = wanted.signature(model)
        except ServingError as error:
            raise ServingError(f"{self._address}, model {self._target.model}: {error}") from None
        return messages.predict_request(sessions, self._target, length, signature, wanted.lists(signature))

    def _answers(self, response: Any, sessions: int, wanted: Wanted) -> list[Answer]:
        try:
            found = messages.answers(response, sessions, wanted.most, wanted.exclude)
        except ServingError as error:
            raise ServingError(f"{self._address} gave a wrong answer for model {self._target.model}: {error}") from None
        known = self._known
        if known is not None and known.version != found[0].model_version:
            self._known = None  # another version may look further back: ask it before the next request
        return found

    def _failure(self, error: grpc.RpcError, deadline: Deadline) -> ServingError:
        if error.code() is grpc.StatusCode.FAILED_PRECONDITION:
            self._known = None  # a version that lacks the signature has taken the place of the one that we know
        return channel.in_words(error, self._address, self._target, deadline.seconds)


class Client(Asking):
    """Asks one model at one address.

    Args:
        address: HOST:PORT; a name that resolves to several addresses gets the calls in turn.
        model: name that the model is served under.
        version, label: ask this version, or the version that has this label, and not the newest.
        timeout_seconds: deadline of a call, tries and pauses included.
        tls: connect by TLS, mutual TLS where it holds a certificate.
        pad_to: length that sessions are cut and padded to; None: the look-back that the model tells.

    Raises:
        ConfigError: the address or a TLS file is wrong.
        DataError: a request is beyond the limits of components/contract.py.
        ServingError: the server could not be reached in time, or refused.
    """

    _grpc = grpc

    def predict(
        self,
        items: Sequence[str],
        *,
        k: int | None = None,
        exclude: Sequence[str] = (),
        allow: Sequence[str] | None = None,
        candidates: Sequence[str] | None = None,
        timeout_seconds: float | None = None,
    ) -> Answer:
        """The k (20) items that the model expects next after `items`, oldest first.

        Args:
            items: of the session.
            k: items to answer; None: 20, or all candidates.
            exclude: items that are not answered.
            allow: the only items that may be answered, such as those in stock; None: all.
            candidates: items to put in order; unknown ones are left out. The answer is this list, ranked.
            timeout_seconds: deadline; None: the client's.

        Fewer than k come back where fewer are left, or where the model answers no more (`serving.top_k`).
        """
        return self.predict_batch(
            [items], k=k, exclude=exclude, allow=allow, candidates=candidates, timeout_seconds=timeout_seconds
        )[0]

    def predict_batch(
        self,
        sessions: Sequence[Sequence[str]],
        *,
        k: int | None = None,
        exclude: Sequence[str] = (),
        allow: Sequence[str] | None = None,
        candidates: Sequence[str] | None = None,
        timeout_seconds: float | None = None,
    ) -> list[Answer]:
        """One answer a session, in one request; arguments as for `predict`, the lists hold for all sessions."""
        wanted = Wanted(k, exclude, allow, candidates)
        messages.check_limits(sessions)
        deadline = self._deadline(timeout_seconds)
        model = self._facts(wanted) or self._learn(self._ask_facts(deadline))
        response = self._call(self._predictions.Predict, self._request(sessions, wanted, model), deadline)
        return self._answers(response, len(sessions), wanted)

    def lookback(self, *, timeout_seconds: float | None = None) -> int | None:
        """Newest items of a session that the model looks at, or None where it does not tell."""
        deadline = self._deadline(timeout_seconds)
        return self._ask_facts(deadline).lookback

    def versions(self, *, timeout_seconds: float | None = None) -> dict[int, str]:
        """State of each version that the server knows: START, LOADING, AVAILABLE, UNLOADING or END."""
        deadline = self._deadline(timeout_seconds)
        response = self._call(self._models.GetModelStatus, messages.status_request(self._target), deadline)
        states = protos.get_model_status_pb2.ModelVersionStatus.State
        return {entry.version: states.Name(entry.state) for entry in response.model_version_status}

    def close(self) -> None:
        """Closes the channel; calls under way end with an error."""
        self._channel.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask_facts(self, deadline: Deadline) -> ModelFacts:
        request = messages.metadata_request(self._target)
        return messages.model_facts(self._call(self._predictions.GetModelMetadata, request, deadline))

    def _call(self, method: Callable[..., Any], request: Any, deadline: Deadline) -> Any:
        for pause in channel.pauses():
            try:
                return method(request, timeout=deadline.left())
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE or deadline.left() <= pause:
                    raise self._failure(error, deadline) from error
            time.sleep(pause)
        raise AssertionError("the pauses have no end")
