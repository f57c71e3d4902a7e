"""Write the next items of every session of a file, with the pushed model.

Reads what `nextclick run` reads and writes one file a shard, predictions/part-*, with session_id, item_ids and scores,
best first. Started again after an interruption, the same command goes on where it was.

Exit codes: 0 done, 2 wrong usage, settings or input, 1 anything else.

Example:
  nextclick batch-predict --data tonight.csv --output tonight -k 10
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from nextclick.pipeline.commands import options
from nextclick.pipeline.errors import ConfigError

DEFAULT_K = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `nextclick batch-predict`."""
    options.add_config(parser, show=False)
    options.add_root(parser)
    parser.add_argument("--model", metavar="DIR", help="this model, not the one pushed under --root")
    parser.add_argument("--output", metavar="DIR", required=True, help="folder of the results")
    parser.add_argument("-k", type=int, default=DEFAULT_K, help="items a session at most (%(default)s)")
    parser.add_argument("--output-format", choices=("parquet", "jsonl"), default="parquet", help="(%(default)s)")
    parser.add_argument("--shards", type=int, default=0, help="files to write; 0: by the size of the input")
    options.add_json(parser)


def main(args: argparse.Namespace) -> int:
    """Predicts. Raises ConfigError, DataError."""
    effective = options.load_config(args)
    if args.k < 1 or args.shards < 0:
        raise ConfigError(f"-k must be 1 or more and --shards 0 or more, received {args.k} and {args.shards}")
    from nextclick.pipeline import batch_predict  # imports Beam and TensorFlow

    for library in ("tensorflow", "apache_beam"):
        logging.getLogger(library).setLevel(logging.ERROR)
    folder = Path(args.model) if args.model else Path(args.root) / "serving" / effective.serving.model_name
    model = batch_predict.find_model(folder)
    job = batch_predict.Job(model, Path(args.output).resolve(), args.k, args.output_format, args.shards)
    result = batch_predict.run(effective, job)
    rejected = sum(result["rows_rejected"].values())
    print(
        f"{result['sessions']} sessions, {result['rows_read']} rows ({rejected} rejected), {result['shards']} shards "
        f"({result['shards_found_done']} were done) in {result['seconds']} s: {result['output']}",
        file=sys.stderr,
    )
    options.write_json(args.json, result)
    return 0
