"""Compiles the pipeline for Kubeflow Pipelines 2 and Vertex AI Pipelines.

Open-source Kubeflow runs neither TFX resolvers nor ExampleGen's pre-cache check, so the pipeline has none: the served
model comes from a plain component, and our ExampleGen finds its files itself. Nothing is answered from the backend's
cache, whose key would not see changed files (docs/architecture.md).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tfx import v1 as tfx

from nextclick.pipeline import beam_options, code_version, definition, parallel_trials
from nextclick.pipeline.config import Config
from nextclick.pipeline.errors import ConfigError

# Where kubeflow/Dockerfile puts the curated schema.
IMAGE_SCHEMA_PATH = "/opt/nextclick/schema/schema.pbtxt"
# The runtime parameter that names the served model's base path.
SERVING_PARAMETER = "serving_base_path"

_SUFFIXES = {"kubeflow": (".yaml", ".yml"), "vertex": (".json",)}


def compile_pipeline(
    config: Config, target: str, output: Path, schema_path: str = IMAGE_SCHEMA_PATH, *, tuning: bool = False
) -> None:
    """Writes the pipeline specification.

    Args:
        config: the effective configuration.
        target: "kubeflow" (a PipelineSpec in YAML) or "vertex" (a PipelineJob in JSON), IR schema 2.1 both.
        output: the file to write; its suffix must fit the target.
        schema_path: the raw schema inside the container.
        tuning: the pipeline of `nextclick tune`, as far as Tuner, in place of the one that trains.

    Raises:
        ConfigError: a local path, a component or a file name that the target cannot use.
    """
    _check(config, target, output)
    if tuning:
        _check_tuning(config, target)
    create = definition.create_tuning_pipeline if tuning else definition.create_pipeline
    runner = tfx.orchestration.experimental.KubeflowV2DagRunner(
        config=tfx.orchestration.experimental.KubeflowV2DagRunnerConfig(
            display_name=config.pipeline_name, default_image=config.cluster.image, use_pipeline_spec_2_1=True
        ),
        output_dir=str(output.parent),
        output_filename=output.name,
    )
    output.parent.mkdir(parents=True, exist_ok=True)
    runner.run(create(_plan(config, schema_path)), write_out=True)


def _plan(config: Config, schema_path: str) -> definition.Plan:
    return definition.Plan(
        config=config,
        pipeline_root=config.cluster.pipeline_root,
        serving_base_path=_serving_base_path(config),
        schema_path=schema_path,
        code_sha256=code_version.code_sha256(),
        beam_arguments=tuple(beam_options.beam_arguments(config)),
        cached=False,
    )


def _serving_base_path(config: Config) -> Any:
    """A runtime parameter, so that one compiled file serves several environments."""
    root = config.cluster.serving_root
    default = f"{root.rstrip('/')}/{config.serving.model_name}" if root else None
    return tfx.dsl.experimental.RuntimeParameter(name=SERVING_PARAMETER, ptype=str, default=default)


def _check(config: Config, target: str, output: Path) -> None:
    if output.suffix not in _SUFFIXES[target]:
        raise ConfigError(f"--target {target} writes a {_SUFFIXES[target][0]} file, received --output {output}")
    if config.serving.infra_validator != "off":
        raise ConfigError(
            "serving.infra_validator must be off for --target: TFX's InfraValidator does not compile for Kubeflow "
            "Pipelines 2 or Vertex; start TF Serving on the pushed model in staging instead"
        )
    for path in [*config.data.paths, config.data.test_path, config.cluster.pipeline_root, config.cluster.serving_root]:
        if path and "://" not in path:
            raise ConfigError(
                f"{path} is a local path, which does not exist inside the cluster's containers; "
                "use one that every node reaches, such as gs://BUCKET/clicks/*.csv.gz"
            )


def _check_tuning(config: Config, target: str) -> None:
    if config.tuning.parallel_trials == 1:
        return
    if target != "vertex":
        raise ConfigError(
            f"tuning.parallel_trials={config.tuning.parallel_trials} needs --target vertex, whose custom jobs run the "
            "trials: set it to 1 for Kubeflow"
        )
    missing = parallel_trials.missing(config)
    if missing:
        raise ConfigError(f"tuning.parallel_trials above 1 needs {' and '.join(missing)}")
