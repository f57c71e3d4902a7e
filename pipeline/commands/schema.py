"""Infer a schema from a click log, as TFX's SchemaGen sees it, to compare with the curated schema/schema.pbtxt.

Example:
  nextclick schema --data clicks.csv.gz --output inferred.pbtxt
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from nextclick.pipeline.commands import options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `nextclick schema`."""
    options.add_config(parser, show=False)
    options.add_root(parser)
    parser.add_argument("--output", metavar="FILE", help="where to write it; standard output without")


def main(args: argparse.Namespace) -> int:
    """Runs ExampleGen, StatisticsGen and SchemaGen; prints the schema."""
    effective = options.load_config(args)
    from nextclick.pipeline import local  # imports TFX, ten seconds

    schema = local.infer_schema(effective, Path(args.root))
    if args.output:
        Path(args.output).write_text(schema, encoding="utf-8")
        print(f"wrote {args.output}")
    else:
        sys.stdout.write(schema)
    return 0
