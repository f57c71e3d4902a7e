"""Transformed examples in memory: what training sees must not depend on how files are cut."""

import numpy as np
import recommender_runs as runs
import tensorflow as tf

from nextclick.components import dataset, sequences
from nextclick.pipeline import config as configuration


def rows(found):
    return [part.tolist() for part in np.split(found.values, found.splits[1:-1])]


def test_files_hold_what_sessions_cut_here_hold(tmp_path):
    sessions = [[b"a"] * length for length in (1, 2, 3, 50, 51, 120)]
    config = configuration.replace(runs.CONFIG, {"features.window_length": 50})
    output = runs.transform(config, {"train": sessions}, tmp_path, shards=3)
    read = dataset.read_split([str(tmp_path / "train-*")], output.transformed_feature_spec())
    cut = dataset.split_of(sequences.from_lists([[2] * len(session) for session in sessions]), 50)
    assert rows(read.sessions) == rows(cut.sessions)
    assert rows(read.windows) == rows(cut.windows)
    assert sorted(len(window) for window in rows(read.windows)) == [2, 3, 20, 50, 51, 51, 51]
    assert (read.windows.lengths - 1).sum() == sum(len(session) - 1 for session in sessions)


def test_no_file_is_an_empty_split(tmp_path):
    lengths = [tf.io.RaggedFeature.RowLengths("windows$row_lengths_1")]
    spec = {
        "item_indices": tf.io.RaggedFeature(tf.int64, "item_indices$ragged_values", row_splits_dtype=tf.int64),
        "windows": tf.io.RaggedFeature(tf.int64, "windows$ragged_values", lengths, row_splits_dtype=tf.int64),
    }
    split = dataset.read_split([str(tmp_path / "validation-*")], spec)
    assert (len(split.sessions), len(split.windows)) == (0, 0)


def test_both_splits_together_hold_the_rows_of_each():
    one = dataset.split_of(sequences.from_lists([[2, 3, 4]]), 2)
    two = dataset.split_of(sequences.from_lists([[5, 6]]), 2)
    both = dataset.concatenate(one, two)
    assert rows(both.sessions) == [[2, 3, 4], [5, 6]]
    assert rows(both.windows) == [[2, 3, 4], [5, 6]]
