"""Submits a compiled pipeline to Kubeflow Pipelines or Vertex AI Pipelines, once or on a schedule.

Requests are plain dictionaries built by pure functions, so that they can be printed (`--dry-run`) and tested without
a cluster; the clients are imported only when a request is sent.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nextclick.pipeline.errors import ConfigError, NextclickError


@dataclasses.dataclass(frozen=True)
class Submission:
    """What is to be run, where and how often.

    Attributes:
        target: "kubeflow" or "vertex".
        package: the compiled file.
        pipeline_root: folder of the artifacts; empty: the cluster's own.
        parameters: values of the runtime parameters.
        cron: schedule in UTC of five fields, or "TZ=ZONE " before it; empty: run once, now.
        host: Kubeflow's API address.
        experiment: Kubeflow experiment.
        project, region, service_account: Vertex only.
    """

    target: str
    package: Path
    pipeline_root: str = ""
    parameters: Mapping[str, str] = dataclasses.field(default_factory=dict)
    cron: str = ""
    host: str = ""
    experiment: str = "nextclick"
    project: str = ""
    region: str = ""
    service_account: str = ""

    def __post_init__(self) -> None:
        """Raises ConfigError with the first thing that is missing or wrong."""
        if not self.package.is_file():
            raise ConfigError(f"{self.package} does not exist; nextclick compile --target {self.target} writes it")
        required = {"kubeflow": ("host",), "vertex": ("project", "region", "pipeline_root")}[self.target]
        for name in required:
            if not getattr(self, name):
                raise ConfigError(f"--target {self.target} needs --{name.replace('_', '-')}")
        if self.cron and len(self.cron.split()[-5:]) != 5:
            raise ConfigError(f"--cron takes five fields such as '0 3 * * *', received {self.cron!r}")


def request(submission: Submission) -> dict[str, Any]:
    """The client calls that a submission makes: {"client": {...}, "call": name, "arguments": {...}, ...}."""
    return _kubeflow_request(submission) if submission.target == "kubeflow" else _vertex_request(submission)


def submit(submission: Submission) -> str:
    """Sends a submission; returns where the run or the schedule can be seen.

    Raises:
        NextclickError: the service refused it or could not be reached.
    """
    send = _send_to_kubeflow if submission.target == "kubeflow" else _send_to_vertex
    try:
        return send(request(submission))
    except NextclickError:
        raise
    except Exception as error:  # each client has a tree of its own; all mean the same to a user
        raise NextclickError(f"{submission.target} did not take {submission.package}: {error}") from error


def _kubeflow_request(submission: Submission) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "pipeline_root": submission.pipeline_root or None,
        "enable_caching": False,  # the backend's cache does not see changed input files
    }
    if not submission.cron:
        return {
            "client": {"host": submission.host},
            "call": "create_run_from_pipeline_package",
            "arguments": {
                **arguments,
                "pipeline_file": str(submission.package),
                "arguments": dict(submission.parameters),
                "experiment_name": submission.experiment,
            },
        }
    return {
        "client": {"host": submission.host},
        "call": "create_recurring_run",
        "arguments": {
            **arguments,
            "pipeline_package_path": str(submission.package),
            "params": dict(submission.parameters),
            "job_name": _display_name(submission.package),
            "cron_expression": _six_fields(submission.cron),
            "max_concurrency": 1,
            "no_catchup": True,
        },
        "experiment": submission.experiment,
    }


def _vertex_request(submission: Submission) -> dict[str, Any]:
    place = {"project": submission.project, "location": submission.region}
    job = {
        **place,
        "display_name": _display_name(submission.package),
        "template_path": str(submission.package),
        "pipeline_root": submission.pipeline_root,
        "parameter_values": dict(submission.parameters),
        "enable_caching": False,
    }
    account = submission.service_account or None
    if not submission.cron:
        return {"init": place, "client": job, "call": "submit", "arguments": {"service_account": account}}
    return {
        "init": place,  # a schedule takes neither project nor region over from its job
        "client": job,
        "call": "create_schedule",
        # A schedule does not take over the job's service account; without it Vertex uses the project's default one.
        "arguments": {
            "cron": submission.cron,
            "display_name": job["display_name"],
            "max_concurrent_run_count": 1,
            "allow_queueing": False,
            "service_account": account,
        },
    }


def _send_to_kubeflow(call: Mapping[str, Any]) -> str:
    from kfp import client as kfp_client

    client = kfp_client.Client(**call["client"])
    arguments = dict(call["arguments"])
    if call["call"] == "create_recurring_run":
        arguments["experiment_id"] = client.create_experiment(call["experiment"]).experiment_id
        recurring = client.create_recurring_run(**arguments)
        return f"recurring run {recurring.recurring_run_id}"
    result = client.create_run_from_pipeline_package(**arguments)
    return f"run {result.run_id}"


def _send_to_vertex(call: Mapping[str, Any]) -> str:
    from google.cloud import aiplatform

    aiplatform.init(**call["init"])
    job = aiplatform.PipelineJob(**call["client"])
    result = getattr(job, call["call"])(**call["arguments"])
    return str((result or job).resource_name)


def _display_name(package: Path) -> str:
    """The pipeline's name inside the package, else the file's."""
    if package.suffix == ".json":
        try:
            return str(json.loads(package.read_text(encoding="utf-8"))["displayName"])
        except (ValueError, KeyError, UnicodeDecodeError):
            raise ConfigError(
                f"{package} is not a compiled pipeline; nextclick compile --target vertex writes one"
            ) from None
    return package.stem


def _six_fields(cron: str) -> str:
    """Kubeflow's cron has a field for seconds in front; the time zone is the API server's, UTC."""
    fields = cron.split()
    if fields[0].startswith(("TZ=", "CRON_TZ=")):
        raise ConfigError("Kubeflow's schedule has no time zone of its own; give --cron in UTC")
    return " ".join(["0", *fields])
