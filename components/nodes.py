# ruff: noqa: RUF012  (TFX wants the parameters, inputs and outputs of a component as plain class attributes)
"""The pipeline's own TFX components besides ExampleGen; what they do stands in executors.py and gate_executor.py.

Parameters are texts and whole numbers only, so that Kubeflow's container entrypoint runs them as well.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tensorflow_model_analysis.proto import config_pb2
from tfx import types
from tfx.components.bulk_inferrer import component as bulk_inferrer_component
from tfx.components.example_validator import component as validator_component
from tfx.components.transform import component as transform_component
from tfx.dsl.components.base import base_beam_component, base_component, executor_spec
from tfx.types import standard_artifacts, standard_component_specs
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from nextclick.components import contract, executors, gate_executor


class StrictExampleValidator(validator_component.ExampleValidator):
    """`StrictExampleValidator(statistics=..., schema=...)`; output `anomalies`."""

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executors.StrictExampleValidatorExecutor)


class AttributesSchemaSpec(ComponentSpec):
    """`attributes`: `data.attributes` as a JSON list."""

    PARAMETERS = {"schema_file": ExecutionParameter(type=str), "attributes": ExecutionParameter(type=str)}
    INPUTS: dict[str, ChannelParameter] = {}
    OUTPUTS = {"schema": ChannelParameter(type=standard_artifacts.Schema)}


class AttributesSchema(base_component.BaseComponent):
    """`AttributesSchema(schema_file=..., attributes=...)`: ImportSchemaGen of logs with attributes; output `schema`."""

    SPEC_CLASS = AttributesSchemaSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executors.AttributesSchemaExecutor)

    def __init__(self, schema_file: str, attributes: Sequence[str]) -> None:
        schema = types.Channel(type=standard_artifacts.Schema)
        super().__init__(
            AttributesSchemaSpec(schema_file=schema_file, attributes=json.dumps(list(attributes)), schema=schema)
        )


class SessionTransform(transform_component.Transform):
    """TFX's Transform with an executor that works on batches; parameters and outputs are the same."""

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executors.SessionTransformExecutor)


class ServedModelSpec(ComponentSpec):
    """`served_state`: of `served.state`; what the cache notices."""

    PARAMETERS = {"serving_base_path": ExecutionParameter(type=str), "served_state": ExecutionParameter(type=str)}
    INPUTS: dict[str, ChannelParameter] = {}
    OUTPUTS = {"model": ChannelParameter(type=standard_artifacts.Model)}


class ServedModel(base_component.BaseComponent):
    """`ServedModel(serving_base_path=..., served_state=...)`; output `model`, custom property `served_version`."""

    SPEC_CLASS = ServedModelSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executors.ServedModelExecutor)

    def __init__(self, serving_base_path: Any, served_state: str = "") -> None:
        model = types.Channel(type=standard_artifacts.Model)
        super().__init__(ServedModelSpec(serving_base_path=serving_base_path, served_state=served_state, model=model))


class BaselineRanksSpec(ComponentSpec):
    """`config_json`: the settings that the ranks depend on; `code_sha256`: of our code, for the cache."""

    PARAMETERS = {"config_json": ExecutionParameter(type=str), "code_sha256": ExecutionParameter(type=str)}
    INPUTS = {
        "raw_examples": ChannelParameter(type=standard_artifacts.Examples),
        "transform_graph": ChannelParameter(type=standard_artifacts.TransformGraph),
    }
    OUTPUTS = {"examples": ChannelParameter(type=standard_artifacts.Examples)}


class BaselineRanks(base_component.BaseComponent):
    """`BaselineRanks(examples=..., transform_graph=..., config_json=..., code_sha256=...)`; output `examples`."""

    SPEC_CLASS = BaselineRanksSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executors.BaselineRanksExecutor)

    def __init__(self, examples: Any, transform_graph: Any, config_json: str, code_sha256: str) -> None:
        super().__init__(
            BaselineRanksSpec(
                raw_examples=examples,
                transform_graph=transform_graph,
                config_json=config_json,
                code_sha256=code_sha256,
                examples=types.Channel(type=standard_artifacts.Examples),
            )
        )


class GateEvaluatorSpec(standard_component_specs.EvaluatorSpec):
    """Evaluator's, `enabled` (0: bless whatever comes), `serving_limits` (JSON, greatest value by figure; {}: do not
    ask the serving signatures) and `code_sha256`.
    """

    PARAMETERS = {
        **standard_component_specs.EvaluatorSpec.PARAMETERS,
        "enabled": ExecutionParameter(type=int),
        "overrides": ExecutionParameter(type=str),
        "serving_limits": ExecutionParameter(type=str),
        "code_sha256": ExecutionParameter(type=str),
    }


class GateEvaluator(base_beam_component.BaseBeamComponent):
    """Evaluator behind the gate; outputs `evaluation` and `blessing`.

    `GateEvaluator(model=..., baseline_model=..., examples=..., eval_config=..., example_splits=["test"])`, where
    `baseline_model` is ServedModel's; `enabled=False` records the outcome and blesses the model all the same;
    `overrides`, in words, are noted on the blessing;
    `serving_limits` are those of pipeline/gate.py.
    """

    SPEC_CLASS = GateEvaluatorSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(gate_executor.GateEvaluatorExecutor)

    def __init__(
        self,
        *,
        model: Any,
        baseline_model: Any,
        examples: Any,
        eval_config: config_pb2.EvalConfig,
        example_splits: Sequence[str] = (contract.TEST,),
        enabled: bool = True,
        overrides: Sequence[str] = (),
        serving_limits: Mapping[str, float] | None = None,
        code_sha256: str = "",
    ) -> None:
        super().__init__(
            GateEvaluatorSpec(
                model=model,
                baseline_model=baseline_model,
                examples=examples,
                eval_config=eval_config,
                example_splits=json.dumps(list(example_splits)),
                enabled=int(enabled),
                overrides="; ".join(overrides),
                serving_limits=json.dumps(dict(serving_limits or {}), sort_keys=True),
                code_sha256=code_sha256,
                evaluation=types.Channel(type=standard_artifacts.ModelEvaluation),
                blessing=types.Channel(type=standard_artifacts.ModelBlessing),
            )
        )


class AtomicPusherSpec(ComponentSpec):
    """`run_id`: anything that differs from run to run, so that a push is never answered from the cache."""

    PARAMETERS = {"serving_base_path": ExecutionParameter(type=str), "run_id": ExecutionParameter(type=str)}
    INPUTS = {
        "model": ChannelParameter(type=standard_artifacts.Model),
        "model_blessing": ChannelParameter(type=standard_artifacts.ModelBlessing, optional=True),
        "infra_blessing": ChannelParameter(type=standard_artifacts.InfraBlessing, optional=True),
    }
    OUTPUTS = {"pushed_model": ChannelParameter(type=standard_artifacts.PushedModel)}


class AtomicPusher(base_component.BaseComponent):
    """`AtomicPusher(model=..., model_blessing=..., serving_base_path=...)`; output `pushed_model`.

    Its custom properties: `pushed` 1 with `pushed_version`, or 0 and, where the model is served already,
    `already_served_version`; `pushed_destination` is the folder of either.
    """

    SPEC_CLASS = AtomicPusherSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executors.AtomicPusherExecutor)

    def __init__(
        self,
        model: Any,
        serving_base_path: Any,
        model_blessing: Any = None,
        infra_blessing: Any = None,
        run_id: str = "",
    ) -> None:
        super().__init__(
            AtomicPusherSpec(
                model=model,
                model_blessing=model_blessing,
                infra_blessing=infra_blessing,
                serving_base_path=serving_base_path,
                run_id=run_id,
                pushed_model=types.Channel(type=standard_artifacts.PushedModel),
            )
        )


class BatchedBulkInferrer(bulk_inferrer_component.BulkInferrer):
    """TFX's BulkInferrer whose executor bounds the batches, asks `predict_examples` and adds Parquet; inputs and output
    `inference_result` are the same.
    """

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executors.BatchedBulkInferrerExecutor)
