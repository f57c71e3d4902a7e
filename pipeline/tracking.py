"""Runs in MLflow, for those who compare many: parameters, metrics, curves and the report, beside ML Metadata.

MLflow is an extra that nobody needs: `pip install mlflow-skinny` (or mlflow, for its pages) beside nextclick.
"""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nextclick.pipeline import config as configuration
from nextclick.pipeline.config import Config
from nextclick.pipeline.errors import ConfigError

# What MLflow takes at a time, and of a value.
_PARAMETERS_A_BATCH, _METRICS_A_BATCH, _CHARACTERS = 100, 1000, 6000
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_\-. :/]")
_FOLDER = "mlflow"


def check(config: Config) -> None:
    """Raises ConfigError where runs are to be tracked and MLflow is not installed."""
    if config.tracking.mlflow and importlib.util.find_spec("mlflow") is None:
        raise ConfigError("tracking.mlflow needs the package mlflow: pip install mlflow-skinny, or set it to false")


def track(config: Config, metrics: Mapping[str, Any], report: Path, root: Path) -> str | None:
    """Writes a run to MLflow.

    Args:
      config: the run's; its section `tracking` says whether and where to.
      metrics: content of metrics.json.
      report: folder of the report, kept as an artifact.
      root: `--root`; without `tracking.uri` the store is the folder `mlflow` in it.

    Returns: MLflow's id of the run; None where runs are not tracked, or the store does not take it: that is told on
    standard error, since what the run has done stands all the same.
    """
    if not config.tracking.mlflow:
        return None
    if not config.tracking.uri:  # MLflow would rather have a database
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    import mlflow

    try:
        return _write(mlflow, config, metrics, report, root)
    except mlflow.exceptions.MlflowException as error:
        print(f"nextclick: the run is not in MLflow: {' '.join(str(error).split())}", file=sys.stderr)
        return None


def _write(mlflow: Any, config: Config, metrics: Mapping[str, Any], report: Path, root: Path) -> str:
    entities = mlflow.entities
    client = mlflow.MlflowClient(tracking_uri=config.tracking.uri or (root.resolve() / _FOLDER).as_uri())
    experiment = config.tracking.experiment or config.pipeline_name
    found = client.get_experiment_by_name(experiment)
    experiment_id = found.experiment_id if found else client.create_experiment(experiment)
    run_id: str = client.create_run(experiment_id, run_name=metrics["run"]["id"]).info.run_id
    parameters = [entities.Param(key, value[:_CHARACTERS]) for key, value in _parameters(config).items()]
    for first in range(0, len(parameters), _PARAMETERS_A_BATCH):
        client.log_batch(run_id, params=parameters[first : first + _PARAMETERS_A_BATCH])
    figures = [entities.Metric(name, value, 0, step) for name, value, step in _figures(metrics)]
    for first in range(0, len(figures), _METRICS_A_BATCH):
        client.log_batch(run_id, metrics=figures[first : first + _METRICS_A_BATCH])
    client.log_artifacts(run_id, str(report), "report")
    for name in ("code_version", "data_sha256", "config_sha256"):
        client.set_tag(run_id, name, str(metrics["run"].get(name)))
    client.set_tag(run_id, "blessed", str(metrics["gate"]["blessed"]))
    client.set_terminated(run_id, "FINISHED")
    return run_id


def _parameters(config: Config) -> dict[str, str]:
    """Every setting by its key, as text."""
    return {key: str(configuration.get(config, key)) for key in configuration.settings()}


def _figures(metrics: Mapping[str, Any]) -> Iterator[tuple[str, float, int]]:
    """Name, value and step: of the test split and of the training step 0, of the curves the epoch."""
    evaluation = metrics["evaluation"]
    groups = {"test": evaluation["model"], "training": metrics["training"]}
    for name, figures in evaluation["baselines"].items():
        groups[f"baselines.{name}"] = figures
    for group, figures in groups.items():
        for name, value in figures.items():
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                yield _name(f"{group}.{name}"), float(value), 0
    for line in metrics["training"]["history"]:
        for name, value in line.items():
            if name != "epoch" and value is not None:
                yield _name(f"epoch.{name}"), float(value), line["epoch"]


def _name(name: str) -> str:
    """MLflow allows no @: recall@20 is recall_at_20."""
    return _NOT_IN_NAMES.sub("_", name.replace("@", "_at_"))
