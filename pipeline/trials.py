"""The files that `nextclick tune` leaves under a root, read by the report of later runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER, TRIALS, BEST = "tuning", "trials.json", "best.toml"


def newest(root: Path) -> dict[str, Any] | None:
    """What the newest tuning under a root found (`tuning.tune`); None where there was none."""
    path = root / FOLDER / TRIALS
    if not path.is_file():
        return None
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found
