"""Options that several commands share: where the configuration comes from."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from nextclick.pipeline import overrides
from nextclick.pipeline.config import Config

DEFAULT_ROOT = "nextclick-root"


def add_root(parser: argparse.ArgumentParser) -> None:
    """`--root`."""
    parser.add_argument(
        "--root", metavar="DIR", default=DEFAULT_ROOT, help="folder of all that runs leave (%(default)s)"
    )


def add_config(parser: argparse.ArgumentParser, *, show: bool = True) -> None:
    """`--config`, `--set`, the options that are short for a setting and, where the command can, `--show-config`."""
    parser.add_argument("--config", metavar="FILE.toml|PRESET", help="quick, default, accurate, gpu, or a TOML file")
    add_set(parser)
    parser.add_argument(
        "--data", metavar="PATH", action="append", nargs="+", default=[], help="files, folders or globs"
    )
    parser.add_argument("--test-data", metavar="PATH", help="the test split is exactly this log")
    parser.add_argument("--format", metavar="NAME", help="reader of the log; auto looks at the header")
    parser.add_argument("--beam-runner", metavar="NAME", help="direct, flink, spark or dataflow")
    if show:
        parser.add_argument(
            "--show-config", action="store_true", help="print the effective configuration as TOML and stop"
        )


def add_set(parser: argparse.ArgumentParser) -> None:
    """`--set`."""
    parser.add_argument(
        "--set",
        metavar="section.key=value",
        action="append",
        default=[],
        dest="assignments",
        help="one setting; repeatable",
    )


def load_config(args: argparse.Namespace) -> Config:
    """The effective configuration of a command's options. Raises ConfigError."""
    paths = [path for group in args.data for path in group]
    short = {"data.test_path": args.test_data, "data.format": args.format, "beam.runner": args.beam_runner}
    assignments = [f"{key}={value}" for key, value in short.items() if value is not None]
    effective = overrides.load(args.config, [*args.assignments, *assignments])
    return overrides.with_paths(effective, paths) if paths else effective


def add_json(parser: argparse.ArgumentParser) -> None:
    """`--json`."""
    parser.add_argument("--json", metavar="FILE", help="write the result for machines")


def write_json(path: str | None, result: Any) -> None:
    """Writes a result where `--json` asked for it."""
    if path:
        Path(path).write_text(json.dumps(result, indent=2, sort_keys=True) + "\n", encoding="utf-8")
