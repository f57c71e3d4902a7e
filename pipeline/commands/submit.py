"""Submit a compiled pipeline to Kubeflow Pipelines or Vertex AI Pipelines, once or on a schedule.

Example:
  nextclick submit --target kubeflow pipeline.yaml --host https://kubeflow.example/pipeline --cron "0 3 * * *"
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from nextclick.pipeline.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `nextclick submit`."""
    parser.add_argument("package", metavar="PIPELINE", type=Path, help="file written by nextclick compile")
    parser.add_argument("--target", choices=("kubeflow", "vertex"), required=True, help="where it will run")
    parser.add_argument(
        "--cron", default="", help="schedule of five fields, UTC; without it the pipeline runs once, now"
    )
    parser.add_argument("--pipeline-root", default="", metavar="URI", help="folder of the artifacts")
    parser.add_argument(
        "--parameter", action="append", default=[], metavar="NAME=VALUE", help="runtime parameter; repeatable"
    )
    parser.add_argument("--host", default="", help="Kubeflow: address of the API")
    parser.add_argument("--experiment", default="nextclick", help="Kubeflow: experiment (%(default)s)")
    parser.add_argument("--project", default="", help="Vertex: Google Cloud project")
    parser.add_argument("--region", default="", help="Vertex: region")
    parser.add_argument("--service-account", default="", help="Vertex: account that the run acts as")
    parser.add_argument("--dry-run", action="store_true", help="print the request and send nothing")


def main(args: argparse.Namespace) -> int:
    """Sends the pipeline, or prints what would be sent."""
    from nextclick.kubeflow import submit

    submission = submit.Submission(
        target=args.target,
        package=args.package,
        pipeline_root=args.pipeline_root,
        parameters=_parameters(args.parameter),
        cron=args.cron,
        host=args.host,
        experiment=args.experiment,
        project=args.project,
        region=args.region,
        service_account=args.service_account,
    )
    if args.dry_run:
        print(json.dumps(submit.request(submission), indent=2, sort_keys=True))
    else:
        print(submit.submit(submission))
    return 0


def _parameters(assignments: list[str]) -> dict[str, str]:
    values = {}
    for assignment in assignments:
        name, separator, value = assignment.partition("=")
        if not separator:
            raise ConfigError(f"--parameter takes NAME=VALUE, received {assignment!r}")
        values[name] = value
    return values
