"""Search the settings that give the best validation MRR@20, and write them as a TOML file for `run --config`.

What is searched, how and how often stands in the section `tuning` of the configuration; the test split is not read.

Example:
  nextclick tune --data clicks.csv.gz --root runs --trials 20
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from nextclick.components import search_space
from nextclick.pipeline import config as configuration
from nextclick.pipeline import overrides
from nextclick.pipeline.commands import options
from nextclick.pipeline.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `nextclick tune`."""
    options.add_config(parser)
    options.add_root(parser)
    options.add_json(parser)
    parser.add_argument("--trials", metavar="N", type=int, help="trainings (tuning.trials)")
    parser.add_argument(
        "--results",
        metavar="FILE",
        help="search nothing: keep the tuner_results.json of a tuning that ran on a cluster",
    )


def main(args: argparse.Namespace) -> int:
    """Runs the search; prints the trials, best first, and where the best settings are."""
    effective = options.load_config(args)
    if args.trials is not None:
        effective = configuration.replace(effective, {"tuning.trials": args.trials})
    if args.show_config:
        sys.stdout.write(overrides.to_toml(effective))
        return 0
    search_space.parse(effective)  # a wrong space ends here, before any data are read
    if effective.tuning.parallel_trials > 1 and not args.results:
        raise ConfigError(
            f"tuning.parallel_trials={effective.tuning.parallel_trials} is for Vertex (nextclick compile --tuning "
            "--target vertex): here one trial runs at a time, set it to 1"
        )
    from nextclick.components import trainer
    from nextclick.pipeline import tuning  # imports TFX, ten seconds

    trainer.set_threads(effective.training.threads)  # before any component starts TensorFlow
    if args.results:
        found = tuning.keep(effective, Path(args.root), args.results, args.results)
    else:
        found = tuning.tune(effective, Path(args.root))
    options.write_json(args.json, found)
    for place, trial in enumerate(found["trials"], 1):
        settings = ", ".join(f"{key}={value}" for key, value in trial["values"].items())
        print(f"{place:>3}. MRR@20 {trial['score']:.4f}  {settings}")
    print(f"best:  {found['best']}")
    print(f"next:  nextclick run --config {found['best']} --root {args.root}")
    return 0
