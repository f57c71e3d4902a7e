"""What ML Metadata recorded of a run: each node's state, duration and output artifacts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from ml_metadata.metadata_store import metadata_store
from ml_metadata.proto import metadata_store_pb2 as mlmd

from nextclick.pipeline.errors import NextclickError

_OUTPUT_EVENTS = (mlmd.Event.OUTPUT, mlmd.Event.DECLARED_OUTPUT)


@dataclasses.dataclass(frozen=True)
class Artifact:
    """One output of a node: where it lies and what was noted of it."""

    uri: str
    properties: Mapping[str, str | int | float]


@dataclasses.dataclass(frozen=True)
class NodeRun:
    """One node's part in a run; `seconds` is zero where the result came from the cache."""

    cached: bool
    complete: bool
    seconds: float
    outputs: Mapping[str, Artifact]


def latest_run(metadata_path: str, holding: str = "") -> dict[str, NodeRun]:
    """The nodes of the newest pipeline run in a SQLite metadata store, by node id.

    Args:
        metadata_path: the SQLite file.
        holding: id of a node that the run must have finished; "": whichever run is newest.

    Raises:
        NextclickError: the store holds no such run.
    """
    store = _open(metadata_path)
    for run in sorted(store.get_contexts_by_type("pipeline_run"), key=lambda context: -context.id):
        executions = store.get_executions_by_context(run.id)
        nodes = {_node_id(store, execution): _node_run(store, execution) for execution in executions}
        if not holding or (holding in nodes and nodes[holding].complete):
            return nodes
    raise NextclickError(f"{metadata_path} holds no pipeline run" + (f" that finished {holding}" if holding else ""))


def _open(metadata_path: str) -> metadata_store.MetadataStore:
    connection = mlmd.ConnectionConfig()
    connection.sqlite.filename_uri = metadata_path
    connection.sqlite.connection_mode = mlmd.SqliteMetadataSourceConfig.READWRITE
    return metadata_store.MetadataStore(connection)


def _node_id(store: metadata_store.MetadataStore, execution: mlmd.Execution) -> str:
    """Contexts of type "node" are called "<pipeline>.<node>"."""
    names = [context.name for context in store.get_contexts_by_execution(execution.id) if context.type == "node"]
    return str(names[0].rpartition(".")[2])


def _node_run(store: metadata_store.MetadataStore, execution: mlmd.Execution) -> NodeRun:
    events = [event for event in store.get_events_by_execution_ids([execution.id]) if event.type in _OUTPUT_EVENTS]
    artifacts = {artifact.id: artifact for artifact in store.get_artifacts_by_id([e.artifact_id for e in events])}
    cached = execution.last_known_state == mlmd.Execution.CACHED
    milliseconds = execution.last_update_time_since_epoch - execution.create_time_since_epoch
    return NodeRun(
        cached=cached,
        complete=cached or execution.last_known_state == mlmd.Execution.COMPLETE,
        seconds=0.0 if cached else milliseconds / 1000,
        outputs={event.path.steps[0].key: _artifact(artifacts[event.artifact_id]) for event in events},
    )


def _artifact(artifact: mlmd.Artifact) -> Artifact:
    properties = {
        name: getattr(value, value.WhichOneof("value"))
        for group in (artifact.properties, artifact.custom_properties)
        for name, value in group.items()
        if value.WhichOneof("value") in ("string_value", "int_value", "double_value")
    }
    return Artifact(uri=artifact.uri, properties=properties)
