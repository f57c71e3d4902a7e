"""TensorFlow Serving's small settings files in text format: batching, monitoring, TLS.

tensorflow-serving-api leaves out the message classes of these three, so they are declared here with the names, numbers
and types of TensorFlow Serving's own .proto files. The same file then serves `tensorflow_model_server` and ours.
"""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, wrappers_pb2

from nextclick.pipeline.errors import ConfigError

_FIELD = descriptor_pb2.FieldDescriptorProto
_INT64_VALUE, _STRING_VALUE, _BOOL_VALUE = (
    f".google.protobuf.{name}" for name in ("Int64Value", "StringValue", "BoolValue")
)
_PACKAGE = "tensorflow.serving"
# message → field → (number, type): a type with a dot is a message, "*" in front means repeated
_MESSAGES: dict[str, dict[str, tuple[int, str]]] = {
    "BatchingParameters": {
        "max_batch_size": (1, _INT64_VALUE),
        "batch_timeout_micros": (2, _INT64_VALUE),
        "max_enqueued_batches": (3, _INT64_VALUE),
        "num_batch_threads": (4, _INT64_VALUE),
        "thread_pool_name": (5, _STRING_VALUE),
        "allowed_batch_sizes": (6, "*int64"),
        "pad_variable_length_inputs": (7, "bool"),
        "enable_large_batch_splitting": (8, _BOOL_VALUE),
        "max_execution_batch_size": (9, _INT64_VALUE),
    },
    "PrometheusConfig": {"enable": (1, "bool"), "path": (2, "string")},
    "MonitoringConfig": {"prometheus_config": (1, f".{_PACKAGE}.PrometheusConfig")},
    "SSLConfig": {
        "server_key": (1, "string"),
        "server_cert": (2, "string"),
        "custom_ca": (3, "string"),
        "client_verify": (4, "bool"),
    },
}


@dataclasses.dataclass(frozen=True)
class Batching:
    """How calls are put together; TensorFlow Serving's defaults where the file is silent."""

    max_batch_size: int = 1000  # rows of one call at most
    max_execution_batch_size: int = 1000  # rows of one run at most
    batch_timeout_seconds: float = 0.0  # that a batch waits to fill up, when a thread is free
    max_enqueued_batches: int = 10
    num_batch_threads: int = 2
    allowed_batch_sizes: tuple[int, ...] = ()  # a run's rows are filled up to the next of these
    split_large_batches: bool = False


@dataclasses.dataclass(frozen=True)
class ServerTls:
    """Key, certificate and authority, as PEM texts."""

    key: bytes
    certificate: bytes
    authority: bytes
    verify_clients: bool


def read_batching(path: Path) -> Batching:
    """Parses a batching_parameters.txt. Raises ConfigError where TensorFlow Serving would not start with it."""
    message = _parse(path, "BatchingParameters")

    def value(name: str, default: int) -> int:
        return int(getattr(message, name).value) if message.HasField(name) else default

    splits = bool(message.enable_large_batch_splitting.value)
    largest = value("max_batch_size", Batching.max_batch_size)
    batching = Batching(
        max_batch_size=largest,
        max_execution_batch_size=value("max_execution_batch_size", largest) if splits else largest,
        batch_timeout_seconds=value("batch_timeout_micros", 0) / 1e6,
        max_enqueued_batches=value("max_enqueued_batches", Batching.max_enqueued_batches),
        num_batch_threads=value("num_batch_threads", Batching.num_batch_threads),
        allowed_batch_sizes=tuple(message.allowed_batch_sizes),
        split_large_batches=splits,
    )
    problem = _problem_of(batching)
    if problem:
        raise ConfigError(f"{path}: {problem}")
    return batching


def read_monitoring_path(path: Path) -> str | None:
    """URL path of the Prometheus metrics that a monitoring.config asks for; None where it switches them off."""
    prometheus = _parse(path, "MonitoringConfig").prometheus_config
    return (prometheus.path or DEFAULT_METRICS_PATH) if prometheus.enable else None


DEFAULT_METRICS_PATH = "/monitoring/prometheus/metrics"


def read_tls(path: Path) -> ServerTls:
    """Parses an ssl.config. Raises ConfigError where key or certificate are missing."""
    message = _parse(path, "SSLConfig")
    if not message.server_key or not message.server_cert:
        raise ConfigError(f"{path}: server_key and server_cert must both hold a PEM text")
    if message.client_verify and not message.custom_ca:
        raise ConfigError(f"{path}: client_verify needs custom_ca, the authority that clients' certificates come from")
    return ServerTls(
        key=message.server_key.encode(),
        certificate=message.server_cert.encode(),
        authority=message.custom_ca.encode(),
        verify_clients=message.client_verify,
    )


def _problem_of(batching: Batching) -> str | None:
    sizes = batching.allowed_batch_sizes
    if min(batching.max_batch_size, batching.num_batch_threads, batching.max_enqueued_batches) < 1:
        return "max_batch_size, num_batch_threads and max_enqueued_batches must be at least 1"
    if not 1 <= batching.max_execution_batch_size <= batching.max_batch_size:
        return "max_execution_batch_size must lie between 1 and max_batch_size"
    if list(sizes) != sorted(set(sizes)):
        return f"allowed_batch_sizes must increase, received {list(sizes)}"
    if sizes and sizes[-1] != batching.max_execution_batch_size:
        return f"the last of allowed_batch_sizes must be {batching.max_execution_batch_size}, received {sizes[-1]}"
    if batching.batch_timeout_seconds < 0:
        return "batch_timeout_micros must not be negative"
    return None


def _parse(path: Path, name: str) -> Any:
    try:
        return text_format.Parse(path.read_text(encoding="utf-8"), message_class(name)())
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        raise ConfigError(f"cannot read {path}: {' '.join(str(error).split())}") from error


@functools.cache
def message_class(name: str) -> Any:
    """The class of one of TensorFlow Serving's settings messages: BatchingParameters, MonitoringConfig, SSLConfig."""
    pool = descriptor_pool.DescriptorPool()  # of its own, so that the official classes may be loaded beside it
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(_file().SerializeToString())
    descriptor = pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")
    if hasattr(message_factory, "GetMessageClass"):
        return message_factory.GetMessageClass(descriptor)
    return message_factory.MessageFactory(pool).GetPrototype(descriptor)  # protobuf 3


def _file() -> Any:
    file = descriptor_pb2.FileDescriptorProto(
        name="nextclick/serving/settings.proto",
        package=_PACKAGE,
        syntax="proto3",
        dependency=[wrappers_pb2.DESCRIPTOR.name],
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            label = _FIELD.LABEL_REPEATED if kind.startswith("*") else _FIELD.LABEL_OPTIONAL
            added = message.field.add(name=field, number=number, label=label)
            if kind.startswith("."):
                added.type, added.type_name = _FIELD.TYPE_MESSAGE, kind
            else:
                added.type = _FIELD.Type.Value(f"TYPE_{kind.removeprefix('*').upper()}")
    return file
