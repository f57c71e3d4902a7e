"""Run the whole pipeline: read clicks, train, evaluate, and push the model if the gate blesses it.

Exit codes: 0 a model was pushed (or the served one is this very model), 2 wrong usage, configuration or input,
3 the gate refused the model, 1 anything else.

Example:
  nextclick run --data clicks.csv.gz --root runs --set training.epochs=10
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from nextclick.pipeline import overrides
from nextclick.pipeline.commands import options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `nextclick run`."""
    options.add_config(parser)
    options.add_root(parser)
    options.add_json(parser)


def main(args: argparse.Namespace) -> int:
    """Runs the pipeline; prints the outcome to stdout."""
    effective = options.load_config(args)
    if args.show_config:
        sys.stdout.write(overrides.to_toml(effective))
        return 0
    from nextclick.pipeline import local  # imports TFX, ten seconds

    metrics = local.run(effective, Path(args.root))
    options.write_json(args.json, metrics)
    return tell(metrics, Path(args.root))


def tell(metrics: dict[str, Any], root: Path) -> int:
    """Prints what came of a run; returns the exit code."""
    from nextclick.pipeline import report

    print(report.verdict(metrics))
    print(f"report: {root / 'reports' / 'latest' / 'index.html'}")
    pushed = metrics["pushed"]
    if pushed is None:
        return 3
    print(f"model:  {pushed['path']}" + (" (served already)" if pushed["already_served"] else ""))
    print(f"next:   nextclick serve --root {root}")
    return 0
