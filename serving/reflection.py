"""gRPC reflection, by which tools such as grpcurl find out what a server offers.

Reflection answers from the descriptors of the services. tensorflow-serving-api has them in modules that an old protoc
made and that current protobuf cannot import, so they are described here, over its own messages.
"""

from __future__ import annotations

from typing import Any

import grpc.aio
from google.protobuf import descriptor_pb2, descriptor_pool
from grpc_reflection.v1alpha import reflection

from nextclick.serving import protos

_PACKAGE = "tensorflow.serving"
_HEALTH = "grpc.health.v1.Health"
# service → method → (module of its messages, request, response)
_SERVICES: dict[str, dict[str, tuple[Any, str, str]]] = {
    "PredictionService": {
        "Predict": (protos.predict_pb2, "PredictRequest", "PredictResponse"),
        "GetModelMetadata": (protos.get_model_metadata_pb2, "GetModelMetadataRequest", "GetModelMetadataResponse"),
    },
    "ModelService": {
        "GetModelStatus": (protos.get_model_status_pb2, "GetModelStatusRequest", "GetModelStatusResponse"),
        "HandleReloadConfigRequest": (protos.model_management_pb2, "ReloadConfigRequest", "ReloadConfigResponse"),
    },
}


def enable(server: grpc.aio.Server) -> None:
    """Adds reflection of all services to a server."""
    pool = descriptor_pool.Default()
    for service, methods in _SERVICES.items():
        pool.AddSerializedFile(_file(service, methods).SerializeToString())
    names = [f"{_PACKAGE}.{service}" for service in _SERVICES]
    reflection.enable_server_reflection((*names, _HEALTH, reflection.SERVICE_NAME), server, pool)


def _file(service: str, methods: dict[str, tuple[Any, str, str]]) -> Any:
    """The description of a service as a file of its own, which no official one can collide with by name."""
    file = descriptor_pb2.FileDescriptorProto(
        name=f"nextclick/serving/{service}.proto",
        package=_PACKAGE,
        syntax="proto3",
        dependency=sorted({module.DESCRIPTOR.name for module, _, _ in methods.values()}),
    )
    described = file.service.add(name=service)
    for method, (_, request, response) in methods.items():
        described.method.add(name=method, input_type=f".{_PACKAGE}.{request}", output_type=f".{_PACKAGE}.{response}")
    return file
