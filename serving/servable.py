"""One version of a model in memory: a SavedModel in a TensorFlow session, the way TensorFlow Serving holds it.

A session runs a signature's graph in C++ with the interpreter's lock released; the Python above it is a feed and a
fetch. This is the one file of serving/ that imports TensorFlow, and it does so when the first version is loaded.
"""

from __future__ import annotations

import contextlib
import gc
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from nextclick.components import contract
from nextclick.pipeline.errors import ServingError
from nextclick.serving import calls, protos
from nextclick.serving.calls import Array, Call
from nextclick.serving.failures import RequestFailure, status_of

WARM_UP_FILE = Path("assets.extra", "tf_serving_warmup_requests")
MAX_WARM_UP_RECORDS = 1000
SERVE_TAG = "serve"
# What TensorFlow puts among the signatures for itself (the restore of a SavedModel), not for callers.
_INTERNAL_SIGNATURES = ("__saved_model_init_op", "__saved_model_train_op")


def import_tensorflow() -> Any:
    """TensorFlow, quiet. Takes seconds the first time."""
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow

    tensorflow.get_logger().setLevel("ERROR")
    return tensorflow


class Servable:
    """A loaded version. `run` may be called from several threads; `close` waits for them and refuses later ones.

    Raises ServingError from the constructor, with the reason, where the folder holds no SavedModel that can be loaded
    or one whose `serving_default` is not what INTERFACE promises.
    """

    def __init__(self, model: str, version: int, path: Path, *, threads: int = 0) -> None:
        self.model, self.version, self.path = model, version, path
        self._tf = import_tensorflow()
        config = self._tf.compat.v1.ConfigProto(
            intra_op_parallelism_threads=threads, inter_op_parallelism_threads=threads
        )
        self._session = self._tf.compat.v1.Session(graph=self._tf.Graph(), config=config)
        self._callables: dict[tuple[str, tuple[str, ...]], Callable[..., list[Array]]] = {}
        self._idle = threading.Condition()
        self._running = 0
        self._closed = False
        try:
            meta_graph = self._load()
            self.signatures = {
                name: signature
                for name, signature in meta_graph.signature_def.items()
                if name not in _INTERNAL_SIGNATURES
            }
            _check_contract(self.signatures)
        except Exception as error:
            self._session.close()
            raise ServingError(f"cannot load version {version} of model {model}: {_reason(error)}") from error

    def predict(self, request: Any) -> Any:
        """PredictResponse to a PredictRequest, in this thread. Raises RequestFailure."""
        call = calls.read(request, self.signatures)
        return calls.write(call, self.run(call), self.model, self.version)

    def run(self, call: Call) -> list[Array]:
        """Runs a call's signature: one array for each of its outputs. Raises RequestFailure where the graph refuses."""
        with self._in_use():
            try:
                return self._callable(call)(*(call.inputs[alias] for alias in sorted(call.inputs)))
            except self._tf.errors.OpError as error:
                raise RequestFailure(status_of(error.error_code), _reason(error)) from error

    def warm_up(self) -> int:
        """Replays the model's own warm-up requests and returns their number; 0 where it has none.

        Raises ServingError on the first that cannot be answered, as TensorFlow Serving does.
        """
        done = 0
        for record in self._warm_up_records():
            if done == MAX_WARM_UP_RECORDS:
                raise ServingError(f"{self.path / WARM_UP_FILE} has more than {MAX_WARM_UP_RECORDS} records")
            try:
                self.predict(_predict_request(record))
            except (RequestFailure, DecodeError) as error:
                raise ServingError(
                    f"warm-up request {done} of version {self.version} of model {self.model} failed: {error}"
                ) from error
            done += 1
        return done

    def close(self) -> None:
        """Frees the model's memory, when the last call has ended."""
        with self._idle:
            self._closed = True
            self._idle.wait_for(lambda: self._running == 0)
        self._callables.clear()
        self._session.close()
        del self._session  # TensorFlow frees the variables with it
        gc.collect()  # a graph is full of circles

    @contextlib.contextmanager
    def _in_use(self) -> Iterator[None]:
        with self._idle:
            if self._closed:
                raise RequestFailure(
                    grpc.StatusCode.UNAVAILABLE, f"version {self.version} of model {self.model} was just unloaded"
                )
            self._running += 1
        try:
            yield
        finally:
            with self._idle:
                self._running -= 1
                self._idle.notify_all()

    def _load(self) -> Any:
        with self._session.graph.as_default(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self._tf.compat.v1.saved_model.load(self._session, [SERVE_TAG], str(self.path))

    def _callable(self, call: Call) -> Callable[..., list[Array]]:
        """The session's function from a signature's inputs (by name, ascending) to the wanted outputs."""
        key = (call.signature, call.outputs)
        if key not in self._callables:
            signature = self.signatures[call.signature]
            feeds = [signature.inputs[alias].name for alias in sorted(signature.inputs)]
            fetches = [signature.outputs[alias].name for alias in call.outputs]
            self._callables[key] = self._session.make_callable(fetches, feeds)
        return self._callables[key]

    def _warm_up_records(self) -> Iterator[bytes]:
        path = self.path / WARM_UP_FILE
        if path.is_file():
            try:
                yield from self._tf.compat.v1.io.tf_record_iterator(str(path))
            except self._tf.errors.DataLossError as error:
                raise ServingError(f"the warm-up file {path} is damaged: {_reason(error)}") from error


def _predict_request(record: bytes) -> Any:
    """The PredictRequest of a PredictionLog; an empty one, which no signature takes, where it logs something else."""
    return protos.prediction_log_pb2.PredictionLog.FromString(record).predict_log.request


def _check_contract(signatures: Any) -> None:
    """`serving_default` takes item ids and returns item ids with scores, or clients could not use the version."""
    types = protos.types_pb2
    if contract.SIGNATURE_SERVING not in signatures:
        raise ServingError(f"it has no signature {contract.SIGNATURE_SERVING}")
    signature = signatures[contract.SIGNATURE_SERVING]
    wanted = [
        (signature.inputs, contract.INPUT_ITEM_IDS, types.DT_STRING),
        (signature.outputs, contract.OUTPUT_ITEM_IDS, types.DT_STRING),
        (signature.outputs, contract.OUTPUT_SCORES, types.DT_FLOAT),
    ]
    for tensors, name, dtype in wanted:
        if name not in tensors or tensors[name].dtype != dtype:
            raise ServingError(f"its {contract.SIGNATURE_SERVING} has no {types.DataType.Name(dtype)} tensor {name}")


def _reason(error: Exception) -> str:
    """The error's first line: TensorFlow adds the graph's location, of no use to a caller."""
    text = getattr(error, "message", None) or str(error) or type(error).__name__
    return str(text).strip().splitlines()[0][:500]
