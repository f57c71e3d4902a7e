"""The messages and stubs of tensorflow-serving-api, without TensorFlow itself.

The generated modules import `tensorflow.core...`, plain message classes that happen to lie inside the TensorFlow
package. Imported the usual way they run TensorFlow's `__init__` first: 2.6 s on this project's two cores, against
0.07 s for the messages and gRPC alone, which is what a command such as `nextclick predict` needs. So, where TensorFlow
is not loaded yet, this module puts an empty package of that name in its place for the length of the imports below.
The message modules stay registered under their own names, so that a later `import tensorflow` finds the same classes.
"""

from __future__ import annotations

import contextlib
import importlib.util
import sys
import types
from collections.abc import Iterator

_PACKAGE = "tensorflow"


@contextlib.contextmanager
def _message_modules_only() -> Iterator[None]:
    """Within it, `import tensorflow.x.y` loads that module and not TensorFlow."""
    spec = None if _PACKAGE in sys.modules else importlib.util.find_spec(_PACKAGE)
    if spec is None:
        yield
        return
    stand_in = types.ModuleType(_PACKAGE)
    stand_in.__path__ = list(spec.submodule_search_locations or ())
    sys.modules[_PACKAGE] = stand_in
    try:
        yield
    finally:
        del sys.modules[_PACKAGE]


with _message_modules_only():
    from tensorflow.core.framework import tensor_pb2, types_pb2
    from tensorflow.core.protobuf import meta_graph_pb2
    from tensorflow_serving.apis import (
        get_model_metadata_pb2,
        get_model_status_pb2,
        model_management_pb2,
        model_pb2,
        model_service_pb2_grpc,
        predict_pb2,
        prediction_log_pb2,
        prediction_service_pb2_grpc,
        status_pb2,
    )
    from tensorflow_serving.config import model_server_config_pb2

__all__ = [
    "get_model_metadata_pb2",
    "get_model_status_pb2",
    "meta_graph_pb2",
    "model_management_pb2",
    "model_pb2",
    "model_server_config_pb2",
    "model_service_pb2_grpc",
    "predict_pb2",
    "prediction_log_pb2",
    "prediction_service_pb2_grpc",
    "status_pb2",
    "tensor_pb2",
    "types_pb2",
]
