"""If these failed, Transform would lose sessions on the way from file to file, or learn from the test split."""

from __future__ import annotations

import functools
from pathlib import Path

import apache_beam as beam
import pytest
import tensorflow as tf
from example_gen_parts import BEAM
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_transform.output_wrapper import TFTransformOutput

from nextclick.components import contract, preprocessing, transforming
from nextclick.pipeline import config as configuration
from nextclick.pipeline.config import Config
from nextclick.pipeline.definition import bundled_schema_path

CONFIG = configuration.replace(
    Config(), {"features.side_features": ("day_of_week",), "features.window_length": 2, "features.max_items": 3}
)
MONDAY_MS = 1_709_510_400_000
# Of each split the sessions of each file.
SPLITS: dict[str, list[list[str]]] = {
    "train": [["aab", "ca"], ["bc", "daaa"]],
    "validation": [["bd"]],
    "test": [["za"], [], ["zz"]],
}


def _example(items: str) -> bytes:
    def texts(*values: str) -> tf.train.Feature:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode() for value in values]))

    times = [MONDAY_MS + 86_400_000 * place for place in range(len(items))]
    features = {
        contract.SESSION_ID: texts(items),
        contract.ITEM_IDS: texts(*items),
        contract.EVENT_TYPES: texts(*(["view"] * len(items))),
        contract.EVENT_TIMES_MS: tf.train.Feature(int64_list=tf.train.Int64List(value=times)),
        contract.SESSION_LENGTH: texts("2"),
    }
    return bytes(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())


def _write(folder: Path) -> dict[str, list[str]]:
    files: dict[str, list[str]] = {}
    for split, shards in SPLITS.items():
        for number, sessions in enumerate(shards):
            path = str(folder / f"{split}-{number}.gz")
            with tf.io.TFRecordWriter(path, "GZIP") as writer:
                for session in sessions:
                    writer.write(_example(session))
            files.setdefault(split, []).append(path)
    return files


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("transforming")
    custom_config = {"config": configuration.to_json(CONFIG)}
    preprocess = functools.partial(preprocessing.preprocessing_fn, custom_config=custom_config)
    inputs = transforming.Inputs(
        files=_write(found),
        analysed=["train", "validation"],
        schema=text_format.Parse(Path(bundled_schema_path()).read_text(), schema_pb2.Schema()),
    )
    outputs = transforming.Outputs(
        graph=str(found / "graph"),
        splits={split: str(found / "out" / split / "examples") for split in SPLITS},
        temporary=str(found / "temporary"),
    )
    options = beam.options.pipeline_options.PipelineOptions(list(BEAM))
    with beam.Pipeline(options=options) as pipeline:
        transforming.build(pipeline, preprocess, inputs, outputs)
    return found


def _rows(folder: Path, split: str, name: str) -> list[list[int]]:
    files = sorted(str(path) for path in (folder / "out" / split).iterdir())
    records = tf.data.TFRecordDataset(files, compression_type="GZIP").as_numpy_iterator()
    return sorted(
        list(tf.train.Example.FromString(one).features.feature[f"{name}$ragged_values"].int64_list.value)
        for one in records
    )


def test_every_session_of_every_file_is_transformed_once(folder: Path) -> None:
    # a 6, b 3; of c and d with 2 each the greater bytes come first. 1 is unknown.
    assert TFTransformOutput(str(folder / "graph")).vocabulary_by_name(contract.VOCABULARY_NAME) == [b"a", b"b", b"d"]
    assert _rows(folder, "train", contract.ITEM_INDICES) == [[1, 2], [2, 2, 3], [3, 1], [4, 2, 2, 2]]
    assert _rows(folder, "validation", contract.ITEM_INDICES) == [[3, 4]]
    assert _rows(folder, "test", contract.ITEM_INDICES) == [[1, 1], [1, 2]]


def test_other_raw_features_are_read_where_they_are_needed(folder: Path) -> None:
    assert _rows(folder, "train", "side_day_of_week") == [[2, 3], [2, 3], [2, 3, 4], [2, 3, 4, 5]]


def test_files_have_their_names_and_nothing_else_is_left(folder: Path) -> None:
    for split in SPLITS:
        names = [path.name for path in (folder / "out" / split).iterdir()]
        assert names
        assert all(name.startswith("examples-00") and name.endswith(".gz") for name in names)


def test_saved_graph_takes_raw_examples_that_were_not_read_whole(folder: Path) -> None:
    output = TFTransformOutput(str(folder / "graph"))
    assert {feature.name for feature in output.raw_metadata.schema.feature} == {
        contract.SESSION_ID, contract.ITEM_IDS, contract.EVENT_TIMES_MS, contract.EVENT_TYPES, contract.SESSION_LENGTH,
    }  # fmt: skip
    parsed = tf.io.parse_example([_example("ba")], output.raw_feature_spec())
    found = output.transform_features_layer()(parsed)
    assert found[contract.ITEM_INDICES].to_list() == [[3, 2]]
