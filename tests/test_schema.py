"""If these failed, examples that break the contract would reach training, or good ones would stop a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import log_files
import pytest
import tensorflow as tf
import tensorflow_data_validation as tfdv
from example_gen_parts import execute
from google.protobuf import text_format
from tensorflow_data_validation.statistics import stats_impl
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder

from nextclick.components import contract
from nextclick.pipeline.definition import bundled_schema_path

DAY = 86_400
START = 1_709_510_400  # seconds


@pytest.fixture(scope="module")
def schema() -> schema_pb2.Schema:
    return text_format.Parse(Path(bundled_schema_path()).read_text(), schema_pb2.Schema())


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tf.train.Example]]:
    """Sessions of 2 to 30 clicks in each of four days."""
    rows = [
        f"{day}-{length},{n},{START + day * DAY + 60 * n}"
        for day in range(4)
        for length in (2, 3, 5, 10, 30)
        for n in range(length)
    ]
    folder = tmp_path_factory.mktemp("schema")
    path = log_files.write(folder / "clicks.csv", [log_files.HEADER, *rows])
    execute(folder / "out", paths=(str(path),), validation_days=1, test_days=1)
    return {split: _read(folder / "out" / f"Split-{split}") for split in contract.SPLITS}


def _read(folder: Path) -> list[tf.train.Example]:
    files = [str(path) for path in folder.iterdir()]
    return [tf.train.Example.FromString(r.numpy()) for r in tf.data.TFRecordDataset(files, compression_type="GZIP")]


def _anomalies(examples: list[tf.train.Example], schema: schema_pb2.Schema) -> dict[str, str]:
    """What TFDV finds; without Beam, which would take seconds."""
    found = tfdv.validate_statistics(_statistics(examples), schema)
    return {name: info.description for name, info in found.anomaly_info.items()}


def test_schema_has_the_features_of_the_contract(schema: schema_pb2.Schema) -> None:
    assert {feature.name for feature in schema.feature} == {
        contract.SESSION_ID, contract.ITEM_IDS, contract.EVENT_TIMES_MS, contract.EVENT_TYPES, contract.SESSION_LENGTH,
    }  # fmt: skip


def test_schema_knows_every_bucket_that_an_example_can_have(schema: schema_pb2.Schema) -> None:
    (domain,) = schema.string_domain
    assert list(domain.value) == [contract.session_length_bucket(n) for n in (2, 3, 5, 10, 20)]


def test_requests_need_the_items_alone(schema: schema_pb2.Schema) -> None:
    assert [f.name for f in schema.feature if "SERVING" not in f.not_in_environment] == ["item_ids"]


def test_every_split_follows_the_schema(splits: dict[str, list[tf.train.Example]], schema: schema_pb2.Schema) -> None:
    assert {split: len(examples) for split, examples in splits.items()} == {"train": 10, "validation": 5, "test": 5}
    assert _anomalies([example for examples in splits.values() for example in examples], schema) == {}


def _statistics(examples: list[tf.train.Example]) -> Any:
    batch = ExamplesToRecordBatchDecoder().DecodeBatch([example.SerializeToString() for example in examples])
    return stats_impl.generate_statistics_in_memory(batch, tfdv.StatsOptions())


def _drift(earlier: list[tf.train.Example], later: list[tf.train.Example], schema: schema_pb2.Schema) -> set[str]:
    """Features with an anomaly that the comparison with earlier examples finds."""
    found = tfdv.validate_statistics(_statistics(later), schema, previous_statistics=_statistics(earlier))
    return set(found.anomaly_info)


def test_other_lengths_are_drift(splits: dict[str, list[tf.train.Example]], schema: schema_pb2.Schema) -> None:
    long = [example for example in splits["test"] if len(example.features.feature["item_ids"].bytes_list.value) > 10]
    assert _drift(splits["train"], splits["test"], schema) == set()
    assert _drift(splits["train"], long, schema) == {"session_length"}


def test_other_event_types_are_drift(splits: dict[str, list[tf.train.Example]], schema: schema_pb2.Schema) -> None:
    changed = [tf.train.Example.FromString(example.SerializeToString()) for example in splits["test"]]
    for example in changed:
        types = example.features.feature["event_types"].bytes_list.value
        types[:] = [b"cart"] * len(types)
    assert _drift(splits["train"], changed, schema) == {"event_types"}


def test_a_request_follows_the_schema_of_serving(
    splits: dict[str, list[tf.train.Example]], schema: schema_pb2.Schema
) -> None:
    request = tf.train.Example.FromString(splits["test"][0].SerializeToString())
    for name in ("session_id", "event_times_ms", "event_types", "session_length"):
        del request.features.feature[name]
    statistics = _statistics([request])
    assert not tfdv.validate_statistics(statistics, schema, environment="SERVING").anomaly_info
    missing = tfdv.validate_statistics(statistics, schema, environment="TRAINING").anomaly_info
    assert set(missing) == {"session_id", "event_times_ms", "event_types", "session_length"}


def _without(feature: str) -> Callable[[Any], None]:
    return lambda features: features.pop(feature)


def _texts(feature: str, *values: bytes) -> Callable[[Any], None]:
    return lambda features: features[feature].CopyFrom(
        tf.train.Feature(bytes_list=tf.train.BytesList(value=list(values)))
    )


@pytest.mark.parametrize(
    ("feature", "damage"),
    [
        ("item_ids", _without("item_ids")),
        ("item_ids", _texts("item_ids", b"one")),
        ("event_times_ms", _texts("event_times_ms", b"2024-03-04", b"2024-03-05")),
        ("event_types", _without("event_types")),
        ("session_id", _texts("session_id", b"a", b"b")),
        ("session_length", _texts("session_length", b"1")),
    ],
)
def test_a_broken_example_is_an_anomaly_of_its_feature(
    splits: dict[str, list[tf.train.Example]],
    schema: schema_pb2.Schema,
    feature: str,
    damage: Callable[[Any], None],
) -> None:
    broken = tf.train.Example.FromString(splits["test"][0].SerializeToString())
    damage(broken.features.feature)
    # A feature has one type over all examples, so the others get the wrong one too.
    others = [] if feature == "event_times_ms" else splits["test"][1:]
    assert list(_anomalies([broken, *others], schema)) == [feature]


def test_times_out_of_range_are_an_anomaly(
    splits: dict[str, list[tf.train.Example]], schema: schema_pb2.Schema
) -> None:
    broken = tf.train.Example.FromString(splits["test"][0].SerializeToString())
    broken.features.feature["event_times_ms"].int64_list.value[0] = -1
    assert list(_anomalies([broken], schema)) == ["event_times_ms"]
