"""From what a run left behind to the dictionary of metrics.json (INTERFACE: "metrics.json")."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nextclick.pipeline import config, evaluation_results
from nextclick.pipeline.config import Config
from nextclick.pipeline.lineage import NodeRun

Nodes = Mapping[str, NodeRun]


def collect(effective: Config, nodes: Nodes, run: Mapping[str, Any]) -> dict[str, Any]:
    """All sections of metrics.json.

    Args:
        effective: the configuration of the run.
        nodes: the run's nodes as ML Metadata recorded them, all complete.
        run: id, started (ISO 8601), seconds, data_sha256 and code_version of the run.
    """
    evaluator = nodes["GateEvaluator"]
    evaluation = evaluation_results.read(evaluator.outputs["evaluation"].uri, evaluator.outputs["blessing"], effective)
    return {
        "run": {
            **run,
            "seed": effective.seed,
            "config_sha256": config.sha256(effective),
            "seconds_by_component": {name: round(node.seconds, 3) for name, node in nodes.items()},
            "cached_components": sorted(name for name, node in nodes.items() if node.cached),
        },
        "data": _data(nodes),
        "training": _read_json(nodes["Trainer"].outputs["model_run"].uri, "training.json"),
        **evaluation,
        "pushed": _pushed(nodes),
        "config": json.loads(config.to_json(effective)),
    }


def dead_letter_folder(nodes: Nodes) -> Path:
    """Where ExampleGen left the rejected rows of this run."""
    return Path(nodes["SessionExampleGen"].outputs["examples"].uri) / "dead_letter"


def _data(nodes: Nodes) -> dict[str, Any]:
    counts = _read_json(nodes["SessionExampleGen"].outputs["examples"].uri, "counts.json")
    ranges = counts.pop("time_range_ms")
    return {**counts, "time_range": {split: [_iso(ms) for ms in bounds] for split, bounds in ranges.items()}}


def _pushed(nodes: Nodes) -> dict[str, Any] | None:
    properties = nodes["AtomicPusher"].outputs["pushed_model"].properties
    if properties.get("pushed"):
        return {
            "version": properties["pushed_version"],
            "path": properties["pushed_destination"],
            "already_served": False,
        }
    if properties.get("already_served_version"):
        return {
            "version": properties["already_served_version"],
            "path": properties["pushed_destination"],
            "already_served": True,
        }
    return None


def _read_json(folder: str, name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((Path(folder) / name).read_text(encoding="utf-8"))
    return content


def _iso(milliseconds: int) -> str:
    moment = datetime.datetime.fromtimestamp(milliseconds / 1000, tz=datetime.timezone.utc)
    return moment.isoformat(timespec="milliseconds")
