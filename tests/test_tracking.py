"""MLflow: what a run writes there. Where MLflow is not installed, only the refusal and the figures are tested."""

import importlib.util
import json
from pathlib import Path

import pytest

from nextclick.pipeline import config as configuration
from nextclick.pipeline import tracking
from nextclick.pipeline.config import Config
from nextclick.pipeline.errors import ConfigError

ON = configuration.replace(Config(), {"tracking.mlflow": True})
METRICS = {
    "run": {"id": "20260101-000000", "code_version": "1.0", "data_sha256": "d", "config_sha256": "c"},
    "training": {
        "epochs": 2,
        "seconds": 1.5,
        "warm_start": None,
        "history": [
            {"epoch": 1, "loss": 3.0, "validation_mrr@20": 0.1},
            {"epoch": 2, "loss": 2.0, "validation_mrr@20": None},
        ],
    },
    "evaluation": {"model": {"recall@20": 0.5}, "baselines": {"popular": {"recall@20": 0.2, "mrr@20/known": None}}},
    "gate": {"blessed": True},
}
needs_mlflow = pytest.mark.skipif(importlib.util.find_spec("mlflow") is None, reason="MLflow is not installed")


def test_figures_have_names_that_mlflow_allows_and_curves_a_step_an_epoch():
    assert sorted(tracking._figures(METRICS)) == [
        ("baselines.popular.recall_at_20", 0.2, 0),
        ("epoch.loss", 2.0, 2),
        ("epoch.loss", 3.0, 1),
        ("epoch.validation_mrr_at_20", 0.1, 1),
        ("test.recall_at_20", 0.5, 0),
        ("training.epochs", 2.0, 0),
        ("training.seconds", 1.5, 0),
    ]


def test_a_run_is_not_tracked_unless_that_is_asked_for(tmp_path):
    tracking.check(Config())
    assert tracking.track(Config(), {}, tmp_path, tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_a_missing_mlflow_is_one_sentence(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="pip install mlflow-skinny"):
        tracking.check(ON)


@needs_mlflow
def test_settings_figures_curves_and_report_are_in_the_local_store(tmp_path):
    import mlflow

    report = tmp_path / "report"
    report.mkdir()
    (report / "metrics.json").write_text(json.dumps(METRICS), encoding="utf-8")
    ids = [tracking.track(ON, METRICS, report, tmp_path) for _ in range(2)]
    client = mlflow.MlflowClient(tracking_uri=(tmp_path / "mlflow").as_uri())
    assert len(set(ids)) == len(client.search_runs([client.get_experiment_by_name("nextclick").experiment_id])) == 2
    run = client.get_run(ids[0])
    assert run.data.params["model.dropout"] == "0.35"
    assert len(run.data.params) == len(configuration.settings())
    assert run.data.metrics["test.recall_at_20"] == 0.5
    assert [(point.step, point.value) for point in client.get_metric_history(ids[0], "epoch.loss")] == [
        (1, 3.0),
        (2, 2.0),
    ]
    assert [Path(file.path).name for file in client.list_artifacts(ids[0], "report")] == ["metrics.json"]
    assert (run.info.status, run.data.tags["blessed"]) == ("FINISHED", "True")


@needs_mlflow
def test_a_store_that_does_not_answer_does_not_undo_the_run(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    config = configuration.replace(ON, {"tracking.uri": "http://127.0.0.1:9"})
    assert tracking.track(config, METRICS, tmp_path, tmp_path) is None
    assert "the run is not in MLflow" in capsys.readouterr().err
