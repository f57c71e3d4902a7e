"""Transformed examples → sequences in memory; see batches.py for what the trainer makes of them.

One event takes 4 bytes, so a hundred million clicks fit in 400 MB: the files are read once, in any order, and put
in an order that depends on their content alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from nextclick.components import contract, features, sequences
from nextclick.components.sequences import Sequences

_EXAMPLES_A_READ = 4096


@dataclasses.dataclass(frozen=True)
class Split:
    """What the trainer knows of a split.

    Attributes:
      sessions: whole sessions, to be evaluated on.
      windows: the sessions cut into windows of at most length + 1 items, to be trained on.
    """

    sessions: Sequences
    windows: Sequences


def read_split(file_patterns: Sequence[str], feature_spec: Mapping[str, Any]) -> Split:
    """The split in transformed, gzipped TFRecord files.

    Args:
      file_patterns: globs of the files; no file at all is an empty split.
      feature_spec: how to parse `item_indices` and `windows`: `TFTransformOutput.transformed_feature_spec()`.
    """
    files = sorted(file for pattern in file_patterns for file in tf.io.gfile.glob(pattern))
    spec = {name: feature_spec[name] for name in (contract.ITEM_INDICES, contract.WINDOWS)}
    records = tf.data.TFRecordDataset(files, compression_type="GZIP", num_parallel_reads=tf.data.AUTOTUNE)
    batches = records.batch(_EXAMPLES_A_READ).map(
        lambda serialized: _flat(tf.io.parse_example(serialized, spec)), num_parallel_calls=tf.data.AUTOTUNE
    )
    parts = list(batches.as_numpy_iterator()) if files else []
    return Split(
        sessions=sequences.in_stable_order(sequences.from_parts(part[contract.ITEM_INDICES] for part in parts)),
        windows=sequences.in_stable_order(sequences.from_parts(part[contract.WINDOWS] for part in parts)),
    )


def split_of(sessions: Sequences, window_length: int) -> Split:
    """The split of sessions that never were in a file, with windows as Transform cuts them."""
    ragged = tf.RaggedTensor.from_row_splits(sessions.values, sessions.splits, validate=False)
    windows = features.cut_windows(ragged, window_length).values
    cut = sequences.from_parts([(windows.values.numpy(), windows.row_lengths().numpy())])
    return Split(sequences.in_stable_order(sessions), sequences.in_stable_order(cut))


def concatenate(first: Split, second: Split) -> Split:
    """The sessions and windows of both splits."""
    return Split(
        sequences.concatenate(first.sessions, second.sessions), sequences.concatenate(first.windows, second.windows)
    )


def _flat(parsed: Mapping[str, Any]) -> dict[str, tuple[tf.Tensor, tf.Tensor]]:
    """Values and row lengths of each feature; the windows of all sessions one below the other."""
    sessions = features.to_ragged(parsed[contract.ITEM_INDICES])
    windows = parsed[contract.WINDOWS].values
    return {
        contract.ITEM_INDICES: (sessions.values, sessions.row_lengths()),
        contract.WINDOWS: (windows.values, windows.row_lengths()),
    }
