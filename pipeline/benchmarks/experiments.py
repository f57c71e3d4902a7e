"""Measure what options of the recommender do to Recall@20 and MRR@20 on a test split, over several seeds."""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nextclick.pipeline import config as configuration
from nextclick.pipeline.benchmarks import train
from nextclick.pipeline.benchmarks.experiment_rows import BASE, ROWS, Row
from nextclick.pipeline.commands import options
from nextclick.pipeline.config import Config
from nextclick.pipeline.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `nextclick benchmark experiments`."""
    options.add_config(parser, show=False)
    parser.add_argument("--seeds", metavar="N", type=int, nargs="+", default=[42, 43, 44], help="seeds (42 43 44)")
    parser.add_argument("--rows", metavar="TEXT", nargs="+", default=[], help="only questions with one of these texts")


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Mean and standard deviation of each row over the seeds; a line to standard error as each is done.

    Raises: ConfigError, DataError.
    """
    rows = _chosen(args.rows)
    base = options.load_config(args)
    with tempfile.TemporaryDirectory(prefix="nextclick-benchmark-") as scratch:
        lines = []
        for row in rows:
            lines.append(
                _line(row, configuration.replace(base, {**BASE.settings, **row.settings}), args.seeds, scratch)
            )
            print(", ".join(f"{name} {value}" for name, value in lines[-1].items()), file=sys.stderr, flush=True)
    return {"seeds": " ".join(map(str, args.seeds)), "row": lines}


def _chosen(texts: Sequence[str]) -> list[Row]:
    unknown = [text for text in texts if not any(text in row.question for row in ROWS)]
    if unknown:
        raise ConfigError(f"no question holds {unknown[0]!r}; there are: {', '.join(row.question for row in ROWS)}")
    return [row for row in ROWS if not texts or any(text in row.question for text in texts)]


def _line(row: Row, config: Config, seeds: Sequence[int], scratch: str) -> dict[str, Any]:
    from nextclick.pipeline.benchmarks import train_data  # imports TensorFlow

    data, _ = train_data.transform(config, Path(scratch))
    found = [train.ours("recipe", data, configuration.replace(config, {"seed": seed})) for seed in seeds]
    return {
        "question": row.question,
        "settings": " ".join(f"{key}={value}" for key, value in row.settings.items()),
        **{name: mean_and_spread(found, name) for name in ("recall@20", "mrr@20", "validation_mrr@20")},
        **{name: round(statistics.mean(one[name] for one in found), 1) for name in ("epochs", "cpu_seconds")},
    }


def mean_and_spread(found: Sequence[Mapping[str, Any]], name: str) -> str:
    """A figure of several runs as text: mean ± standard deviation."""
    values = [one[name] for one in found]
    spread = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.4f}{spread}"
