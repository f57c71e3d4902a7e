"""Run the whole pipeline on the bundled sample, serve the model that it pushes, and ask it over gRPC.

Example:
  nextclick demo --root nextclick-root
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from nextclick.pipeline.commands import options, run

# The first clicks of a session of the bundled sample.
SESSION = ("desk-20", "desk-22", "desk-31", "desk-36")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `nextclick demo`."""
    options.add_root(parser)
    options.add_json(parser)


def main(args: argparse.Namespace) -> int:
    """Runs the `quick` preset, then predicts for a session of the sample."""
    from nextclick.pipeline import local, overrides  # imports TFX, ten seconds

    root = Path(args.root)
    metrics = local.run(overrides.load("quick"), root)
    code = run.tell(metrics, root)
    if code == 0:
        metrics = {**metrics, "prediction": _predict(metrics, root)}
    options.write_json(args.json, metrics)
    return code


def _predict(metrics: dict[str, Any], root: Path) -> dict[str, Any]:
    """Starts a server on the pushed model, asks it over gRPC what comes next in a session, stops it."""
    from nextclick.serving import server
    from nextclick.serving.client import Client

    with server.running("--root", str(root)) as facts:
        print(f"serve:  {facts['server']} server at {facts['grpc']}")
        with Client(facts["grpc"], metrics["config"]["serving"]["model_name"]) as client:
            answer = client.predict(SESSION, k=5)
    print(f"asked over gRPC, version {answer.model_version}: what comes after {', '.join(SESSION)}?")
    for item, score in zip(answer.items, answer.scores, strict=True):
        print(f"  {item:<16} {score:.3f}")
    return {"session": list(SESSION), "items": list(answer.items), "scores": list(answer.scores)}
