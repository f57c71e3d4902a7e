"""The executors of the pipeline's own TFX components (nodes.py): shells over plain functions.

StrictExampleValidator  anomalies.py           an anomaly stops the run
AttributesSchema        raw_schema.py          the curated schema with the log's attributes
SessionTransform        transforming.py        vocabulary, graph and transformed examples, by TensorFlow Transform
ServedModel             served.py              the model that is served now, as an artifact
BaselineRanks           baseline_examples.py   the test split with the baselines' ranks
GateEvaluator           tfma_metrics.py        TFMA, against the served model if there is one; blesses or refuses
AtomicPusher            push.py                publishes a blessed model
BatchedBulkInferrer     batch_inference.py     a blessed model's answers to the sessions of a split
"""

from __future__ import annotations

import dataclasses
import functools
import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf
import tensorflow_model_analysis as tfma
from google.protobuf import json_format
from tensorflow_metadata.proto.v0 import anomalies_pb2
from tensorflow_model_analysis.proto import config_pb2
from tfx import types
from tfx.components.bulk_inferrer import executor as bulk_inferrer_executor
from tfx.components.evaluator import constants as evaluator_constants
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
    evaluating,
    evaluation_facts,
    preprocessing,
    push,
    quantize,
    raw_schema,
    served,
    serving_checks,
    span_drift,
    tfma_metrics,
    transforming,
    verdict,
    weights_check,
)
from nextclick.pipeline import config as configuration
from nextclick.pipeline.errors import DataError, ServingError

Artifacts = dict[str, list[types.Artifact]]

_SHOWN_EXAMPLES = 20
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
            files={split: _split_files(examples, split) for split in splits.transform},
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
            [path for split in fitted_on for path in _split_files(raw, split)],
            _split_files(raw, contract.TEST),
            artifact_utils.get_single_uri(input_dict["transform_graph"]),
            config,
            spans=span_drift.read(f"{artifact_utils.get_single_uri(raw)}/{span_drift.FILE}"),
            split_folder=artifact_utils.get_split_uri([ranked], contract.TEST),
            facts_path=_facts_path(ranked),
            models_folder=f"{ranked.uri}/{baseline_examples.MODELS_FOLDER}",
        )


def _split_files(examples: Sequence[types.Artifact], split: str) -> list[str]:
    return sorted(
        path
        for uri in artifact_utils.get_split_uris(list(examples), split)
        for path in tf.io.gfile.glob(io_utils.all_files_pattern(uri))
    )


def _facts_path(ranked: types.Artifact) -> str:
    return f"{ranked.uri}/{baseline_examples.FACTS_FILE}"


class GateEvaluatorExecutor(base_beam_executor.BaseBeamExecutor):
    """Evaluator on packs of sessions, that compares with the served model where there is one, and asks the model's
    serving signatures.
    """

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:  # noqa: N802
        """Raises ServingError where the served model cannot be evaluated as this version of nextclick does it."""
        eval_config = json_format.Parse(exec_properties["eval_config"], config_pb2.EvalConfig())
        inputs = {**input_dict}
        if not _compares(eval_config, inputs):
            inputs.pop(standard_component_specs.BASELINE_MODEL_KEY, None)
        examples = artifact_utils.get_single_instance(inputs[standard_component_specs.EXAMPLES_KEY])
        found = verdict.Verdict()
        if tf.io.gfile.exists(_facts_path(examples)):
            eval_config = tfma_metrics.with_facts(eval_config, _facts_path(examples))
            # The rest is not kept: it is as large as the catalogue.
            found = dataclasses.replace(found, drift=evaluation_facts.read(_facts_path(examples)).tables)
        blessing = artifact_utils.get_single_instance(output_dict[standard_component_specs.BLESSING_KEY])
        try:
            self._evaluate(eval_config, inputs, output_dict)
        except Exception as error:
            if not verdict.is_not_finite(error):
                raise
            found = dataclasses.replace(found, scores_finite=False)
            _set_blessing(blessing, blessed=False)
        else:
            limits = json.loads(exec_properties["serving_limits"])
            if limits:
                found = _ask(found, inputs, examples)
                if verdict.exceeded(found.figures, limits):
                    _set_blessing(blessing, blessed=False)
        verdict.write(found, artifact_utils.get_single_uri(output_dict[standard_component_specs.EVALUATION_KEY]))
        if exec_properties["overrides"]:
            blessing.set_string_custom_property("overrides", exec_properties["overrides"])
        if not exec_properties["enabled"]:
            blessing.set_int_custom_property("overridden", 1)
            _set_blessing(blessing, blessed=True)

    def _evaluate(self, eval_config: config_pb2.EvalConfig, inputs: Artifacts, output_dict: Artifacts) -> None:
        """Runs TFMA, and blesses or refuses as it says."""
        compares = standard_component_specs.BASELINE_MODEL_KEY in inputs
        eval_config = tfma.utils.update_eval_config_with_defaults(eval_config, has_baseline=compares, rubber_stamp=True)
        output = artifact_utils.get_single_uri(output_dict[standard_component_specs.EVALUATION_KEY])
        keys = {True: standard_component_specs.BASELINE_MODEL_KEY, False: standard_component_specs.MODEL_KEY}
        models = {spec.name: _model_path(inputs[keys[spec.is_baseline]]) for spec in eval_config.model_specs}
        examples = inputs[standard_component_specs.EXAMPLES_KEY]
        make_pipeline: Callable[[], Any] = self._make_beam_pipeline
        with make_pipeline() as pipeline:
            evaluating.build(pipeline, models, eval_config, _split_files(examples, contract.TEST), output)
        blessing = artifact_utils.get_single_instance(output_dict[standard_component_specs.BLESSING_KEY])
        _set_blessing(blessing, blessed=tfma.load_validation_result(output).validation_ok)


def _model_path(models: Sequence[types.Artifact]) -> str:
    model = artifact_utils.get_single_instance(list(models))
    path: str = path_utils.serving_model_path(model.uri, path_utils.is_old_model_artifact(model))
    return path


def _ask(found: verdict.Verdict, inputs: Artifacts, examples: types.Artifact) -> verdict.Verdict:
    """Asks the candidate's serving signatures about the first test sessions."""
    model = artifact_utils.get_single_instance(inputs[standard_component_specs.MODEL_KEY])
    records = tf.data.TFRecordDataset(_split_files([examples], contract.TEST), compression_type="GZIP")
    first = list(records.take(2 * serving_checks.MAX_SESSIONS).as_numpy_iterator())
    path = path_utils.serving_model_dir(model.uri)
    checked = serving_checks.check(path, first)
    shown = tuple(dataclasses.asdict(answer) for answer in checked.answers[:_SHOWN_EXAMPLES])
    return dataclasses.replace(found, figures={**checked.figures, **_weights(path, records)}, examples=shown)


def _weights(model_path: str, records: tf.data.Dataset) -> Mapping[str, float]:
    """What narrower weights cost, where the trainer left the float32 form beside them."""
    reference = quantize.reference_folder(model_path)
    if not served.is_saved_model(reference):
        return {}
    examples = list(records.take(weights_check.MAX_SESSIONS).as_numpy_iterator())
    return weights_check.measure(model_path, reference, examples)


def _compares(eval_config: config_pb2.EvalConfig, inputs: Mapping[str, list[types.Artifact]]) -> bool:
    """Whether there is a served model to compare with."""
    found = inputs.get(standard_component_specs.BASELINE_MODEL_KEY)
    if not found or not any(spec.is_baseline for spec in eval_config.model_specs):
        return False
    artifact = artifact_utils.get_single_instance(found)
    path = path_utils.serving_model_dir(artifact.uri)
    if not served.is_saved_model(path):
        return False
    if contract.SIGNATURE_EVALUATE not in served.signatures(path):
        raise ServingError(
            f"the served model, version {artifact.get_string_custom_property('served_version')}, has no signature "
            f"{contract.SIGNATURE_EVALUATE} (another version of nextclick made it), so that the new one cannot be "
            "compared with it: run once with --set gate.compare_served=false, or take it out of the serving folder"
        )
    return True


def _set_blessing(blessing: types.Artifact, *, blessed: bool) -> None:
    """Blesses or refuses a model whatever TFMA said, as TFX's Evaluator writes it."""
    value = evaluator_constants.BLESSED_VALUE if blessed else evaluator_constants.NOT_BLESSED_VALUE
    blessing.set_int_custom_property(evaluator_constants.ARTIFACT_PROPERTY_BLESSED_KEY, value)
    names = {True: evaluator_constants.BLESSED_FILE_NAME, False: evaluator_constants.NOT_BLESSED_FILE_NAME}
    contrary = f"{blessing.uri}/{names[not blessed]}"
    if tf.io.gfile.exists(contrary):
        tf.io.gfile.remove(contrary)
    io_utils.write_string_file(f"{blessing.uri}/{names[blessed]}", "")


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
        files = [path for split in data_spec.example_splits for path in _split_files(examples, split)]
        make_pipeline: Callable[[], Any] = self._make_beam_pipeline
        with make_pipeline() as pipeline:
            batch_inference.bulk_infer(
                pipeline,
                files,
                inference_endpoint.saved_model_spec.model_path,
                logs=f"{inference_result.uri}/prediction_logs",
                answers=f"{inference_result.uri}/predictions/part",
            )
