"""The test split with the baselines' ranks beside the raw features, so that Evaluator scores all on one set of rows.

    reads   raw tf.Examples of the training split(s), to fit the baselines, and of the test split; the Transform graph
    writes  the test split's records, each with `target_indices` and `ranks_<baseline>`, int64 [n - 1] (contract.py),
            and the catalogue: the items' training clicks in the order of the vocabulary, the first item's index

Sessions are encoded by the Transform graph itself, so that a baseline sees the items, and makes the predictions, that
the model does.
"""

from __future__ import annotations

import io
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tensorflow_transform.output_wrapper import TFTransformOutput

from nextclick.components import baselines, contract, features
from nextclick.components.metrics import Catalogue
from nextclick.components.ranking import UNKNOWN_PLACE, Places, Ranker, Sessions
from nextclick.pipeline.config import Config

CATALOGUE_FILE = "catalogue.npz"
_BATCH = 1024  # sessions encoded at once


class Encoder:
    """Raw serialised tf.Examples → places in the catalogue, by the Transform graph.

    Attributes:
        first_index: index of the vocabulary's first item.
        items: number of items in the vocabulary.
    """

    def __init__(self, transform_graph_path: str, oov_buckets: int) -> None:
        output = TFTransformOutput(transform_graph_path)
        self._layer = output.transform_features_layer()
        self._spec = {
            contract.ITEM_IDS: output.raw_feature_spec()[contract.ITEM_IDS],
            contract.EVENT_TIMES_MS: tf.io.RaggedFeature(tf.int64),
        }
        self.first_index = contract.FIRST_OOV_INDEX + oov_buckets
        self.items = int(output.vocabulary_size_by_name(contract.VOCABULARY_NAME))

    def batches(self, files: Sequence[str]) -> Iterator[tuple[npt.NDArray[Any], Sessions]]:
        """Serialised examples [batch] and their sessions, file after file in the order given."""
        records = tf.data.TFRecordDataset(list(files), compression_type="GZIP").batch(_BATCH)
        for serialized in records.as_numpy_iterator():
            yield serialized, self._sessions(serialized)

    def read(self, files: Sequence[str]) -> Sessions:
        """All sessions of some files."""
        parts = [sessions for _, sessions in self.batches(files)]
        lengths = [np.diff(part.offsets) for part in parts]
        return Sessions(
            items=np.concatenate([part.items for part in parts] or [np.empty(0, np.int32)]),
            offsets=np.concatenate([[0], np.cumsum(np.concatenate(lengths or [np.empty(0, np.int64)]))]),
            times_ms=np.concatenate([part.times_ms for part in parts] or [np.empty(0, np.int64)]),
        )

    def indices(self, places: Places) -> npt.NDArray[np.int64]:
        """Item indices of places in the catalogue; unknown items share the first out-of-vocabulary index."""
        return np.where(places == UNKNOWN_PLACE, contract.FIRST_OOV_INDEX, places + self.first_index).astype(np.int64)

    def _sessions(self, serialized: npt.NDArray[Any]) -> Sessions:
        parsed = tf.io.parse_example(serialized, self._spec)
        encoded = self._layer({contract.ITEM_IDS: parsed[contract.ITEM_IDS]})
        indices = features.to_ragged(encoded[contract.ITEM_INDICES])  # [batch, (items)] int64
        places = indices.flat_values.numpy() - self.first_index
        return Sessions(
            items=np.where(places < 0, UNKNOWN_PLACE, places).astype(np.int32),
            offsets=indices.row_splits.numpy(),
            times_ms=tf.reduce_max(parsed[contract.EVENT_TIMES_MS], axis=1).numpy(),
        )


def write(
    training_files: Sequence[str],
    test_files: Sequence[str],
    transform_graph_path: str,
    config: Config,
    *,
    split_folder: str,
    catalogue_path: str,
) -> None:
    """Fits every baseline and writes the test split with their ranks (see the module's text).

    Args:
        training_files: gzipped TFRecords of the split(s) that the baselines learn from.
        test_files: those of the test split; each becomes a file of the same name.
        transform_graph_path: of the Transform component.
        config: its `features` section says how sessions are encoded and how far a prediction looks back.
        split_folder: where the test split is written.
        catalogue_path: where the catalogue is written.
    """
    encoder = Encoder(transform_graph_path, config.features.oov_buckets)
    training = encoder.read(training_files)
    clicks = training.clicks(encoder.items)
    rankers = {name: Ranker(fit(training, encoder.items), clicks) for name, fit in baselines.REGISTRY.items()}
    tf.io.gfile.makedirs(split_folder)
    for path in test_files:
        _write_file(path, posixpath.join(split_folder, posixpath.basename(path)), encoder, rankers, config)
    write_catalogue(Catalogue(encoder.first_index, clicks), catalogue_path)


def _write_file(source: str, target: str, encoder: Encoder, rankers: Mapping[str, Ranker], config: Config) -> None:
    with tf.io.TFRecordWriter(target, tf.io.TFRecordOptions(compression_type="GZIP")) as writer:
        for serialized, sessions in encoder.batches([source]):
            for record, session in zip(serialized, sessions, strict=True):
                columns = {
                    contract.baseline_ranks_feature(name): ranker.session_ranks(session, config.features.lookback)
                    for name, ranker in rankers.items()
                }
                columns[contract.TARGET_INDICES] = encoder.indices(session[1:])
                writer.write(_with_columns(record, columns))


def _with_columns(record: bytes, columns: Mapping[str, npt.NDArray[np.int64]]) -> bytes:
    example = tf.train.Example.FromString(record)
    for name, values in columns.items():
        example.features.feature[name].int64_list.value.extend(values.tolist())
    return bytes(example.SerializeToString())


def write_catalogue(catalogue: Catalogue, path: str) -> None:
    """Stores a catalogue."""
    content = io.BytesIO()
    np.savez(content, first_index=np.int64(catalogue.first_index), clicks=catalogue.clicks)
    with tf.io.gfile.GFile(path, "wb") as handle:
        handle.write(content.getvalue())


def read_catalogue(path: str) -> Catalogue:
    """Inverse of `write_catalogue`."""
    with tf.io.gfile.GFile(path, "rb") as handle:
        stored = np.load(io.BytesIO(handle.read()), allow_pickle=False)
        return Catalogue(first_index=int(stored["first_index"]), clicks=stored["clicks"])
