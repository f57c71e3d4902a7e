"""What an evaluation must know besides the test sessions: the catalogue, the event types, how the data moved.

BaselineRanks writes it beside the test split, Evaluator's metrics read it.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from nextclick.components.metrics import Catalogue

# Names of the figures about the data.
UNKNOWN_INPUTS = "unknown_inputs"
UNKNOWN_TARGETS = "unknown_targets"
LENGTH_DRIFT = "drift/session_length"
POPULARITY_DRIFT = "drift/popularity"


@dataclasses.dataclass(frozen=True)
class Facts:
    """See the module's text.

    Attributes:
        catalogue: the items and their clicks in the training split.
        event_types: of the training split, the most frequent first.
        data: figures about the data by name:
            unknown_inputs, unknown_targets   share of the items before, and of those predicted, that are unknown
            drift/session_length              how far the test sessions' lengths are from the training sessions'
            drift/popularity                  the same of clicks on head, middle, tail and unknown items
    """

    catalogue: Catalogue
    event_types: tuple[str, ...]
    data: Mapping[str, float]


def divergence(one: npt.NDArray[np.int64], other: npt.NDArray[np.int64]) -> float:
    """Jensen-Shannon divergence of two counts over the same categories, from 0 (alike) to 1 (nothing in common)."""
    if not one.sum() or not other.sum():
        return 0.0
    first, second = one / one.sum(), other / other.sum()
    middle = (first + second) / 2
    return float(sum(_relative_entropy(share, middle) for share in (first, second)) / 2)


def _relative_entropy(share: npt.NDArray[np.float64], reference: npt.NDArray[np.float64]) -> float:
    """In bits; where a share is 0 it adds nothing."""
    there = share > 0
    return float((share[there] * np.log2(share[there] / reference[there])).sum())


def write(facts: Facts, path: str) -> None:
    """Stores facts."""
    content = io.BytesIO()
    np.savez(
        content,
        first_index=np.int64(facts.catalogue.first_index),
        clicks=facts.catalogue.clicks,
        event_types=np.array(facts.event_types, dtype=np.str_),
        data_names=np.array(list(facts.data), dtype=np.str_),
        data_values=np.array(list(facts.data.values()), dtype=np.float64),
    )
    with tf.io.gfile.GFile(path, "wb") as handle:
        handle.write(content.getvalue())


def read(path: str) -> Facts:
    """Inverse of `write`."""
    with tf.io.gfile.GFile(path, "rb") as handle:
        stored = np.load(io.BytesIO(handle.read()), allow_pickle=False)
    return Facts(
        catalogue=Catalogue(first_index=int(stored["first_index"]), clicks=stored["clicks"]),
        event_types=tuple(stored["event_types"].tolist()),
        data=dict(zip(stored["data_names"].tolist(), stored["data_values"].tolist(), strict=True)),
    )
