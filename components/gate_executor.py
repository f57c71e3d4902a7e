"""The executor of GateEvaluator (nodes.py): TFMA on the test split, the serving signatures, and the blessing.

evaluating.py      runs the models and TFMA
tfma_metrics.py    the metrics and thresholds
serving_checks.py  what the serving signatures answer, and how fast
weights_check.py   what narrower weights cost
verdict.py         what was found, kept for the report
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf
import tensorflow_model_analysis as tfma
from google.protobuf import json_format
from tensorflow_model_analysis.proto import config_pb2
from tfx import types
from tfx.components.evaluator import constants as evaluator_constants
from tfx.dsl.components.base import base_beam_executor
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import io_utils, path_utils

from nextclick.components import (
    baseline_examples,
    contract,
    evaluating,
    evaluation_facts,
    quantize,
    served,
    serving_checks,
    tfma_metrics,
    verdict,
    weights_check,
)
from nextclick.components.executors import Artifacts, split_files
from nextclick.pipeline.errors import ServingError

_SHOWN_EXAMPLES = 20


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
        facts = f"{examples.uri}/{baseline_examples.FACTS_FILE}"
        if tf.io.gfile.exists(facts):
            eval_config = tfma_metrics.with_facts(eval_config, facts)
            # The rest is not kept: it is as large as the catalogue.
            found = dataclasses.replace(found, drift=evaluation_facts.read(facts).tables)
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
            evaluating.build(pipeline, models, eval_config, split_files(examples, contract.TEST), output)
        blessing = artifact_utils.get_single_instance(output_dict[standard_component_specs.BLESSING_KEY])
        _set_blessing(blessing, blessed=tfma.load_validation_result(output).validation_ok)


def _model_path(models: Sequence[types.Artifact]) -> str:
    model = artifact_utils.get_single_instance(list(models))
    path: str = path_utils.serving_model_path(model.uri, path_utils.is_old_model_artifact(model))
    return path


def _ask(found: verdict.Verdict, inputs: Artifacts, examples: types.Artifact) -> verdict.Verdict:
    """Asks the candidate's serving signatures about the first test sessions."""
    model = artifact_utils.get_single_instance(inputs[standard_component_specs.MODEL_KEY])
    records = tf.data.TFRecordDataset(split_files([examples], contract.TEST), compression_type="GZIP")
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
