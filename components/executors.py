"""The executors of the pipeline's own TFX components (nodes.py) besides GateEvaluator's (gate_executor.py): shells over
plain functions.

StrictExampleValidator  anomalies.py           an anomaly stops the run
AttributesSchema        raw_schema.py          the curated schema with the log's attributes
SessionTransform        transforming.py        vocabulary, graph and transformed examples, by TensorFlow Transform
ServedModel             served.py              the model that is served now, as an artifact
BaselineRanks           baseline_examples.py   the test split with the baselines' ranks
AtomicPusher            push.py                publishes a blessed model
BatchedBulkInferrer     batch_inference.py     a blessed model's answers to the sessions of a split
"""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
from google.protobuf import json_format
from tensorflow_metadata.proto.v0 import anomalies_pb2
from tfx import types
from tfx.components.bulk_inferrer import executor as bulk_inferrer_executor
from tfx.components.example_validator import executor as validator_executor
from tfx.components.pusher import executor as pusher_executor
from tfx.dsl.components.base import base_beam_executor, base_executor
from tfx.dsl.io import fileio
from tfx.proto import transform_pb2
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import io_utils, path_utils

from nextclick.components import (
    anomalies,
    baseline_examples,
    batch_inference,
    contract,
    preprocessing,
    push,
    raw_schema,
    served,
    span_drift,
    transforming,
)
from nextclick.pipeline import config as configuration
from nextclick.pipeline.errors import DataError

Artifacts = dict[str, list[types.Artifact]]

_SCHEMA_FILE = "schema.pbtxt"  # where TFX looks for a schema in an artifact


class StrictExampleValidatorExecutor(validator_executor.Executor):
    """ExampleValidator, whose anomalies are an error."""

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> Any:  # noqa: N802
        """Raises DataError that names each feature with an anomaly."""
        result = super().Do(input_dict, output_dict, exec_properties)
        artifact = artifact_utils.get_single_instance(output_dict[standard_component_specs.ANOMALIES_KEY])
        problem = anomalies.sentence(
            {
                split: _read_anomalies(artifact, split)
                for split in artifact_utils.decode_split_names(artifact.split_names)
            }
        )
        if problem:
            raise DataError(problem)
        return result


def _read_anomalies(artifact: types.Artifact, split: str) -> anomalies_pb2.Anomalies:
    path = io_utils.all_files_pattern(artifact_utils.get_split_uri([artifact], split))
    found = anomalies_pb2.Anomalies()
    for name in tf.io.gfile.glob(path):
        with tf.io.gfile.GFile(name, "rb") as handle:
            found.MergeFromString(handle.read())
    return found


class AttributesSchemaExecutor(base_executor.BaseExecutor):
    """ImportSchemaGen, which also asks for the attributes that a configuration carries along."""

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:  # noqa: N802
        """Writes the extended schema."""
        schema = io_utils.SchemaReader().read(exec_properties[standard_component_specs.SCHEMA_FILE_KEY])
        extended = raw_schema.with_attributes(schema, json.loads(exec_properties["attributes"]))
        folder = artifact_utils.get_single_uri(output_dict[standard_component_specs.SCHEMA_KEY])
        io_utils.write_pbtxt_file(f"{folder}/{_SCHEMA_FILE}", extended)


class SessionTransformExecutor(base_beam_executor.BaseBeamExecutor):
    """Transform on batches of sessions."""

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:  # noqa: N802
        """See `transforming.build`."""
        examples = input_dict[standard_component_specs.EXAMPLES_KEY]
        splits = json_format.Parse(
            exec_properties[standard_component_specs.SPLITS_CONFIG_KEY], transform_pb2.SplitsConfig()
        )
        custom_config = json.loads(exec_properties[standard_component_specs.CUSTOM_CONFIG_KEY])
        schema = artifact_utils.get_single_uri(input_dict[standard_component_specs.SCHEMA_KEY])
        inputs = transforming.Inputs(
            files={split: split_files(examples, split) for split in splits.transform},
            analysed=list(splits.analyze),
            schema=io_utils.SchemaReader().read(f"{schema}/{_SCHEMA_FILE}"),
        )
        transformed = artifact_utils.get_single_instance(output_dict[standard_component_specs.TRANSFORMED_EXAMPLES_KEY])
        transformed.split_names = artifact_utils.encode_split_names(list(splits.transform))
        transformed.span = artifact_utils.get_single_instance(examples).span
        graph = artifact_utils.get_single_uri(output_dict[standard_component_specs.TRANSFORM_GRAPH_KEY])
        outputs = transforming.Outputs(
            graph=graph,
            splits={
                split: f"{artifact_utils.get_split_uri([transformed], split)}/transformed_examples"
                for split in splits.transform
            },
            temporary=f"{graph}/.temporary",
        )
        preprocess = functools.partial(preprocessing.preprocessing_fn, custom_config=custom_config)
        make_pipeline: Callable[[], Any] = self._make_beam_pipeline
        with make_pipeline() as pipeline:
            transforming.build(pipeline, preprocess, inputs, outputs)
        fileio.rmtree(outputs.temporary)


class ServedModelExecutor(base_executor.BaseExecutor):
    """Copies the served model; `served_version` is "" and the artifact holds no model where there is none."""

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:  # noqa: N802
        """See the class."""
        model = artifact_utils.get_single_instance(output_dict["model"])
        version = served.copy_newest(exec_properties["serving_base_path"], path_utils.serving_model_dir(model.uri))
        model.set_string_custom_property("served_version", version)


class BaselineRanksExecutor(base_executor.BaseExecutor):
    """Fits the baselines and writes the test split with their ranks, and each baseline as a SavedModel."""

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:  # noqa: N802
        """See `baseline_examples.write`."""
        config = configuration.from_json(exec_properties["config_json"])
        fitted_on = [contract.TRAIN, contract.VALIDATION] if config.data.refit else [contract.TRAIN]
        raw, ranked = input_dict["raw_examples"], artifact_utils.get_single_instance(output_dict["examples"])
        ranked.split_names = artifact_utils.encode_split_names([contract.TEST])
        ranked.span = artifact_utils.get_single_instance(raw).span
        baseline_examples.write(
            [path for split in fitted_on for path in split_files(raw, split)],
            split_files(raw, contract.TEST),
            artifact_utils.get_single_uri(input_dict["transform_graph"]),
            config,
            spans=span_drift.read(f"{artifact_utils.get_single_uri(raw)}/{span_drift.FILE}"),
            split_folder=artifact_utils.get_split_uri([ranked], contract.TEST),
            facts_path=f"{ranked.uri}/{baseline_examples.FACTS_FILE}",
            models_folder=f"{ranked.uri}/{baseline_examples.MODELS_FOLDER}",
        )


def split_files(examples: Sequence[types.Artifact], split: str) -> list[str]:
    """Paths of the files that hold a split, sorted."""
    return sorted(
        path
        for uri in artifact_utils.get_split_uris(list(examples), split)
        for path in tf.io.gfile.glob(io_utils.all_files_pattern(uri))
    )


class AtomicPusherExecutor(pusher_executor.Executor):
    """Pusher whose new version appears at once, is the greatest, and is made only of a model not served already."""

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:  # noqa: N802
        """See `push.push`."""
        pushed = artifact_utils.get_single_instance(output_dict["pushed_model"])
        if not self.CheckBlessing(input_dict):
            self._MarkNotPushed(pushed)
            return
        done = push.push(self.GetModelPath(input_dict), exec_properties["serving_base_path"], time.time())
        if done.pushed:
            self._MarkPushed(pushed, pushed_destination=done.path, pushed_version=done.version)
        else:
            self._MarkNotPushed(pushed)
            pushed.set_string_custom_property("pushed_destination", done.path)
            pushed.set_string_custom_property("already_served_version", done.version)


class BatchedBulkInferrerExecutor(bulk_inferrer_executor.Executor):
    """BulkInferrer on batches that the model takes, whose answers are also there as Parquet."""

    def _run_model_inference(  # after TFX's own look at the blessing
        self,
        data_spec: Any,
        output_example_spec: Any,
        examples: list[types.Artifact],
        output_examples: types.Artifact | None,
        inference_result: types.Artifact,
        inference_endpoint: Any,
    ) -> None:
        """See `batch_inference.bulk_infer`."""
        files = [path for split in data_spec.example_splits for path in split_files(examples, split)]
        make_pipeline: Callable[[], Any] = self._make_beam_pipeline
        with make_pipeline() as pipeline:
            batch_inference.bulk_infer(
                pipeline,
                files,
                inference_endpoint.saved_model_spec.model_path,
                logs=f"{inference_result.uri}/prediction_logs",
                answers=f"{inference_result.uri}/predictions/part",
            )
