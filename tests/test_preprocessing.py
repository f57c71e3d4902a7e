"""Transform: the graph that is analysed and the graph that serves must give the same indices for the same ids."""

import random

import numpy as np
import pytest
import recommender_runs as runs
import tensorflow as tf

from nextclick.components import contract, dataset
from nextclick.pipeline import config as configuration

# Frequencies: b 4, a 3, then four items of 1 click; ids are opaque bytes.
TRAIN = [
    [b"a", b"b", b"b", b"A 1"],
    [b"b", b"", b"a", b"007", b"b"],
    [],
    [b"a", "é".encode(), b'a,"b\t'],
    [b""],
]
VALIDATION = [[b"b", b"A-1", b"a"], [b"x"]]


@pytest.fixture(scope="module")
def transformed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("transform")
    config = configuration.replace(runs.CONFIG, {"features.window_length": 2})
    output = runs.transform(config, {"train": TRAIN, "validation": VALIDATION}, folder, shards=2)
    return folder, output


def test_vocabulary_is_by_frequency_then_by_bytes_and_ids_stay_as_they_are(transformed):
    vocabulary = transformed[1].vocabulary_by_name(contract.VOCABULARY_NAME)
    assert vocabulary == [b"b", b"a", "é".encode(), b'a,"b\t', b"A 1", b"007"]


def test_sessions_and_windows_on_disk_are_read_back(transformed):
    folder, output = transformed
    split = dataset.read_split([str(folder / "train-*")], output.transformed_feature_spec())
    assert rows(split.sessions) == sorted([[3, 2, 2, 6], [2, 3, 7, 2], [], [3, 4, 5], []])
    assert rows(split.windows) == sorted([[3, 2, 2], [2, 6], [2, 3, 7], [7, 2], [3, 4, 5]])


def test_items_that_training_has_not_are_unknown_in_their_place(transformed):
    folder, output = transformed
    split = dataset.read_split([str(folder / "validation-*")], output.transformed_feature_spec())
    assert rows(split.sessions) == [[1], [2, 1, 3]]
    assert rows(split.windows) == [[2, 1, 3]]


def test_saved_graph_gives_what_the_analysed_graph_gave(transformed):
    folder, output = transformed
    layer = output.transform_features_layer()
    served = layer({contract.ITEM_IDS: tf.ragged.constant(TRAIN, ragged_rank=1).to_sparse()})
    split = dataset.read_split([str(folder / "train-*")], output.transformed_feature_spec())
    assert sorted(served[contract.ITEM_INDICES].to_list()) == rows(split.sessions)
    assert sorted(window for windows in served[contract.WINDOWS].to_list() for window in windows) == rows(split.windows)


def test_order_and_shards_of_the_input_change_neither_vocabulary_nor_sequences(transformed, tmp_path):
    folder, output = transformed
    shuffled = TRAIN * 1
    random.Random(4).shuffle(shuffled)
    config = configuration.replace(runs.CONFIG, {"features.window_length": 2})
    again = runs.transform(config, {"train": shuffled}, tmp_path, shards=5)
    name = contract.VOCABULARY_NAME
    assert again.vocabulary_by_name(name) == output.vocabulary_by_name(name)
    one = dataset.read_split([str(folder / "train-*")], output.transformed_feature_spec())
    two = dataset.read_split([str(tmp_path / "train-*")], again.transformed_feature_spec())
    assert one.sessions.values.tobytes() == two.sessions.values.tobytes()
    assert one.windows.values.tobytes() == two.windows.values.tobytes()


def test_rare_items_repeats_and_buckets_follow_the_configuration(tmp_path):
    config = configuration.replace(
        runs.CONFIG,
        {"features.min_item_support": 3, "features.oov_buckets": 4, "features.collapse_repeats": True},
    )
    output = runs.transform(config, {"train": TRAIN}, tmp_path)
    # Collapsed, b has 3 clicks and a 3; the rest is unknown. Of one frequency the greater bytes come first.
    assert output.vocabulary_by_name(contract.VOCABULARY_NAME) == [b"b", b"a"]
    indices = output.transform_features_layer()({contract.ITEM_IDS: tf.sparse.from_dense([[b"b", b"b", b"a", b"007"]])})
    encoded = indices[contract.ITEM_INDICES].to_list()[0]
    assert encoded[:2] == [5, 6]
    assert 1 <= encoded[2] <= 4


def test_only_the_most_clicked_items_are_known_and_the_others_are_hashed(tmp_path):
    config = configuration.replace(runs.CONFIG, {"features.max_items": 2, "features.oov_buckets": 50})
    output = runs.transform(config, {"train": TRAIN}, tmp_path)
    assert output.vocabulary_by_name(contract.VOCABULARY_NAME) == [b"b", b"a"]
    ids = [[b"b", b"a", b"007", b"A 1", b"007"]]
    encoded = output.transform_features_layer()({contract.ITEM_IDS: tf.sparse.from_dense(ids)})
    first, second, *others = encoded[contract.ITEM_INDICES].to_list()[0]
    assert (first, second) == (51, 52)
    # Items outside the vocabulary are told apart by their hashes, and each is the same wherever it stands.
    assert others[0] == others[2] != others[1]
    assert all(1 <= index <= 50 for index in others)


def test_of_equally_clicked_items_the_same_ones_are_known_in_every_run(tmp_path):
    config = configuration.replace(runs.CONFIG, {"features.max_items": 4})
    names = []
    for number, shards in enumerate((1, 3)):
        output = runs.transform(config, {"train": TRAIN[:: 1 - 2 * number]}, tmp_path / str(number), shards=shards)
        names.append(output.vocabulary_by_name(contract.VOCABULARY_NAME))
    assert names[0] == names[1] == [b"b", b"a", "é".encode(), b'a,"b\t']


def rows(sequences):
    return sorted(part.tolist() for part in np.split(sequences.values, sequences.splits[1:-1]))
