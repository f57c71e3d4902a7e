"""A gRPC server that notes the bytes it is sent and answers what it was told to: the other end for client tests."""

from __future__ import annotations

from concurrent import futures

import grpc
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import get_model_metadata_pb2, model_pb2, predict_pb2

PREDICT = "/tensorflow.serving.PredictionService/Predict"
METADATA = "/tensorflow.serving.PredictionService/GetModelMetadata"


class RecordingServer(grpc.GenericRpcHandler):
    """Answers each method with its entry of `answers`: bytes, or a status to fail with, used up from the left."""

    def __init__(self, answers, port=0, credentials=None):
        self.answers = {method: list(entries) for method, entries in answers.items()}
        self.received = {method: [] for method in answers}
        self._server = grpc.server(futures.ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)])
        self._server.add_generic_rpc_handlers((self,))
        address = f"127.0.0.1:{port}"
        if credentials is None:
            self.port = self._server.add_insecure_port(address)
        else:
            self.port = self._server.add_secure_port(address, credentials)
        self.address = f"127.0.0.1:{self.port}"

    def service(self, details):
        method = details.method
        return grpc.unary_unary_rpc_method_handler(lambda request, context: self._answer(method, request, context))

    def _answer(self, method, request, context):
        self.received[method].append(request)
        entries = self.answers[method]
        entry = entries.pop(0) if len(entries) > 1 else entries[0]
        if isinstance(entry, grpc.StatusCode):
            context.abort(entry, "as the test wants")
        return entry

    def start(self):
        self._server.start()
        return self

    def stop(self):
        self._server.stop(None).wait()

    def __enter__(self):
        return self.start()

    def __exit__(self, *error):
        self.stop()


def prediction(items, scores, version=7, as_content=False):
    """Bytes of a PredictResponse."""
    response = predict_pb2.PredictResponse(
        model_spec=model_pb2.ModelSpec(name="tiny", signature_name="serving_default")
    )
    response.model_spec.version.value = version
    response.outputs["item_ids"].CopyFrom(tf.make_tensor_proto(items, tf.string))
    values = tf.make_tensor_proto(scores, tf.float32)
    if not as_content:
        values = tf.compat.v1.make_tensor_proto(scores, tf.float32)
        flat = tf.make_ndarray(values).ravel().tolist()
        values.ClearField("tensor_content")
        values.ClearField("float_val")
        values.float_val.extend(flat)
    response.outputs["scores"].CopyFrom(values)
    return response.SerializeToString()


def metadata(lookback=None, version=7, top_k=None, signatures=()):
    """Bytes of a GetModelMetadataResponse; what is None is not told."""
    response = get_model_metadata_pb2.GetModelMetadataResponse(model_spec=model_pb2.ModelSpec(name="tiny"))
    response.model_spec.version.value = version
    found = get_model_metadata_pb2.SignatureDefMap()
    for name in ("serving_default", *signatures):
        found.signature_def[name].CopyFrom(meta_graph_pb2.SignatureDef())
    widths = [("encode", "item_indices", lookback), ("serving_default", "item_ids", top_k)]
    for name, output, width in widths:
        if width is not None:
            shape = found.signature_def[name].outputs[output].tensor_shape
            shape.dim.add(size=-1)
            shape.dim.add(size=width)
    response.metadata["signature_def"].Pack(found)
    return response.SerializeToString()
