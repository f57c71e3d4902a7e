"""Say where the newest run's report is, and its verdict.

Exit codes: 0 done (whatever the verdict), 2 there is no report under the root, 1 anything else.

Example:
  nextclick report --root runs
"""

from __future__ import annotations

import argparse
from pathlib import Path

from nextclick.pipeline.commands import options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `nextclick report`."""
    options.add_root(parser)
    options.add_json(parser)


def main(args: argparse.Namespace) -> int:
    """Prints the report's path and verdict; writes the page again where it is missing. Raises DataError."""
    from nextclick.pipeline import report

    folder, metrics = report.newest(Path(args.root))
    page = folder / report.PAGE
    if not page.is_file():
        report.write_report(folder, metrics)
    sentence = report.verdict(metrics)
    print(sentence)
    print(f"report: {page}")
    options.write_json(args.json, {"report": str(page), "metrics": str(folder / report.METRICS), "verdict": sentence})
    return 0
