"""Raw serialised tf.Examples → sessions of the catalogue's items, by the Transform graph itself.

So the baselines see the items, and make the predictions, that the model does.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tensorflow_transform.output_wrapper import TFTransformOutput

from nextclick.components import contract, features
from nextclick.components.ranking import UNKNOWN_PLACE, Places, Sessions

_BATCH = 1024  # sessions encoded at once


@dataclasses.dataclass(frozen=True)
class Batch:
    """Some sessions.

    Attributes:
        serialized: bytes [batch], the raw tf.Examples.
        sessions: their items; fewer than there are events where repeats are collapsed.
        start_times_ms: int64 [batch], time of the first event.
        event_types: bytes [events], of all events, session after session.
        event_offsets: int64 [batch + 1], where each session's events begin.
    """

    serialized: npt.NDArray[Any]
    sessions: Sessions
    start_times_ms: npt.NDArray[np.int64]
    event_types: npt.NDArray[Any]
    event_offsets: npt.NDArray[np.int64]


class SessionEncoder:
    """Reads and encodes files of raw examples.

    Attributes:
        first_index: index of the vocabulary's first item.
        item_ids: the vocabulary, in its order.
        items: number of items in the vocabulary.
    """

    def __init__(self, transform_graph_path: str, oov_buckets: int) -> None:
        output = TFTransformOutput(transform_graph_path)
        self._layer = output.transform_features_layer()
        self._spec = {
            contract.ITEM_IDS: output.raw_feature_spec()[contract.ITEM_IDS],
            contract.EVENT_TIMES_MS: tf.io.RaggedFeature(tf.int64),
            contract.EVENT_TYPES: tf.io.RaggedFeature(tf.string),
        }
        self.first_index = contract.FIRST_OOV_INDEX + oov_buckets
        self.item_ids: tuple[bytes, ...] = tuple(output.vocabulary_by_name(contract.VOCABULARY_NAME))
        self.items = len(self.item_ids)

    def batches(self, files: Sequence[str]) -> Iterator[Batch]:
        """The sessions of gzipped TFRecords, file after file in the order given."""
        records = tf.data.TFRecordDataset(list(files), compression_type="GZIP").batch(_BATCH)
        for serialized in records.as_numpy_iterator():
            yield self._batch(serialized)

    def indices(self, places: Places) -> npt.NDArray[np.int64]:
        """Item indices of places in the catalogue; unknown items share the first out-of-vocabulary index."""
        return np.where(places == UNKNOWN_PLACE, contract.FIRST_OOV_INDEX, places + self.first_index).astype(np.int64)

    def _batch(self, serialized: npt.NDArray[Any]) -> Batch:
        parsed = tf.io.parse_example(serialized, self._spec)
        encoded = self._layer({contract.ITEM_IDS: parsed[contract.ITEM_IDS]})
        indices = features.to_ragged(encoded[contract.ITEM_INDICES])  # [batch, (items)] int64
        places = indices.flat_values.numpy() - self.first_index
        times, types = parsed[contract.EVENT_TIMES_MS], parsed[contract.EVENT_TYPES]
        return Batch(
            serialized=serialized,
            sessions=Sessions(
                items=np.where(places < 0, UNKNOWN_PLACE, places).astype(np.int32),
                offsets=indices.row_splits.numpy(),
                times_ms=tf.reduce_max(times, axis=1).numpy(),
            ),
            start_times_ms=tf.reduce_min(times, axis=1).numpy(),
            event_types=types.flat_values.numpy(),
            event_offsets=types.row_splits.numpy(),
        )


def joined(batches: Sequence[Sessions]) -> Sessions:
    """The sessions of some batches as one."""
    lengths = [np.diff(batch.offsets) for batch in batches] or [np.empty(0, np.int64)]
    return Sessions(
        items=np.concatenate([batch.items for batch in batches] or [np.empty(0, np.int32)]),
        offsets=np.concatenate([[0], np.cumsum(np.concatenate(lengths))]),
        times_ms=np.concatenate([batch.times_ms for batch in batches] or [np.empty(0, np.int64)]),
    )
