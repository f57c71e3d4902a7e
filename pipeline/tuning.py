"""`nextclick tune` on this machine: runs the pipeline as far as the Tuner and keeps what it found under `tuning/`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nextclick.pipeline import config as configuration
from nextclick.pipeline import local, overrides
from nextclick.pipeline import trials as files
from nextclick.pipeline.config import Config

# What TFX's Tuner leaves in its artifact.
_RESULTS = "tuner_results.json"


def tune(effective: Config, folder: Path) -> dict[str, Any]:
    """Searches, and writes `tuning/trials.json` and `tuning/best.toml` under the root folder.

    Returns: `run`, `trials` (`score` and `values` by key, best first) and `best`, the path of the TOML file.

    Raises:
        ConfigError, DataError: wrong settings or input.
    """
    run_id, results = local.run_tuner(effective, folder)
    root = local.Root(folder.resolve())
    trials = [_trial(entry) for entry in json.loads((results / _RESULTS).read_text(encoding="utf-8"))]
    trials.sort(key=lambda trial: -trial["score"])
    target = root.path / files.FOLDER
    target.mkdir(exist_ok=True)
    found = {"run": run_id, "trials": trials, "best": str(target / files.BEST)}
    best = configuration.replace(effective, trials[0]["values"])
    (target / files.BEST).write_text(overrides.to_toml(best), encoding="utf-8")
    (target / files.TRIALS).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return found


def _trial(entry: dict[str, Any]) -> dict[str, Any]:
    """TFX writes number, score and values of a trial side by side; settings have a dot in their names."""
    return {"score": entry["score"], "values": {key: value for key, value in entry.items() if "." in key}}
