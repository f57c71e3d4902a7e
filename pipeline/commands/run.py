"""Run the whole pipeline: read clicks, train, evaluate, and push the model if the gate blesses it.

With --if-changed, for a schedule, nothing runs unless there is a reason: no served model, a new span, changed files
(retrain.new_data), drift (retrain.max_drift) or the served model's age (retrain.max_age_days).

Exit codes: 0 a model was pushed (or the served one is this very model, or --if-changed found nothing to do), 2 wrong
usage, configuration or input, 3 the gate refused the model, 1 anything else.

Examples:
  nextclick run --data clicks.csv.gz --root runs --set training.epochs=10
  nextclick run --data 'clicks/day-{SPAN}.csv.gz' --root runs --if-changed
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
    parser.add_argument("--if-changed", action="store_true", help="run only where there is a reason to train again")


def main(args: argparse.Namespace) -> int:
    """Runs the pipeline; prints the outcome to stdout."""
    effective = options.load_config(args)
    if args.show_config:
        sys.stdout.write(overrides.to_toml(effective))
        return 0
    from nextclick.components import trainer
    from nextclick.pipeline import local, occasion  # imports TFX, ten seconds

    # Before any component computes: TensorFlow's threads cannot be changed once they run.
    trainer.set_threads(effective.training.threads)
    reason = "asked for"
    if args.if_changed:
        found = occasion.look(effective, Path(args.root))
        if not found.reasons:
            print(f"Nothing to do: {'; '.join(found.remarks)}.")
            options.write_json(args.json, {"trained": False, "remarks": list(found.remarks)})
            return 0
        reason = "; ".join(found.reasons)
        print(f"Training: {reason}.")
    metrics = local.run(effective, Path(args.root), reason)
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
