"""What a server knows of its models: versions and their states, labels, and which version a request means.

The states are TensorFlow Serving's: START, LOADING, AVAILABLE, UNLOADING, END.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import grpc

from nextclick.serving import protos
from nextclick.serving.failures import RequestFailure, invalid, not_found
from nextclick.serving.servable import Servable

STATES = protos.get_model_status_pb2.ModelVersionStatus
_UNKNOWN = 2  # canonical error code of a version that could not be loaded

# (path, bytes, time) of every file of a version.
Fingerprint = tuple[tuple[str, int, int], ...]


@dataclasses.dataclass
class Version:
    """One version of a model, from its discovery to its end."""

    state: int
    reason: str = ""  # why it could not be loaded
    fingerprint: Fingerprint = ()  # of the files that could not be loaded
    servable: Servable | None = None
    leases: int = 0


@dataclasses.dataclass
class Model:
    """A ModelConfig and what became of its versions; `labels` are those in force."""

    config: Any
    labels: dict[str, int] = dataclasses.field(default_factory=dict)
    versions: dict[int, Version] = dataclasses.field(default_factory=dict)

    def available(self) -> list[int]:
        """Versions that answer."""
        return [number for number, version in self.versions.items() if version.state == STATES.AVAILABLE]


def models_of(config: Any) -> dict[str, Model]:
    """The models of a ModelServerConfig, nothing loaded yet."""
    return {entry.name: Model(entry, dict(entry.version_labels)) for entry in config.model_config_list.config}


def check_labels(name: str, current: dict[str, int], wanted: Model) -> None:
    """Raises RequestFailure where a label that is in use would move to a version that does not answer yet."""
    available = wanted.available()
    for label, number in wanted.labels.items():
        if current.get(label, number) != number and number not in available:
            raise RequestFailure(
                grpc.StatusCode.FAILED_PRECONDITION,
                f"Request to assign label to version {number} of model {name}, which is not currently available for "
                f"inference: load it first, then move the label {label}",
            )


def resolve(model: Model | None, spec: Any) -> Version:
    """The version that a ModelSpec means. Raises RequestFailure where there is none."""
    if not spec.name:
        raise invalid("ModelSpec has no name specified.")
    number = _asked_version(model, spec)
    if model is None or not model.available():
        raise not_found(f"Servable not found for request: Latest({spec.name})")
    if number is None:
        number = max(model.available())
    version = model.versions.get(number)
    if version is None or version.state != STATES.AVAILABLE:
        raise not_found(f"Servable not found for request: Specific({spec.name}, {number})")
    return version


def status_response(model: Model | None, spec: Any) -> Any:
    """GetModelStatusResponse for a ModelSpec, newest version first. Raises RequestFailure on an unknown one."""
    versions = dict(sorted(model.versions.items(), reverse=True)) if model else {}
    if not versions:
        raise not_found(f"Could not find any versions of model {spec.name}")
    asked = _asked_version(model, spec)
    if asked is not None:
        if asked not in versions:
            raise not_found(f"Could not find version {asked} of model {spec.name}")
        versions = {asked: versions[asked]}
    response = protos.get_model_status_pb2.GetModelStatusResponse()
    for number, version in versions.items():
        entry = response.model_version_status.add(version=number, state=version.state)
        entry.status.error_message = version.reason
        if version.reason:
            entry.status.error_code = _UNKNOWN
    return response


def _asked_version(model: Model | None, spec: Any) -> int | None:
    choice = spec.WhichOneof("version_choice")
    if choice == "version":
        return int(spec.version.value)
    if choice == "version_label":
        if model is None or spec.version_label not in model.labels:
            raise invalid(f"Unrecognized servable version label: {spec.version_label}")
        return model.labels[spec.version_label]
    return None
