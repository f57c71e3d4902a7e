"""`nextclick tune`: keeps what a Tuner found, of a pipeline that is run here or of one that ran on a cluster."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems

from nextclick.pipeline import config as configuration
from nextclick.pipeline import local, overrides
from nextclick.pipeline import trials as files
from nextclick.pipeline.config import Config
from nextclick.pipeline.errors import DataError

# What TFX's Tuner leaves in its artifact.
_RESULTS = "tuner_results.json"


def tune(effective: Config, folder: Path) -> dict[str, Any]:
    """Searches, and writes `tuning/trials.json` and `tuning/best.toml` under the root folder.

    Returns: `run`, `trials` (`score` and `values` by key, best first) and `best`, the path of the TOML file.

    Raises:
        ConfigError, DataError: wrong settings or input.
    """
    run_id, results = local.run_tuner(effective, folder)
    return keep(effective, folder, run_id, str(results / _RESULTS))


def keep(effective: Config, folder: Path, run_id: str, results: str) -> dict[str, Any]:
    """Writes the files of `tune` from the tuner_results.json of a Tuner; `run_id` says where that ran.

    Raises:
        DataError: it cannot be read, holds no trial, or one with a setting that this version does not know.
        ConfigError: a value of the best trial that this version does not take.
    """
    trials = [_trial(entry) for entry in _read(results)]
    trials.sort(key=lambda trial: -trial["score"])
    target = folder.resolve() / files.FOLDER
    target.mkdir(parents=True, exist_ok=True)
    found = {"run": run_id, "trials": trials, "best": str(target / files.BEST)}
    best = configuration.replace(effective, trials[0]["values"])
    (target / files.BEST).write_text(overrides.to_toml(best), encoding="utf-8")
    (target / files.TRIALS).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return found


def _read(results: str) -> list[dict[str, Any]]:
    try:
        with FileSystems.open(results) as file:
            found = json.loads(file.read())
    except (OSError, BeamIOError, ValueError, ImportError) as error:
        raise DataError(f"{results} cannot be read as the results of a Tuner: {error}") from error
    if not isinstance(found, list) or not all(isinstance(entry, dict) and "score" in entry for entry in found):
        raise DataError(f"{results} is not the tuner_results.json of a Tuner")
    if not found:
        raise DataError(f"{results} holds no trial that ended")
    unknown = {key for entry in found for key in _trial(entry)["values"]} - set(configuration.settings())
    if unknown:
        raise DataError(f"{results} has settings that this version does not know: {', '.join(sorted(unknown))}")
    return found


def _trial(entry: dict[str, Any]) -> dict[str, Any]:
    """TFX writes number, score and values of a trial side by side; settings have a dot in their names."""
    return {"score": entry["score"], "values": {key: value for key, value in entry.items() if "." in key}}
