"""Compile the pipeline to the specification that Kubeflow Pipelines or Vertex AI Pipelines runs.

Example:
  nextclick compile --target kubeflow --output pipeline.yaml --set cluster.pipeline_root=gs://BUCKET/nextclick
"""

from __future__ import annotations

import argparse
from pathlib import Path

from nextclick.components import search_space
from nextclick.pipeline.commands import options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `nextclick compile`."""
    parser.add_argument("--target", choices=("kubeflow", "vertex"), required=True, help="where the pipeline will run")
    parser.add_argument("--output", metavar="FILE", required=True, help=".yaml for Kubeflow, .json for Vertex")
    parser.add_argument("--tuning", action="store_true", help="the pipeline of nextclick tune: as far as Tuner")
    options.add_config(parser, show=False)


def main(args: argparse.Namespace) -> int:
    """Writes the specification."""
    effective = options.load_config(args)
    if args.tuning:
        search_space.parse(effective)  # not on the cluster, an hour later
    from nextclick.kubeflow import runner  # imports TFX, ten seconds

    runner.compile_pipeline(effective, args.target, Path(args.output), tuning=args.tuning)
    print(f"wrote {args.output}; next: nextclick submit --target {args.target} {args.output}")
    return 0
