"""Without this, a schedule could run twice at once, under the wrong account, or answer from a stale cache."""

import json

import pytest

from nextclick.kubeflow import submit
from nextclick.pipeline import cli
from nextclick.pipeline.errors import ConfigError


@pytest.fixture
def package(tmp_path):
    file = tmp_path / "pipeline.json"
    file.write_text(json.dumps({"displayName": "clicks"}), encoding="utf-8")
    return file


def vertex(package, **changes):
    settings = {"project": "p", "region": "r", "pipeline_root": "gs://b/root", "service_account": "s@p", **changes}
    return submit.Submission(target="vertex", package=package, **settings)


def test_vertex_schedule_states_project_account_and_one_run_at_a_time(package):
    request = submit.request(vertex(package, cron="TZ=Europe/Berlin 0 3 * * *"))
    assert request["init"] == {"project": "p", "location": "r"}
    assert request["client"]["enable_caching"] is False
    assert request["client"]["pipeline_root"] == "gs://b/root"
    assert request["call"] == "create_schedule"
    assert request["arguments"] == {
        "cron": "TZ=Europe/Berlin 0 3 * * *",
        "display_name": "clicks",
        "max_concurrent_run_count": 1,
        "allow_queueing": False,
        "service_account": "s@p",
    }


def test_kubeflow_schedule_has_a_seconds_field_and_does_not_catch_up(package):
    submission = submit.Submission(target="kubeflow", package=package, host="h", cron="0 3 * * *")
    request = submit.request(submission)
    assert request["call"] == "create_recurring_run"
    assert request["arguments"]["cron_expression"] == "0 0 3 * * *"
    assert request["arguments"]["no_catchup"] is True
    assert request["arguments"]["max_concurrency"] == 1
    assert request["arguments"]["enable_caching"] is False


def test_requests_fit_the_clients_signatures(package):
    """The clients are not called here, but their parameters are the real ones."""
    import inspect

    from google.cloud import aiplatform
    from kfp import client

    for cron in ("", "0 3 * * *"):
        kubeflow = submit.request(submit.Submission(target="kubeflow", package=package, host="h", cron=cron))
        arguments = dict(kubeflow["arguments"], **({"experiment_id": "e"} if cron else {}))
        inspect.signature(getattr(client.Client, kubeflow["call"])).bind(None, **arguments)
        request = submit.request(vertex(package, cron=cron))
        inspect.signature(aiplatform.PipelineJob.__init__).bind(None, **request["client"])
        inspect.signature(getattr(aiplatform.PipelineJob, request["call"])).bind(None, **request["arguments"])


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"project": ""}, "--target vertex needs --project"),
        ({"pipeline_root": ""}, "--target vertex needs --pipeline-root"),
        ({"cron": "daily"}, "--cron takes five fields"),
    ],
)
def test_what_is_missing_is_said_before_anything_is_sent(package, changes, sentence):
    with pytest.raises(ConfigError, match=sentence):
        vertex(package, **changes)


def test_dry_run_prints_the_request(package, capsys):
    command = [
        "submit",
        "--target",
        "kubeflow",
        str(package),
        "--host",
        "h",
        "--parameter",
        "serving_base_path=gs://b/m",
    ]
    assert cli.main([*command, "--dry-run"]) == 0
    assert json.loads(capsys.readouterr().out)["arguments"]["arguments"] == {"serving_base_path": "gs://b/m"}


def test_missing_package_exits_2(capsys):
    assert cli.main(["submit", "--target", "kubeflow", "nowhere.yaml", "--host", "h"]) == 2
    assert "nowhere.yaml does not exist" in capsys.readouterr().err
