"""Measure ingest: clicks a second from a log to split tf.Examples and to transformed examples, and the floor."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from nextclick.pipeline import config as configuration
from nextclick.pipeline import overrides
from nextclick.pipeline.config import Config
from nextclick.pipeline.errors import ConfigError

FLOOR, PEER = "polars", "pandas"
PHASES = ("examples", "transform", FLOOR, PEER)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `nextclick benchmark ingest`."""
    parser.add_argument("--clicks", metavar="N", type=int, default=1_000_000, help="size of the log (%(default)s)")
    parser.add_argument(
        "--phases",
        choices=PHASES,
        nargs="+",
        default=list(PHASES),
        help="what to measure (all); transform needs examples",
    )
    parser.add_argument(
        "--set", metavar="section.key=value", action="append", default=[], dest="assignments", help="one setting"
    )


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Figures by phase. Raises ConfigError where the floor's package is missing."""
    if args.clicks < 100:
        raise ConfigError(f"--clicks must be at least 100, received {args.clicks}")
    if FLOOR in args.phases and importlib.util.find_spec(FLOOR) is None:
        raise ConfigError(f"the floor needs {FLOOR}: pip install {FLOOR}, or leave it out of --phases")
    if "transform" in args.phases and "examples" not in args.phases:
        raise ConfigError("the phase transform reads what examples writes: name both in --phases")
    config = overrides.load(None, args.assignments)
    from nextclick.pipeline.benchmarks import click_log  # imports NumPy and Arrow

    with tempfile.TemporaryDirectory(prefix="nextclick-benchmark-") as scratch:
        log = Path(scratch) / "clicks.csv"
        started = time.perf_counter()
        click_log.write(log, args.clicks, config.seed)
        described = {
            "clicks": args.clicks,
            "log_bytes": log.stat().st_size,
            "seconds_to_generate": time.perf_counter() - started,
            "load_average_before": os.getloadavg()[0],
        }
        config = overrides.with_paths(config, [str(log)])
        found = {phase: _run(phase, log, config, args.clicks) for phase in PHASES if phase in args.phases}
    for phase, figures in found.items():
        if FLOOR in found and phase != FLOOR:
            figures[f"times_as_long_as_{FLOOR}"] = figures["seconds"] / found[FLOOR]["seconds"]
            figures[f"times_the_cpu_of_{FLOOR}"] = figures["cpu_seconds"] / found[FLOOR]["cpu_seconds"]
    return {**described, **found}


def _run(phase: str, log: Path, config: Config, clicks: int) -> dict[str, Any]:
    """Runs a phase in a process of its own; its progress goes where ours does."""
    module = "nextclick.pipeline.benchmarks.ingest_phases"
    command = [sys.executable, "-m", module, phase, str(log), str(log.parent / "root"), configuration.to_json(config)]
    load = os.getloadavg()[0]
    output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    figures = json.loads(output.splitlines()[-1])
    speeds = {
        "clicks_per_second": clicks / figures["seconds"],
        "clicks_per_cpu_second": clicks / figures["cpu_seconds"],
    }
    return {**speeds, **figures, "load_average_before": load}
