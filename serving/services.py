"""TensorFlow Serving's gRPC services over the models in memory: PredictionService and ModelService."""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import grpc.aio

from nextclick.serving import calls, protos
from nextclick.serving.admission import Admission
from nextclick.serving.batching import Batcher
from nextclick.serving.calls import Array, Call
from nextclick.serving.failures import RequestFailure, invalid
from nextclick.serving.messages import SIGNATURE_METADATA
from nextclick.serving.metrics import Metrics
from nextclick.serving.models import Models
from nextclick.serving.servable import Servable

log = logging.getLogger(__name__)

# A status travels in an HTTP/2 header, which is limited.
MAX_MESSAGE_LENGTH = 1000


def answering(method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Asks for admission, and turns a RequestFailure of a handler into the status of its call."""

    @functools.wraps(method)
    async def answer(self: Any, request: Any, context: grpc.aio.ServicerContext) -> Any:
        try:
            with self.admission.admitted():
                return await method(self, request, context)
        except RequestFailure as error:
            failure = error
        except UnicodeDecodeError:
            failure = invalid("a name in the request is not UTF-8")
        except Exception:
            log.exception("a call failed")
            failure = RequestFailure(grpc.StatusCode.INTERNAL, "internal error: see the server's log")
        return await context.abort(failure.code, failure.message[:MAX_MESSAGE_LENGTH])

    return answer


class Runner:
    """Runs each call by itself in a pool of threads, off the event loop."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="predict")

    async def run(self, servable: Servable, call: Call) -> list[Array]:
        """One array for each output of the call."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, servable.run, call)

    def close(self) -> None:
        """Waits for the calls under way."""
        self._pool.shutdown()


class Predictor:
    """PredictRequest → PredictResponse, for gRPC and whatever else brings requests."""

    def __init__(self, models: Models, runner: Runner | Batcher, metrics: Metrics) -> None:
        self._models = models
        self._runner = runner
        self._metrics = metrics

    async def predict(self, request: Any, entrypoint: str) -> Any:
        """Answers, and counts how it went. Raises RequestFailure."""
        started, code = time.monotonic(), grpc.StatusCode.CANCELLED
        try:
            response = await self._predict(request)
            code = grpc.StatusCode.OK
            return response
        except RequestFailure as failure:
            code = failure.code
            raise
        finally:
            self._metrics.request(self._known(request), entrypoint, time.monotonic() - started, code)

    async def _predict(self, request: Any) -> Any:
        with self._models.lease(request.model_spec) as servable:
            call = calls.read(request, servable.signatures)
            started = time.monotonic()
            results = await self._runner.run(servable, call)
            microseconds = (time.monotonic() - started) * 1e6
            self._metrics.runtime_latency.add(microseconds, model_name=servable.model, API="Predict", runtime="TF1")
            return calls.write(call, results, servable.model, servable.version)

    def _known(self, request: Any) -> str:
        """The model's name, unless a caller made it up: every label value costs memory for ever."""
        name: str = request.model_spec.name
        return name if name in self._models.names() else "unknown"


class PredictionService(protos.prediction_service_pb2_grpc.PredictionServiceServicer):
    """tensorflow.serving.PredictionService."""

    def __init__(self, models: Models, predictor: Predictor, admission: Admission) -> None:
        self._models = models
        self._predictor = predictor
        self.admission = admission

    @answering
    async def Predict(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        """Runs a signature."""
        return await self._predictor.predict(request, "GRPC")

    @answering
    async def GetModelMetadata(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        """The signatures of a model."""
        if not request.HasField("model_spec"):
            raise invalid("Missing ModelSpec")
        if not request.metadata_field:
            raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
        for field in request.metadata_field:
            if field != SIGNATURE_METADATA:
                raise invalid(f"Metadata field {field} is not supported")
        with self._models.lease(request.model_spec) as servable:
            return metadata_response(servable)

    @answering
    async def Classify(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        """Not offered: no signature of ours classifies."""
        raise _not_offered("Classify")

    @answering
    async def Regress(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        """Not offered: no signature of ours regresses."""
        raise _not_offered("Regress")

    @answering
    async def MultiInference(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        """Not offered: it is made of Classify and Regress."""
        raise _not_offered("MultiInference")


class ModelService(protos.model_service_pb2_grpc.ModelServiceServicer):
    """tensorflow.serving.ModelService."""

    def __init__(self, models: Models, admission: Admission) -> None:
        self._models = models
        self.admission = admission

    @answering
    async def GetModelStatus(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        """State of the versions of a model."""
        if not request.HasField("model_spec"):
            raise invalid("Missing ModelSpec")
        return self._models.status(request.model_spec)

    @answering
    async def HandleReloadConfigRequest(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        """Serves another configuration; answers when its versions have been loaded, or refused."""
        await self._models.reconfigure(request.config)
        return protos.model_management_pb2.ReloadConfigResponse()


def metadata_response(servable: Servable) -> Any:
    """GetModelMetadataResponse with all signatures of a version."""
    response = protos.get_model_metadata_pb2.GetModelMetadataResponse()
    response.model_spec.name = servable.model
    response.model_spec.version.value = servable.version
    signatures = protos.get_model_metadata_pb2.SignatureDefMap()
    for name, signature in servable.signatures.items():
        signatures.signature_def[name].CopyFrom(signature)
    response.metadata[SIGNATURE_METADATA].Pack(signatures)
    return response


def _not_offered(method: str) -> RequestFailure:
    return RequestFailure(grpc.StatusCode.UNIMPLEMENTED, f"the local server does not offer {method}: use Predict")
