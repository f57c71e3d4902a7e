"""Transformed examples → sequences in memory; see batches.py for what the trainer makes of them.

One event takes 4 bytes, so a hundred million clicks fit in 400 MB: the files are read once, in any order, and put
in an order that depends on their content alone.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from nextclick.components import contract, features, sequences, side_inputs
from nextclick.components.sequences import Sequences
from nextclick.pipeline.config import Config, FeaturesConfig

_EXAMPLES_A_READ = 4096


@dataclasses.dataclass(frozen=True)
class Split:
    """What the trainer knows of a split.

    Attributes:
      sessions: whole sessions, to be evaluated on.
      windows: the sessions cut into windows of at most length + 1 items, to be trained on.
      end_times_ms: int64 [sessions], when each ended, milliseconds since the epoch; 0 where the log did not say.
      side: number of indices of each side feature that stands beside the items (side_inputs.py).
    """

    sessions: Sequences
    windows: Sequences
    end_times_ms: npt.NDArray[np.int64]
    side: Mapping[str, int] = dataclasses.field(default_factory=dict)


def reader(config: Config, transform: Any) -> Callable[[Sequence[str]], Split]:
    """`read_split` of files as a configuration wants them; `transform` is the TFTransformOutput that they come from."""
    return functools.partial(
        read_split,
        feature_spec=transform.transformed_feature_spec(),
        side=side_inputs.counts(config, transform),
        window_length=config.features.window_length,
    )


def read_split(
    file_patterns: Sequence[str],
    feature_spec: Mapping[str, Any],
    side: Mapping[str, int] | None = None,
    window_length: int = FeaturesConfig.window_length,
) -> Split:
    """The split in transformed, gzipped TFRecord files.

    Args:
      file_patterns: globs of the files; no file at all is an empty split.
      feature_spec: how to parse `item_indices`, `windows`, `side_<name>` of the given names and, where there is one,
        `end_time_ms`: `TFTransformOutput.transformed_feature_spec()`.
      side: number of indices of each side feature to stand beside the items; None or empty: none.
      window_length: inputs of a window at most; read only with side features, since Transform's windows have none.
    """
    side = side or {}
    files = sorted(file for pattern in file_patterns for file in tf.io.gfile.glob(pattern))
    names = (contract.ITEM_INDICES, contract.WINDOWS, contract.END_TIME_MS, *map(contract.side_feature, side))
    spec = {name: feature_spec[name] for name in names if name in feature_spec}
    records = tf.data.TFRecordDataset(files, compression_type="GZIP", num_parallel_reads=tf.data.AUTOTUNE)
    batches = records.batch(_EXAMPLES_A_READ).map(
        lambda serialized: _flat(tf.io.parse_example(serialized, spec), tuple(side)),
        num_parallel_calls=tf.data.AUTOTUNE,
    )
    parts = list(batches.as_numpy_iterator()) if files else []
    sessions = sequences.from_parts(
        (part[contract.ITEM_INDICES] for part in parts), columns=1 + len(side) if side else 0
    )
    end_times_ms = np.concatenate([np.zeros(0, np.int64), *(part[contract.END_TIME_MS] for part in parts)])
    if side:
        return split_of(sessions, window_length, end_times_ms, side)
    return _ordered(sessions, sequences.from_parts(part[contract.WINDOWS] for part in parts), end_times_ms, side)


def split_of(
    sessions: Sequences,
    window_length: int,
    end_times_ms: npt.NDArray[np.int64] | None = None,
    side: Mapping[str, int] | None = None,
) -> Split:
    """The split of sessions that never were in a file, with windows as Transform cuts them."""
    ragged = tf.RaggedTensor.from_row_splits(sessions.values, sessions.splits, validate=False)
    windows = features.cut_windows(ragged, window_length).values
    columns = sessions.values.shape[1] if sessions.values.ndim > 1 else 0
    cut = sequences.from_parts([(windows.values.numpy(), windows.row_lengths().numpy())], columns)
    times = np.zeros(len(sessions), np.int64) if end_times_ms is None else end_times_ms
    return _ordered(sessions, cut, times, side or {})


def concatenate(first: Split, second: Split) -> Split:
    """The sessions and windows of both splits."""
    return Split(
        sequences.concatenate(first.sessions, second.sessions),
        sequences.concatenate(first.windows, second.windows),
        np.concatenate([first.end_times_ms, second.end_times_ms]),
        first.side,
    )


def ended_after(split: Split, time_ms: int) -> Split:
    """The split with only those sessions that ended after a time, milliseconds since the epoch; all of its windows."""
    later = np.flatnonzero(split.end_times_ms > time_ms)
    if len(later) == len(split.end_times_ms) or time_ms <= 0:
        return split
    return dataclasses.replace(split, sessions=split.sessions.take(later), end_times_ms=split.end_times_ms[later])


def _ordered(
    sessions: Sequences, windows: Sequences, end_times_ms: npt.NDArray[np.int64], side: Mapping[str, int]
) -> Split:
    oldest_first = np.argsort(end_times_ms, kind="stable")  # which of two sessions of one content comes first
    order = oldest_first[sequences.stable_order(sessions.take(oldest_first))]
    return Split(sessions.take(order), sequences.in_stable_order(windows), end_times_ms[order], side)


def _flat(parsed: Mapping[str, Any], side: Sequence[str]) -> dict[str, Any]:
    """Values and row lengths of each ragged feature, the windows of all sessions one below the other; end times."""
    sessions = side_inputs.beside_items(parsed, side)
    windows = parsed[contract.WINDOWS].values
    return {
        contract.ITEM_INDICES: (sessions.values, sessions.row_lengths()),
        contract.WINDOWS: (windows.values, windows.row_lengths()),
        contract.END_TIME_MS: parsed.get(contract.END_TIME_MS, tf.zeros([sessions.nrows()], tf.int64)),
    }
