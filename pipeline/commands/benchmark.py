"""Measure: ingest, train, experiments, evaluate or serve; prints machine, data, command, figures and a peer's figures.

Example:
  nextclick benchmark ingest --clicks 1000000
"""

from __future__ import annotations

import argparse
import importlib
import shlex
import signal
import sys
from types import ModuleType
from typing import Any

from nextclick.pipeline.commands import options

# A part is a module of pipeline/benchmarks/ with `add_arguments(parser)` and `measure(args) -> dict`.
PARTS: tuple[str, ...] = ("ingest", "train", "experiments", "evaluate", "serve")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One subcommand a part."""
    parts = parser.add_subparsers(title="parts", metavar="PART", required=True, help="what to measure")
    for name in PARTS:
        module = _part(name)
        summary = (module.__doc__ or "").partition("\n")[0]
        sub = parts.add_parser(name, help=summary, description=summary)
        module.add_arguments(sub)
        options.add_json(sub)
        sub.set_defaults(part=name)


def main(args: argparse.Namespace) -> int:
    """Measures one part and prints it as a table."""
    from nextclick.pipeline import timing

    # As Ctrl-C: what measures in a process of its own is ended, too, and the temporary files go.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    result = {
        "command": shlex.join(["nextclick", *sys.argv[1:]]),
        "machine": timing.machine(),
        **_part(args.part).measure(args),
    }
    options.write_json(args.json, result)
    for line in _lines(result):
        print(line)
    return 0


def _part(name: str) -> ModuleType:
    return importlib.import_module(f"nextclick.pipeline.benchmarks.{name}")


def _lines(result: dict[str, Any], indent: str = "") -> list[str]:
    """A dictionary as indented lines, figures with thousands separators; of a list of dictionaries a line each."""
    lines = []
    for name, value in result.items():
        if isinstance(value, dict):
            lines += [f"{indent}{name}", *_lines(value, indent + "  ")]
        elif isinstance(value, list):
            for number, entry in enumerate(value, 1):
                lines.append(f"{indent}{name} {number}: " + ", ".join(f"{k} {_text(v)}" for k, v in entry.items()))
        else:
            lines.append(f"{indent}{name:<32} {_text(value)}")
    return lines


def _text(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
