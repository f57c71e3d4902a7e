"""What an evaluation must know besides the test sessions: the catalogue, the event types, how the data moved.

BaselineRanks writes it beside the test split, Evaluator's metrics read it.
"""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from nextclick.components.metrics import Catalogue


@dataclasses.dataclass(frozen=True)
class Facts:
    """See the module's text.

    Attributes:
        catalogue: the items and their clicks in the training split.
        event_types: of the training split, the most frequent first.
        item_ids: the catalogue's, in its order.
        predictions: of the test split.
        baseline_lists: metrics of the baselines' lists over these, by name: "popular/coverage@20".
        tables: {"feature", "bins", "train", "test"}: shares of the training and of the test data in some bins.
    """

    catalogue: Catalogue
    event_types: tuple[str, ...]
    data: Mapping[str, float]
    item_ids: tuple[str, ...] = ()
    tables: tuple[Mapping[str, Any], ...] = ()
    predictions: int = 0
    baseline_lists: Mapping[str, float] = dataclasses.field(default_factory=dict)


def write(facts: Facts, path: str) -> None:
    """Stores facts."""
    content = io.BytesIO()
    np.savez(
        content,
        first_index=np.int64(facts.catalogue.first_index),
        clicks=facts.catalogue.clicks,
        described=np.frombuffer(_description(facts).encode(), np.uint8),
    )
    with tf.io.gfile.GFile(path, "wb") as handle:
        handle.write(content.getvalue())


def read(path: str) -> Facts:
    """Inverse of `write`."""
    with tf.io.gfile.GFile(path, "rb") as handle:
        stored = np.load(io.BytesIO(handle.read()), allow_pickle=False)
    described = json.loads(stored["described"].tobytes())
    return Facts(
        catalogue=Catalogue(first_index=int(stored["first_index"]), clicks=stored["clicks"]),
        event_types=tuple(described["event_types"]),
        data=described["data"],
        item_ids=tuple(described["item_ids"]),
        tables=tuple(described["tables"]),
        predictions=described["predictions"],
        baseline_lists=described["baseline_lists"],
    )


def _description(facts: Facts) -> str:
    names = ("event_types", "data", "item_ids", "tables", "predictions", "baseline_lists")
    return json.dumps({name: getattr(facts, name) for name in names})
