"""Promotion and rollback: which version carries which label, in the server's memory and in its models.config.

    stable    what callers get who ask for the label "stable"; promotion moves it
    canary    a newer version on trial, loaded beside stable
    previous  what was stable before; rollback moves stable back to it

A model under labels serves exactly its labelled versions (`specific`): a push changes nothing until it is promoted.
A label may only move to a version that answers already, so a change takes two steps: load the version, then move the
label (TRAPS 108). Every configuration that is sent lists all models, since a server unloads those left out (TRAPS 110).
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import text_format

from nextclick.pipeline.errors import ConfigError, ServingError
from nextclick.serving import channel, protos
from nextclick.serving.channel import Tls
from nextclick.serving.client import Client
from nextclick.serving.messages import Target

STABLE, CANARY, PREVIOUS = "stable", "canary", "previous"

_LOOK_SECONDS = 0.1
RELOAD_TIMEOUT_SECONDS = 120.0


def entry_of(config: Any, model: str) -> Any:
    """The ModelConfig of a model. Raises ConfigError where the configuration has none."""
    for entry in config.model_config_list.config:
        if entry.name == model:
            return entry
    names = ", ".join(entry.name for entry in config.model_config_list.config)
    raise ConfigError(f"no model {model} in the configuration; it has: {names}")


def promoted(labels: Mapping[str, int], version: int, label: str, versions: Collection[int]) -> dict[str, int]:
    """Labels after a version got `label`.

    The old stable version becomes previous, and a canary that made it is no canary any more. A first canary leaves
    the version before it, of all `versions`, as stable.
    """
    after = {**labels, label: version}
    if STABLE not in after:
        after[STABLE] = max((other for other in versions if other < version), default=version)
    if label == STABLE:
        if labels.get(STABLE, version) != version:
            after[PREVIOUS] = labels[STABLE]
        if after.get(CANARY) == version:
            del after[CANARY]
    return after


def rolled_back(labels: Mapping[str, int], model: str) -> dict[str, int]:
    """Labels after stable went back to previous; canary and previous are gone. Raises ConfigError without one."""
    if PREVIOUS not in labels:
        raise ConfigError(
            f"model {model} has no version labelled {PREVIOUS} to go back to: promote a version by number"
        )
    return {STABLE: labels[PREVIOUS]}


def labelled(config: Any, model: str, labels: Mapping[str, int]) -> Any:
    """The configuration with these labels for a model, which serves exactly the labelled versions."""
    changed = _copy(config)
    entry = entry_of(changed, model)
    entry.version_labels.clear()
    entry.version_labels.update(labels)
    entry.model_version_policy.specific.versions[:] = sorted(set(labels.values()))
    return changed


def unlabelled(config: Any, model: str) -> Any:
    """The configuration with no labels for a model, which serves its newest version again."""
    changed = _copy(config)
    entry = entry_of(changed, model)
    entry.version_labels.clear()
    entry.model_version_policy.latest.num_versions = 1
    return changed


def apply(
    current: Any,
    wanted: Any,
    model: str,
    addresses: Sequence[str],
    *,
    tls: Tls | None = None,
    timeout_seconds: float = RELOAD_TIMEOUT_SECONDS,
) -> None:
    """Brings every server from one configuration to another: loads first, then moves the labels, then unloads.

    Raises ServingError, with the servers back on the current configuration where they can be reached, if a version
    does not load or a server refuses.
    """
    between = _copy(current)
    entry, target = entry_of(between, model), entry_of(wanted, model)
    loaded = {*_versions(entry), *_versions(target)}
    if loaded:
        entry.model_version_policy.specific.versions[:] = sorted(loaded)
    done: list[str] = []
    try:
        for address in addresses:
            done.append(address)
            reload(address, between, model, tls, timeout_seconds)
            _wait_available(address, model, _versions(target), tls, timeout_seconds)
        for address in addresses:
            reload(address, wanted, model, tls, timeout_seconds)
    except ServingError:
        for address in done:
            _reload_quietly(address, current, model, tls)
        raise


def write(config: Any, path: Path) -> None:
    """Replaces a models.config in one step, so that no server reads half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_text(
        "# Written by nextclick promote and nextclick rollback.\n" + text_format.MessageToString(config),
        encoding="utf-8",
    )
    aside.replace(path)


def reload(
    address: str, config: Any, model: str, tls: Tls | None = None, timeout_seconds: float = RELOAD_TIMEOUT_SECONDS
) -> None:
    """Sends one server a configuration; returns when its versions have been loaded or refused. Raises ServingError."""
    request = protos.model_management_pb2.ReloadConfigRequest(config=config)
    with channel.open_channel(grpc, address, tls) as connection:
        stub = protos.model_service_pb2_grpc.ModelServiceStub(connection)
        try:
            response = stub.HandleReloadConfigRequest(request, timeout=timeout_seconds)
        except grpc.RpcError as error:
            raise channel.in_words(error, address, Target(model), timeout_seconds) from error
    if response.status.error_code:
        raise ServingError(f"{address} refused the configuration of model {model}: {response.status.error_message}")


def _versions(entry: Any) -> list[int]:
    return sorted({*entry.model_version_policy.specific.versions, *entry.version_labels.values()})


def _copy(config: Any) -> Any:
    copy = protos.model_server_config_pb2.ModelServerConfig()
    copy.CopyFrom(config)
    return copy


def _reload_quietly(address: str, config: Any, model: str, tls: Tls | None) -> None:
    try:
        reload(address, config, model, tls, RELOAD_TIMEOUT_SECONDS)
    except ServingError:
        return  # the first error is what the caller must hear of


def _wait_available(address: str, model: str, versions: Sequence[int], tls: Tls | None, timeout_seconds: float) -> None:
    end = time.monotonic() + timeout_seconds
    with Client(address, model, tls=tls, timeout_seconds=timeout_seconds) as client:
        while True:
            states = client.versions()
            missing = [version for version in versions if states.get(version) != "AVAILABLE"]
            if not missing:
                return
            if any(states.get(version, "END") == "END" for version in missing):
                raise ServingError(
                    f"{address} cannot load version {missing[0]} of model {model}: see its status or log"
                )
            if time.monotonic() > end:
                raise ServingError(
                    f"{address} has not loaded version {missing[0]} of model {model} in {timeout_seconds:g} s"
                )
            time.sleep(_LOOK_SECONDS)
