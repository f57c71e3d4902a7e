"""The report of a run: metrics.json for programs, index.html for people (INTERFACE: "What a run leaves").

Besides INTERFACE's keys of metrics.json, these are shown where they are there:
`training.history`, `data.events_dropped`, `data.warnings`, `evaluation.baseline_model` (the model served before),
`evaluation.intervals` {ranker: {metric: [low, high]}}, `evaluation.items`, `gate.overridden`, `gate.overrides` [text],
`config`, `examples`, `drift`; of a check `reason` (a sentence) and `interval` [low, high].
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nextclick.pipeline.errors import DataError
from nextclick.pipeline.page import history, render
from nextclick.pipeline.page.verdict import verdict

__all__ = ["METRICS", "PAGE", "newest", "verdict", "write_report"]

METRICS = "metrics.json"
PAGE = "index.html"


def write_report(folder: Path, metrics: Mapping[str, Any]) -> Path:
    """Writes both files into `folder` (reports/<run>) and returns the page's path.

    Runs that lie beside `folder` and started earlier become the page's history. Figures that are not finite are
    written as null: JSON knows no NaN.
    """
    folder.mkdir(parents=True, exist_ok=True)
    cleaned = _finite(metrics)
    _write(folder / METRICS, json.dumps(cleaned, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    before, unreadable = history.earlier(folder, cleaned)
    _write(folder / PAGE, render.html(cleaned, before, unreadable))
    return folder / PAGE


def newest(root: Path) -> tuple[Path, dict[str, Any]]:
    """Folder and metrics of the newest run under a root. Raises DataError where there is none or it is damaged."""
    path = root / "reports" / history.LATEST / METRICS
    if not path.is_file():
        raise DataError(f"no report under {root}: expected {path}; make one with `nextclick run --root {root}`")
    try:
        metrics = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path} is not valid JSON ({error}): run `nextclick run --root {root}` again") from error
    if not isinstance(metrics, dict):
        raise DataError(f"{path} must hold a JSON object, received {type(metrics).__name__}: run `nextclick run` again")
    return path.parent.resolve(), metrics


def _finite(value: Any) -> Any:
    """A copy that JSON can hold: tuples as lists, NaN and infinities as None."""
    if isinstance(value, Mapping):
        return {str(key): _finite(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _write(path: Path, text: str) -> None:
    """Whole or not at all: somebody may be reading."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_text(text, encoding="utf-8")
    aside.replace(path)
