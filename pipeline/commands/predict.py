"""Ask a served model which items come next in a session.

The items are those that were viewed, oldest first. Prints one recommended item a line with its score, best first.

Exit codes: 0 done, 2 wrong usage or items, 1 no answer in time, or the server refused.

Example:
  nextclick predict 214536502 214536500 -k 5 --exclude 214536502
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

from nextclick.pipeline.commands import options
from nextclick.pipeline.config import ServingConfig

DEFAULT_ADDRESS = "127.0.0.1:8500"
DEFAULT_TIMEOUT_SECONDS = 5.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `nextclick predict`."""
    parser.add_argument("items", metavar="ITEM", nargs="+", help="items of the session, oldest first")
    parser.add_argument("--address", metavar="HOST:PORT", default=DEFAULT_ADDRESS, help="of the server (%(default)s)")
    parser.add_argument("--model", metavar="NAME", default=ServingConfig.model_name, help="served model (%(default)s)")
    parser.add_argument("--label", metavar="NAME", help="ask the version with this label, such as canary")
    parser.add_argument("-k", type=int, help="items to recommend (20, or all candidates)")
    parser.add_argument("--exclude", metavar="ITEM", action="append", default=[], help="never this item; repeatable")
    parser.add_argument("--allow", metavar="ITEM", action="append", help="none but this item; repeatable")
    parser.add_argument("--candidate", metavar="ITEM", action="append", help="rank this item, no other; repeatable")
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=float,
        default=DEFAULT_TIMEOUT_SECONDS,
        help="deadline, tries included (%(default)s)",
    )
    add_tls(parser)
    options.add_json(parser)


def add_tls(parser: argparse.ArgumentParser) -> None:
    """The options of a TLS connection."""
    parser.add_argument("--tls", action="store_true", help="connect by TLS")
    parser.add_argument("--tls-ca", metavar="FILE", default="", help="certificates to trust; without: the system's")
    parser.add_argument("--tls-certificate", metavar="FILE", default="", help="our own certificate (mutual TLS)")
    parser.add_argument("--tls-key", metavar="FILE", default="", help="the key of our certificate")


def tls_of(args: argparse.Namespace) -> Any:
    """The client's Tls that the options ask for, or None."""
    from nextclick.serving.client import Tls

    secure = args.tls or args.tls_ca or args.tls_certificate or args.tls_key
    return Tls(args.tls_ca, args.tls_certificate, args.tls_key) if secure else None


def main(args: argparse.Namespace) -> int:
    """Prints the answer. Raises ConfigError, DataError, ServingError."""
    from nextclick.serving.client import Client
    from nextclick.serving.messages import DEFAULT_TOP_K

    with Client(args.address, args.model, label=args.label, timeout_seconds=args.timeout, tls=tls_of(args)) as client:
        started = time.perf_counter()
        answer = client.predict(args.items, k=args.k, exclude=args.exclude, allow=args.allow, candidates=args.candidate)
        milliseconds = (time.perf_counter() - started) * 1000
    print(f"model {args.model}, version {answer.model_version}, {milliseconds:.1f} ms", file=sys.stderr)
    wanted = args.k or len(set(args.candidate or ())) or DEFAULT_TOP_K
    if len(answer.items) < wanted:
        print(f"only {len(answer.items)} of {wanted} items: the model answers no more than these", file=sys.stderr)
    for item, score in zip(answer.items, answer.scores, strict=True):
        print(f"{item}\t{score:.4f}")
    options.write_json(
        args.json,
        {
            "address": args.address,
            "model": args.model,
            "model_version": answer.model_version,
            "items": answer.items,
            "scores": answer.scores,
            "milliseconds": milliseconds,
        },
    )
    return 0
