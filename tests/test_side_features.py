"""What is known of a click besides its item: a shifted or guessed value would teach the model what is not so."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import zoneinfo
from pathlib import Path
from typing import Any

import log_files
import pytest
import tensorflow as tf
import tensorflow_transform.beam as tft_beam
from example_gen_parts import execute
from google.protobuf import text_format
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_transform.output_wrapper import TFTransformOutput
from tensorflow_transform.tf_metadata import dataset_metadata
from tfx.types import standard_artifacts
from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder

from nextclick.components import contract, executors, local_time, preprocessing, raw_schema, side_features
from nextclick.pipeline import config as configuration
from nextclick.pipeline.config import Config
from nextclick.pipeline.definition import bundled_schema_path
from nextclick.pipeline.errors import ConfigError, DataError

UTC = datetime.timezone.utc
UNKNOWN = 1


def _ms(text: str) -> int:
    return round(datetime.datetime.fromisoformat(text).timestamp() * 1000)


def _local(text: str, zone: str) -> tuple[int, int, int]:
    """Hour, day of the week and season of a moment, by TensorFlow."""
    seconds = local_time.local_seconds(tf.constant([_ms(text)], tf.int64), zone)
    return tuple(int(f(seconds)[0]) for f in (local_time.hour_of_day, local_time.day_of_week, local_time.season))


@pytest.mark.parametrize(
    ("moment", "zone", "expected"),
    [
        ("2024-03-31T00:59:59+00:00", "Europe/Berlin", (1, 6, 1)),  # a second before the clocks go forward
        ("2024-03-31T01:00:00+00:00", "Europe/Berlin", (3, 6, 1)),
        ("2024-10-27T00:59:59+00:00", "Europe/Berlin", (2, 6, 3)),
        ("2024-10-27T01:00:00+00:00", "Europe/Berlin", (2, 6, 3)),  # the hour comes twice
        ("2024-10-27T02:00:00+00:00", "Europe/Berlin", (3, 6, 3)),
        ("2024-02-29T23:30:00+00:00", "UTC", (23, 3, 0)),
        ("2024-02-29T23:30:00+00:00", "Asia/Tokyo", (8, 4, 1)),  # already March, and Friday
        ("2024-03-01T04:30:00+00:00", "America/New_York", (23, 3, 0)),  # still February
        ("1970-01-01T00:00:01+00:00", "UTC", (0, 3, 0)),
        ("2099-12-31T23:59:59+00:00", "Asia/Kathmandu", (5, 4, 0)),
    ],
)
def test_clocks_of_a_place(moment: str, zone: str, expected: tuple[int, int, int]) -> None:
    assert _local(moment, zone) == expected


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.integers(1, 4_102_444_799_999), min_size=1, max_size=50),
    st.sampled_from(["UTC", "Europe/Berlin", "Australia/Lord_Howe", "America/Sao_Paulo", "Africa/Casablanca"]),
)
def test_every_moment_has_the_hour_day_and_month_of_pythons_calendar(times: list[int], zone: str) -> None:
    expected = [
        datetime.datetime.fromtimestamp(time // 1000, UTC).astimezone(zoneinfo.ZoneInfo(zone)) for time in times
    ]
    seconds = local_time.local_seconds(tf.constant(times, tf.int64), zone)
    assert local_time.hour_of_day(seconds).numpy().tolist() == [moment.hour for moment in expected]
    assert local_time.day_of_week(seconds).numpy().tolist() == [moment.weekday() for moment in expected]
    assert local_time.month(seconds).numpy().tolist() == [moment.month for moment in expected]


def test_bounds_of_the_buckets_ascend() -> None:
    for bounds in (side_features.GAP_SECONDS, side_features.PRICES):
        assert list(bounds) == sorted(set(bounds))


def test_a_value_on_a_bound_is_in_the_bucket_that_begins_there() -> None:
    assert side_features.bucket(tf.constant([0, 1, 9, 10, 11, 99, 100, 10**12]), (1, 10, 100)).numpy().tolist() == [
        0, 1, 1, 2, 2, 2, 3, 3,
    ]  # fmt: skip
    assert side_features.bucket(tf.constant([], tf.int64), (1, 10)).numpy().tolist() == []


def test_pauses_stay_within_their_session_and_need_two_times() -> None:
    times = tf.ragged.constant([[1000, 4000, 4000], [], [9000], [5000, -1, 7000], [8000, 6000]], dtype=tf.int64)
    to_next, known = side_features.pauses_ms(times, to_next=True)
    # The last session runs backwards, as only a request can: no time has passed.
    assert known.numpy().tolist() == [True, True, False, False, False, False, False, True, False]
    assert to_next.numpy()[known].tolist() == [3000, 0, 0]
    since, known = side_features.pauses_ms(times, to_next=False)
    assert known.numpy().tolist() == [False, True, True, False, False, False, False, False, True]
    assert since.numpy()[known].tolist() == [3000, 0, 0]


def test_prices_are_plain_decimal_numbers() -> None:
    texts = ["12.50", " 3 ", ".5", "7.", "0", "", "free", "1,200.00", "-1", "nan", "1e3", "9" * 400]
    values, known = side_features.prices(tf.constant(texts))
    assert known.numpy().tolist() == [True] * 5 + [False] * 7
    assert values.numpy()[:5].tolist() == [12.5, 3.0, 0.5, 7.0, 0.0]


SETTINGS = {
    "data.attributes": ("category", "price"),
    "features.side_features": (*contract.SIDE_FEATURES, "attribute_category"),
    "features.time_zone": "Europe/Berlin",
    "features.item_hash_buckets": 8,
    "features.window_length": 2,
}
CONFIG = configuration.replace(Config(), SETTINGS)


def _session(items: list[bytes], times: list[int], types: list[bytes], **attributes: list[bytes]) -> dict[str, Any]:
    named = {contract.attribute_feature(name): values for name, values in attributes.items()}
    return {contract.ITEM_IDS: items, contract.EVENT_TIMES_MS: times, contract.EVENT_TYPES: types, **named}


BERLIN_NOON = _ms("2024-07-01T10:00:00+00:00")  # a Monday, 12 o'clock in Berlin
TRAIN = [
    _session(
        [b"a", b"a", b"b", b"a"],
        [BERLIN_NOON, BERLIN_NOON + 999, BERLIN_NOON + 3_000, BERLIN_NOON + 7_203_000],
        [b"view", b"view", b"cart", b"view"],
        category=[b"Schuhe", b"Schuhe", "Möbel/椅子".encode(), b""],
        price=[b"0.01", b"1", b"1.42", b""],
    ),
    _session(
        [b"c", b"b"],
        [BERLIN_NOON, BERLIN_NOON],
        [b"view", b"buy"],
        category=[b"x", "Möbel/椅子".encode()],
        price=[b"?", b"99999999"],
    ),
]
# By hand: 2 is the first value of each; dwell below a second 2, of 1 to 2 s 3, of 2 to 5 s 4, of an hour or more 15.
EXPECTED = {
    "side_event_type": [[2, 2, 3, 2], [2, 4]],  # view, then of one click each the greater bytes: cart, buy
    "side_dwell": [[2, 4, 15, 1], [2, 1]],
    "side_since_previous": [[1, 2, 4, 15], [1, 2]],
    "side_hour_of_day": [[14, 14, 14, 16], [14, 14]],
    "side_day_of_week": [[2, 2, 2, 2], [2, 2]],
    "side_season": [[4, 4, 4, 4], [4, 4]],
    "side_price": [[2, 11, 12, 1], [1, 59]],
    "side_attribute_category": [[2, 2, 3, 1], [4, 3]],
}


@dataclasses.dataclass(frozen=True)
class Transformed:
    """A Transform graph, and what it made of sessions offline: lists by feature."""

    output: TFTransformOutput
    config: Config
    rows: dict[str, list[list[int]]]


def _transform(config: Config, sessions: list[dict[str, Any]], folder: Path) -> Transformed:
    spec = {
        name: tf.io.VarLenFeature(tf.int64 if name == contract.EVENT_TIMES_MS else tf.string) for name in sessions[0]
    }
    metadata = dataset_metadata.DatasetMetadata.from_feature_spec(spec)
    function = functools.partial(
        preprocessing.preprocessing_fn, custom_config={"config": configuration.to_json(config)}
    )
    with tft_beam.Context(temp_dir=str(folder / "beam")):
        (batches, _), graph = (sessions, metadata) | tft_beam.AnalyzeAndTransformDataset(
            function, output_record_batches=True
        )
        graph | tft_beam.WriteTransformFn(str(folder / "transform"))
    found: dict[str, list[list[int]]] = {}
    for batch, _ in batches:
        for name, values in batch.to_pydict().items():
            found.setdefault(name, []).extend(values)
    return Transformed(TFTransformOutput(str(folder / "transform")), config, found)


@pytest.fixture(scope="module")
def transformed(tmp_path_factory: pytest.TempPathFactory) -> Transformed:
    return _transform(CONFIG, TRAIN, tmp_path_factory.mktemp("side"))


def _served(transformed: Transformed, inputs: dict[str, Any]) -> dict[str, list[list[int]]]:
    """The side features that the saved graph makes of a request."""
    layer = transformed.output.transform_features_layer()
    found = layer(side_features.complete(inputs, transformed.config.features))
    return {
        name: values.to_list() for name, values in found.items() if name not in (contract.WINDOWS, contract.END_TIME_MS)
    }


def test_each_event_has_its_values(transformed: Transformed) -> None:
    assert {name: transformed.rows[name] for name in EXPECTED} == EXPECTED
    hashed = transformed.rows["side_item_hash"]
    assert hashed[0][0] == hashed[0][1] == hashed[0][3]
    assert all(2 <= index < 10 for row in hashed for index in row)


def test_saved_graph_gives_what_transform_gave(transformed: Transformed) -> None:
    request = {name: tf.ragged.constant([row[name] for row in TRAIN], ragged_rank=1) for name in TRAIN[0]}
    request[contract.EVENT_TIMES_MS] = tf.cast(request[contract.EVENT_TIMES_MS], tf.int64)
    found = _served(transformed, request)
    assert {name: found[name] for name in EXPECTED} == EXPECTED
    assert found["side_item_hash"] == transformed.rows["side_item_hash"]


def test_a_request_of_items_alone_has_unknown_values(transformed: Transformed) -> None:
    found = _served(transformed, {contract.ITEM_IDS: tf.constant([["a", "b", ""], ["new", "", ""]])})
    assert found.pop(contract.ITEM_INDICES) == [[2, 3], [1]]
    hashed = found.pop("side_item_hash")
    assert hashed[0] == transformed.rows["side_item_hash"][0][1:3]
    assert found == {key: [[UNKNOWN, UNKNOWN], [UNKNOWN]] for key in EXPECTED}


def test_values_that_end_early_and_values_that_training_has_not_are_unknown(transformed: Transformed) -> None:
    request = {
        contract.ITEM_IDS: tf.constant([["a", "", "b", "c"]]),
        contract.EVENT_TYPES: tf.constant([["cart", "buy", "wish"]]),
        contract.EVENT_TIMES_MS: tf.constant([[BERLIN_NOON, 0, BERLIN_NOON + 1000]], tf.int64),
    }
    found = _served(transformed, request)
    # The empty id has no place; what stands beside it goes with it.
    assert found["side_event_type"] == [[3, UNKNOWN, UNKNOWN]]
    assert found["side_dwell"] == [[3, UNKNOWN, UNKNOWN]]
    assert found["side_hour_of_day"] == [[14, 14, UNKNOWN]]


def test_items_alone_are_encoded_without_any_side_input(transformed: Transformed) -> None:
    layer = transformed.output.transform_features_layer()
    found = layer({contract.ITEM_IDS: tf.sparse.from_dense([["a", "b"]])})
    assert found[contract.ITEM_INDICES].to_list() == [[2, 3]]


def test_number_of_indices_is_above_every_index(transformed: Transformed) -> None:
    counts = {
        name: side_features.index_count(name, transformed.config.features, transformed.output)
        for name in transformed.config.features.side_features
    }
    assert counts == {
        "event_type": 5, "dwell": 16, "since_previous": 16, "hour_of_day": 26, "day_of_week": 9, "season": 6,
        "price": 60, "item_hash": 10, "attribute_category": 5,
    }  # fmt: skip
    for name, count in counts.items():
        assert max(max(row) for row in transformed.rows[contract.side_feature(name)]) < count


def test_collapsed_repeats_take_their_values_with_them(tmp_path: Path) -> None:
    config = configuration.replace(CONFIG, {"features.collapse_repeats": True, "features.max_categories": 1})
    rows = _transform(config, TRAIN, tmp_path).rows
    assert rows[contract.ITEM_INDICES] == [[3, 2, 3], [4, 2]]
    assert rows["side_dwell"] == [[4, 15, 1], [2, 1]]  # from the first click on a to that on b
    assert rows["side_price"] == [[2, 12, 1], [1, 59]]
    # Only the most frequent category is told apart.
    assert rows["side_attribute_category"] == [[UNKNOWN, 2, UNKNOWN], [UNKNOWN, 2]]


def test_without_side_features_there_are_indices_windows_and_end_times_alone(tmp_path: Path) -> None:
    plain = _transform(Config(), TRAIN, tmp_path).rows
    assert set(plain) == {"item_indices", "windows", "end_time_ms"}


def test_unknown_items_share_several_buckets(tmp_path: Path) -> None:
    config = configuration.replace(Config(), {"features.oov_buckets": 3})
    found = _transform(config, TRAIN, tmp_path)
    unknown = tf.constant([[f"new {number}" for number in range(50)] + ["a"]])
    (indices,) = _served(found, {contract.ITEM_IDS: unknown})[contract.ITEM_INDICES]
    assert set(indices[:50]) == {1, 2, 3}
    assert indices[50] == 4  # the vocabulary begins after the buckets


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"features.side_features": ("hour",)}, "features.side_features must be among event_type, dwell"),
        ({"features.side_features": ("attribute_brand",)}, "received 'attribute_brand'"),
        ({"features.side_features": ("price",)}, "data.attributes must hold price"),
        ({"features.side_features": ("dwell", "dwell")}, "features.side_features must name each once"),
        ({"data.attributes": ("Country code",)}, "data.attributes must be names in small letters"),
        ({"features.time_zone": "Europe/Atlantis"}, "must be an IANA name such as Europe/Berlin, received"),
        ({"features.time_zone": "../etc/passwd"}, "must be an IANA name"),
        ({"features.time_zone": ""}, "must be an IANA name"),
    ],
)
def test_settings_that_do_not_fit_are_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        configuration.replace(Config(), values)


HEADER = "session_id,item_id,timestamp,Country,category,secret"
START = 1_709_510_400


def _log(path: Path, header: str = HEADER) -> Path:
    rows = [
        f"{day}-{number},{'ab'[number % 2]},{START + day * 86_400 + 100 * number + place},{country},{category},hidden"
        for day in range(4)
        for number in range(3)
        for place, (country, category) in enumerate([("DE", "Möbel"), ("", "椅子"), ("FR", "Möbel")])
    ]
    return log_files.write(path, [header, *rows])


def _schema(*attributes: str) -> schema_pb2.Schema:
    curated = text_format.Parse(Path(bundled_schema_path()).read_text(), schema_pb2.Schema())
    return raw_schema.with_attributes(curated, attributes)


def _examples(folder: Path, split: str) -> list[bytes]:
    files = sorted(str(path) for path in (folder / f"Split-{split}").iterdir())
    return [record.numpy() for record in tf.data.TFRecordDataset(files, compression_type="GZIP")]


def test_named_columns_of_the_log_and_no_others_reach_the_examples(tmp_path: Path) -> None:
    path = _log(tmp_path / "clicks.csv")
    data = {"paths": (str(path),), "validation_days": 1, "test_days": 1}
    execute(tmp_path / "out", attributes=("country", "category"), **data)
    found = [tf.train.Example.FromString(serialized) for serialized in _examples(tmp_path / "out", "test")]
    assert len(found) == 3
    for example in found:
        feature = example.features.feature
        assert set(feature) == {
            "session_id", "item_ids", "event_times_ms", "event_types", "session_length",
            "attribute_country", "attribute_category",
        }  # fmt: skip
        assert list(feature["attribute_country"].bytes_list.value) == [b"DE", b"", b"FR"]
        assert [value.decode() for value in feature["attribute_category"].bytes_list.value] == [
            "Möbel",
            "椅子",
            "Möbel",
        ]
    execute(tmp_path / "plain", **data)
    assert (
        "attribute_country"
        not in tf.train.Example.FromString(_examples(tmp_path / "plain", "test")[0]).features.feature
    )


def test_attributes_go_from_the_log_through_the_schema_into_the_transformed_examples(tmp_path: Path) -> None:
    path = _log(tmp_path / "clicks.csv")
    execute(tmp_path / "out", attributes=("country",), paths=(str(path),), validation_days=1, test_days=1)
    batch = ExamplesToRecordBatchDecoder().DecodeBatch(_examples(tmp_path / "out", "train"))
    config = configuration.replace(
        Config(), {"data.attributes": ("country",), "features.side_features": ("attribute_country",)}
    )
    assert {feature.name for feature in _schema("country").feature} == set(batch.schema.names)
    rows = [
        {name: values for name, values in row.items() if name == "item_ids" or "country" in name}
        for row in batch.to_pylist()
    ]
    found = _transform(config, rows, tmp_path)
    # Of two that are equally frequent, the greater bytes (FR) come first.
    assert found.rows["side_attribute_country"] == [[3, 1, 2]] * 6


def test_schema_component_asks_for_the_attributes_but_not_of_requests(tmp_path: Path) -> None:
    artifact = standard_artifacts.Schema()
    artifact.uri = str(tmp_path)
    properties = {"schema_file": bundled_schema_path(), "attributes": '["country", "price"]'}
    executors.AttributesSchemaExecutor().Do({}, {"schema": [artifact]}, properties)
    written = text_format.Parse((tmp_path / "schema.pbtxt").read_text(), schema_pb2.Schema())
    curated = text_format.Parse(Path(bundled_schema_path()).read_text(), schema_pb2.Schema())
    assert list(written.feature)[: len(curated.feature)] == list(curated.feature)
    added = list(written.feature)[len(curated.feature) :]
    assert [feature.name for feature in added] == ["attribute_country", "attribute_price"]
    assert all("SERVING" in feature.not_in_environment for feature in added)


def test_a_column_that_the_log_has_not_is_named(tmp_path: Path) -> None:
    path = _log(tmp_path / "clicks.csv")
    with pytest.raises(
        DataError, match=r"clicks.csv, row 1: column brand of data.attributes is missing; found session"
    ):
        execute(tmp_path / "out", attributes=("brand",), paths=(str(path),))


def test_a_column_of_lists_is_refused_in_one_sentence(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    table = pa.table(
        {"session_id": ["s", "s"], "item_id": ["a", "b"], "timestamp": [START, START + 1], "tags": [[1], [2]]}
    )
    parquet.write_table(table, tmp_path / "clicks.parquet")
    with pytest.raises(DataError, match=r"column tags of data.attributes holds lists or objects"):
        log_files.read(tmp_path / "clicks.parquet", attributes=("tags",))
