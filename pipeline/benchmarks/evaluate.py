"""Measure evaluation: predictions a second through Evaluator and the bare signature, and memory by catalogue size."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from nextclick.pipeline import config as configuration
from nextclick.pipeline import overrides, presets
from nextclick.pipeline.commands import options
from nextclick.pipeline.config import Config
from nextclick.pipeline.errors import ConfigError

PHASES = "nextclick.pipeline.benchmarks.evaluate_phases"
FEW_SESSIONS = 100  # what the Evaluator costs at any size is seen on so many
PEER = "NumPy on the same vectors and items: all scores, and how many reach the target's; no network, no lists, no TFMA"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `nextclick benchmark evaluate`."""
    parser.add_argument(
        "--items", metavar="N", type=int, nargs="+", default=[3_000, 40_000, 500_000], help="sizes (%(default)s)"
    )
    parser.add_argument(
        "--sessions",
        metavar="N",
        type=int,
        nargs="+",
        default=[20_000, 5_000, 1_000],
        help="test sessions, for each size or for all (%(default)s)",
    )
    parser.add_argument(
        "--preset", choices=tuple(presets.PRESETS), default="default", help="size of the network (%(default)s)"
    )
    options.add_set(parser)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Figures by catalogue size. Raises ConfigError where sizes and sessions do not fit each other."""
    sessions = args.sessions * len(args.items) if len(args.sessions) == 1 else args.sessions
    if len(sessions) != len(args.items):
        raise ConfigError(f"--sessions must be one number or {len(args.items)}, one for each of --items")
    if min(*args.items, *sessions) < 50:
        raise ConfigError("--items and --sessions must be at least 50")
    config = overrides.load(args.preset, args.assignments)
    sizes = {
        f"{items:,} items": _measure_size(config, items, number)
        for items, number in zip(args.items, sessions, strict=True)
    }
    described = {"preset": args.preset, "set": " ".join(args.assignments)}
    return {**described, "load_average_before": os.getloadavg()[0], **sizes, "peer": PEER}


def _measure_size(config: Config, items: int, sessions: int) -> dict[str, Any]:
    """Each phase in a process of its own, so that each has its own peak of memory."""
    with tempfile.TemporaryDirectory(prefix="nextclick-benchmark-") as scratch:
        described = _run("prepare", Path(scratch), config, items, sessions)
        found = {
            phase: _run(phase, Path(scratch), config, items, sessions)
            for phase in ("signature", "evaluator", "evaluator_few", "numpy")
        }
    few = found.pop("evaluator_few")
    for figures in found.values():
        figures["predictions_per_second"] = described["predictions"] / figures["seconds"]
        figures["predictions_per_cpu_second"] = described["predictions"] / figures["cpu_seconds"]
    found["evaluator"].update(_overhead(found["evaluator"], few, found["signature"]))
    return {**described, **found}


def _overhead(evaluator: dict[str, Any], few: dict[str, Any], signature: dict[str, Any]) -> dict[str, float]:
    """The Evaluator's seconds over the signature's: all of them, and those that grow with the number of sessions."""
    found = {}
    for kind in ("seconds", "cpu_seconds"):
        found[f"{kind}_of_{FEW_SESSIONS}_sessions"] = few[kind]
        found[f"times_the_{kind}_of_the_signature"] = evaluator[kind] / signature[kind]
        found[f"growing_{kind}_to_those_of_the_signature"] = (evaluator[kind] - few[kind]) / signature[kind]
    return found


def _run(phase: str, folder: Path, config: Config, items: int, sessions: int) -> dict[str, Any]:
    """Runs a phase; its progress goes where ours does."""
    command = [
        sys.executable,
        "-m",
        PHASES,
        phase,
        str(folder),
        configuration.to_json(config),
        str(items),
        str(sessions),
    ]
    output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    figures: dict[str, Any] = json.loads(output.splitlines()[-1])
    return figures
