"""If these failed, the examples would not be what `components/contract.py` says, and later steps would be wrong."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
import tensorflow as tf

from nextclick.components import records, rows, sessions


def _sessions(*lengths: int) -> sessions.Sessions:
    values = [
        (f"s{number}", f"é{place}", 1000 * number + place) for number, n in enumerate(lengths) for place in range(n)
    ]
    batch = pa.RecordBatch.from_arrays(
        [
            pa.array([session.encode() for session, _, _ in values], pa.large_binary()),
            pa.array([item.encode() for _, item, _ in values], pa.large_binary()),
            pa.array([time for _, _, time in values], pa.int64()),
            pa.array([b"view" if time % 2 else b"cart" for _, _, time in values], pa.large_binary()),
            pa.array([True] * len(values)),
        ],
        schema=rows.CLICKS,
    )
    return sessions.group([batch])


def _examples(found: sessions.Sessions) -> list[tf.train.Example]:
    return [tf.train.Example.FromString(data) for batch in records.to_examples(found) for data in batch]


def test_one_example_a_session() -> None:
    first, second = _examples(_sessions(2, 3))
    assert second == tf.train.Example(
        features=tf.train.Features(
            feature={
                "session_id": tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"s1"])),
                "item_ids": tf.train.Feature(
                    bytes_list=tf.train.BytesList(value=["é0".encode(), "é1".encode(), "é2".encode()])
                ),
                "event_times_ms": tf.train.Feature(int64_list=tf.train.Int64List(value=[1000, 1001, 1002])),
                "event_types": tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"cart", b"view", b"cart"])),
                "session_length": tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"3-4"])),
            }
        )
    )
    assert first.features.feature["event_types"].bytes_list.value == [b"cart", b"view"]


def test_bucket_of_each_session_length() -> None:
    lengths = [2, 3, 4, 5, 9, 10, 19, 20, 500]
    found = [e.features.feature["session_length"].bytes_list.value[0].decode() for e in _examples(_sessions(*lengths))]
    assert found == ["2", "3-4", "3-4", "5-9", "5-9", "10-19", "10-19", "20+", "20+"]


def test_batches_hold_each_session_once(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = _examples(_sessions(2, 5, 3, 4, 2))
    monkeypatch.setattr(records, "_SESSIONS_PER_BATCH", 2)
    assert _examples(_sessions(2, 5, 3, 4, 2)) == whole


def test_file_is_gzip_tfrecord_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "Split-train" / "data.gz"
    for examples in ([[b"old"]], [[b"a", b"bc"], [], [b""]]):
        records.write(str(path), examples, str(tmp_path / "temporary"))
    read = tf.data.TFRecordDataset(str(path), compression_type="GZIP")
    assert [record.numpy() for record in read] == [b"a", b"bc", b""]
    assert sorted(found.name for found in tmp_path.rglob("*")) == ["Split-train", "data.gz", "temporary"]
