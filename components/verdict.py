"""What the gate found besides TFMA's metrics, kept beside them for the report.

evaluation/verdict.json   scores_finite   whether the evaluation could be computed at all
                          figures         of the serving signatures by name (serving_checks.py)
                          examples        test sessions with what was recommended and what was clicked
                          drift           tables behind the drift figures (data_drift.tables)
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from nextclick.components.ranks import NOT_FINITE

FILE = "verdict.json"


@dataclasses.dataclass(frozen=True)
class Verdict:
    """See the module's text."""

    scores_finite: bool = True
    figures: Mapping[str, float] = dataclasses.field(default_factory=dict)
    examples: tuple[Mapping[str, Any], ...] = ()
    drift: tuple[Mapping[str, Any], ...] = ()


def is_not_finite(error: BaseException) -> bool:
    """Whether an evaluation failed because the model's scores are NaN or infinite.

    Beam and TFMA wrap errors; a remote worker's arrives as text.
    """
    found: BaseException | None = error
    while found is not None:
        if NOT_FINITE in str(found):
            return True
        found = found.__cause__ or found.__context__
    return False


def exceeded(figures: Mapping[str, float], limits: Mapping[str, float]) -> list[str]:
    """Names of the figures that are above their limit, or were not measured."""
    return [name for name, limit in limits.items() if not figures.get(name, float("inf")) <= limit]


def write(verdict: Verdict, evaluation_uri: str) -> None:
    """Stores a verdict in the folder of an evaluation."""
    tf.io.gfile.makedirs(evaluation_uri)
    with tf.io.gfile.GFile(f"{evaluation_uri}/{FILE}", "w") as handle:
        handle.write(json.dumps(dataclasses.asdict(verdict)))


def read(evaluation_uri: str) -> Verdict:
    """Inverse of `write`; an evaluation without a verdict had nothing to say."""
    path = f"{evaluation_uri}/{FILE}"
    if not tf.io.gfile.exists(path):
        return Verdict()
    with tf.io.gfile.GFile(path, "r") as handle:
        stored = json.loads(handle.read())
    return Verdict(stored["scores_finite"], stored["figures"], tuple(stored["examples"]), tuple(stored["drift"]))
