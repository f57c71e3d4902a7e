"""The pipeline: which components there are and what flows between them.

    SessionExampleGen ─┬─► StatisticsGen ─► StrictExampleValidator ◄─ ImportSchemaGen (schema/schema.pbtxt)
                       │                                                   │
                       ├─► Transform ◄─────────────────────────────────────┘
                       │      │ ├──────────────► Trainer ─► model ──┬──────────────┐
                       │      │ └─ graph ─┐                         │              │
                       └─► BaselineRanks ◄┘─► examples ─► GateEvaluator ─► blessing ─► AtomicPusher
                                                             ▲
                              ServedModel ── served model ───┘     (with training.warm_start also ─► Trainer)

    serving.infra_validator: model ─► InfraValidator ─► AtomicPusher
    serving.bulk_inferrer: raw examples, model, blessing ─► BulkInferrer, after AtomicPusher

`create_pipeline` takes one value that holds all a pipeline depends on; it chooses components and joins them, the
configuration tunes them. The runners (pipeline/local.py, kubeflow/runner.py) know nothing of the model.
"""

from __future__ import annotations

import dataclasses
from importlib import resources
from typing import Any, NamedTuple

from tfx import v1 as tfx

from nextclick.components import contract, nodes
from nextclick.components.example_gen import SessionExampleGen
from nextclick.pipeline import config, gate, gate_overrides, parallel_trials
from nextclick.pipeline.config import Config

# The settings of `serving` that the exported model depends on.
_EXPORT_SETTINGS = ("serving.model_name", "serving.top_k", "serving.weights", "serving.exclude_seen")
# Those that the baselines depend on.
_BASELINE_SETTINGS = ("seed", "data.attributes", "data.refit", "features", "serving.top_k", "serving.exclude_seen")


@dataclasses.dataclass(frozen=True)
class Plan:
    """A configuration and the place and moment it runs in.

    Attributes:
        config: the effective configuration.
        pipeline_root: folder of the artifacts.
        serving_base_path: folder of the model's versions that TF Serving reads; on a cluster a runtime parameter.
        schema_path: file with the raw schema, as the components see it.
        code_sha256: of our code; a change is a cache miss everywhere.
        input_fingerprint: of the input files' content; empty where nothing is cached.
        served_state: of what is served now; empty where nothing is cached.
        run_id: differs from run to run, so that a push is never answered from the cache.
        refused_folder: gets the dead letter of a run that ends while it reads the input; empty: it is not kept.
        metadata_path: SQLite file of ML Metadata; None where the orchestrator brings its own.
        beam_arguments: arguments of every Beam component.
        cached: whether unchanged steps are answered from earlier runs.
    """

    config: Config
    pipeline_root: str
    serving_base_path: Any
    schema_path: str
    code_sha256: str
    input_fingerprint: str = ""
    served_state: str = ""
    run_id: str = ""
    refused_folder: str = ""
    metadata_path: str | None = None
    beam_arguments: tuple[str, ...] = ()
    cached: bool = False


def bundled_schema_path() -> str:
    """The curated schema inside the installed package."""
    return str(resources.files("nextclick.schema") / "schema.pbtxt")


def create_pipeline(plan: Plan) -> tfx.dsl.Pipeline:
    """The whole pipeline for a plan."""
    ready = _prepare(plan)
    served = nodes.ServedModel(serving_base_path=plan.serving_base_path, served_state=plan.served_state)
    trainer = _trainer(plan, ready.transform, ready.schema, served)
    baselines = _baselines(plan, ready.examples, ready.transform)
    evaluator = _evaluator(plan, trainer, served, baselines)
    components = [*ready.components, served, trainer, baselines, evaluator]
    infra_validator = _infra_validator(plan, trainer, ready.examples)
    if infra_validator:
        components.append(infra_validator)
    pusher = _pusher(plan, trainer, evaluator, infra_validator)
    components.append(pusher)
    if plan.config.serving.bulk_inferrer != "off":
        components.append(_bulk_inferrer(plan, ready.examples, trainer, evaluator, pusher))
    return _pipeline(plan, components)


def create_schema_pipeline(plan: Plan) -> tfx.dsl.Pipeline:
    """ExampleGen, StatisticsGen and SchemaGen: what a new log looks like, for whoever curates the schema."""
    example_gen = _example_gen(plan)
    statistics_gen = tfx.components.StatisticsGen(examples=example_gen.outputs["examples"])
    schema_gen = tfx.components.SchemaGen(
        statistics=statistics_gen.outputs["statistics"], infer_feature_shape=False, exclude_splits=[contract.TEST]
    )
    return _pipeline(plan, [example_gen, statistics_gen, schema_gen])


def create_tuning_pipeline(plan: Plan) -> tfx.dsl.Pipeline:
    """As far as Transform, and Tuner: `nextclick tune` and `nextclick compile --tuning`."""
    ready = _prepare(plan)
    arguments = {
        "tuner_fn": "nextclick.components.tuner.tuner_fn",
        "examples": ready.transform.outputs["transformed_examples"],
        "transform_graph": ready.transform.outputs["transform_graph"],
        "train_args": tfx.proto.TrainArgs(splits=[contract.TRAIN]),
        "eval_args": tfx.proto.EvalArgs(splits=[contract.VALIDATION]),
    }
    settings = _custom_config(plan, "seed", "data.attributes", "features", "model", "training", "tuning")
    trials_at_a_time = plan.config.tuning.parallel_trials
    if trials_at_a_time == 1:
        tuner = tfx.components.Tuner(**arguments, custom_config=settings)
    else:
        tuner = tfx.extensions.google_cloud_ai_platform.Tuner(
            **arguments,
            tune_args=tfx.proto.TuneArgs(num_parallel_trials=trials_at_a_time),
            custom_config={**settings, **parallel_trials.vertex_job(plan.config)},
        )
    return _pipeline(plan, [*ready.components, tuner])


def create_examples_pipeline(plan: Plan, *, transformed: bool) -> tfx.dsl.Pipeline:
    """ExampleGen, and Transform where asked for: what the ingest benchmark times."""
    example_gen = _example_gen(plan)
    if not transformed:
        return _pipeline(plan, [example_gen])
    schema_gen = _schema_gen(plan)
    transform = _transform(plan, example_gen.outputs["examples"], schema_gen.outputs["schema"])
    return _pipeline(plan, [example_gen, schema_gen, transform])


class _Prepared(NamedTuple):
    """The nodes from the log to transformed examples, and what later nodes read of them."""

    components: list[Any]
    examples: Any
    schema: Any
    transform: Any


def _prepare(plan: Plan) -> _Prepared:
    """Everything as far as Transform, which waits for the validator."""
    example_gen = _example_gen(plan)
    examples = example_gen.outputs["examples"]
    statistics_gen = tfx.components.StatisticsGen(examples=examples)
    schema_gen = _schema_gen(plan)
    schema = schema_gen.outputs["schema"]
    validator = nodes.StrictExampleValidator(statistics=statistics_gen.outputs["statistics"], schema=schema)
    transform = _transform(plan, examples, schema)
    transform.add_upstream_node(validator)
    return _Prepared([example_gen, statistics_gen, schema_gen, validator, transform], examples, schema, transform)


def _pipeline(plan: Plan, components: list[Any]) -> tfx.dsl.Pipeline:
    return tfx.dsl.Pipeline(
        pipeline_name=plan.config.pipeline_name,
        pipeline_root=plan.pipeline_root,
        components=components,
        enable_cache=plan.cached,
        metadata_connection_config=_metadata(plan),
        beam_pipeline_args=list(plan.beam_arguments),
    )


def _example_gen(plan: Plan) -> Any:
    """Reads the clicks, groups them into sessions, splits them by time."""
    return SessionExampleGen(
        config_json=config.to_json(config.keep(plan.config, "data")),
        input_fingerprint=plan.input_fingerprint,
        code_sha256=plan.code_sha256,
        refused_folder=plan.refused_folder,
    )


def _schema_gen(plan: Plan) -> Any:
    """The curated schema; with the attributes that the log carries, where some are configured."""
    if not plan.config.data.attributes:
        return tfx.components.ImportSchemaGen(schema_file=plan.schema_path)
    return nodes.AttributesSchema(schema_file=plan.schema_path, attributes=plan.config.data.attributes)


def _custom_config(plan: Plan, *keys: str) -> dict[str, str]:
    """What a user function is given: the settings that it depends on, and the code's hash."""
    return {"config": config.to_json(config.keep(plan.config, *keys)), "code_sha256": plan.code_sha256}


def _transform(plan: Plan, examples: Any, schema: Any) -> Any:
    """Encodes all splits; learns the vocabulary from the training split alone (with the validation split for refit)."""
    analysed = [contract.TRAIN, contract.VALIDATION] if plan.config.data.refit else [contract.TRAIN]
    transform = nodes.SessionTransform(
        examples=examples,
        schema=schema,
        preprocessing_fn="nextclick.components.preprocessing.preprocessing_fn",
        splits_config=tfx.proto.SplitsConfig(analyze=analysed, transform=list(contract.SPLITS)),
        custom_config=_custom_config(plan, "data.attributes", "features"),
        disable_statistics=True,
        disable_analyzer_cache=True,
    )
    return transform.with_id("Transform")


def _trainer(plan: Plan, transform: Any, schema: Any, served: Any) -> Any:
    """Fits the recommender and exports it; a warm start takes its first weights from the served model."""
    return tfx.components.Trainer(
        run_fn="nextclick.components.trainer.run_fn",
        examples=transform.outputs["transformed_examples"],
        transform_graph=transform.outputs["transform_graph"],
        schema=schema,
        base_model=served.outputs["model"] if plan.config.training.warm_start else None,
        train_args=tfx.proto.TrainArgs(splits=[contract.TRAIN]),
        eval_args=tfx.proto.EvalArgs(splits=[contract.VALIDATION]),
        custom_config=_custom_config(
            plan, "seed", "data.attributes", "data.refit", "features", "model", "training", "hybrid", *_EXPORT_SETTINGS
        ),
    )


def _baselines(plan: Plan, examples: Any, transform: Any) -> Any:
    """Adds the baselines' ranks to the test split, so that Evaluator scores them on the same predictions."""
    return nodes.BaselineRanks(
        examples=examples,
        transform_graph=transform.outputs["transform_graph"],
        config_json=config.to_json(config.keep(plan.config, *_BASELINE_SETTINGS)),
        code_sha256=plan.code_sha256,
    )


def _evaluator(plan: Plan, trainer: Any, served: Any, baselines: Any) -> Any:
    """Scores the model, the served model and the baselines; blesses the model or refuses it."""
    return nodes.GateEvaluator(
        model=trainer.outputs["model"],
        baseline_model=served.outputs["model"],
        examples=baselines.outputs["examples"],
        eval_config=gate.eval_config(plan.config),
        example_splits=[contract.TEST],
        enabled=plan.config.gate.enabled,
        overrides=gate_overrides.overrides(plan.config),
        serving_limits=gate.serving_limits(plan.config),
        code_sha256=plan.code_sha256,
    )


def _infra_validator(plan: Plan, trainer: Any, examples: Any) -> Any:
    """Starts TF Serving on the model and asks it, where a Docker engine or a Kubernetes cluster is there to do so."""
    platform = plan.config.serving.infra_validator
    if platform == "off":
        return None
    host: dict[str, Any] = {"docker": {"local_docker": {}}, "kubernetes": {"kubernetes": {}}}[platform]
    return tfx.components.InfraValidator(
        model=trainer.outputs["model"],
        examples=examples,
        serving_spec=tfx.proto.ServingSpec(
            tensorflow_serving=tfx.proto.TensorFlowServing(tags=["latest"]),
            model_name=plan.config.serving.model_name,
            **host,
        ),
        request_spec=tfx.proto.RequestSpec(
            tensorflow_serving=tfx.proto.TensorFlowServingRequestSpec(signature_names=[contract.SIGNATURE_EXAMPLES]),
            num_examples=3,
            split_name=contract.TEST,
        ),
    )


def _pusher(plan: Plan, trainer: Any, evaluator: Any, infra_validator: Any) -> Any:
    """Publishes a blessed model under the folder that TF Serving reads."""
    return nodes.AtomicPusher(
        model=trainer.outputs["model"],
        model_blessing=evaluator.outputs["blessing"],
        infra_blessing=infra_validator.outputs["blessing"] if infra_validator else None,
        serving_base_path=plan.serving_base_path,
        run_id=plan.run_id,
    )


def _bulk_inferrer(plan: Plan, examples: Any, trainer: Any, evaluator: Any, pusher: Any) -> Any:
    """Answers the sessions of a split by a blessed model; only after the push, which must not wait for it."""
    bulk_inferrer = nodes.BatchedBulkInferrer(
        examples=examples,
        model=trainer.outputs["model"],
        model_blessing=evaluator.outputs["blessing"],
        data_spec=tfx.proto.DataSpec(example_splits=[plan.config.serving.bulk_inferrer]),
    )
    bulk_inferrer.add_upstream_node(pusher)
    return bulk_inferrer.with_id("BulkInferrer")


def _metadata(plan: Plan) -> Any:
    if plan.metadata_path is None:
        return None
    return tfx.orchestration.metadata.sqlite_metadata_connection_config(plan.metadata_path)
