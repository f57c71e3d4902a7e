"""If these failed, a log in a public format would need a conversion script, or would be read wrong.

Each file is written by hand from the format's public description.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import log_files
import pyarrow as pa
import pytest
from pyarrow import parquet

from nextclick.components import inputs, readers
from nextclick.pipeline import config
from nextclick.pipeline.config import DataConfig
from nextclick.pipeline.errors import ConfigError, DataError

TEN = 1_396_867_869_277  # 2014-04-07T10:51:09.277Z


def _reader(path: Path, **data: Any) -> readers.Reader:
    (file,) = inputs.expand_inputs([str(path)])
    return readers.open_log(file, DataConfig(**data)).reader


def test_yoochoose_clicks_have_no_header(tmp_path: Path) -> None:
    path = log_files.write(
        tmp_path / "yoochoose-clicks.dat",
        ["1,2014-04-07T10:51:09.277Z,214536502,0", "1,2014-04-07T10:54:09.868Z,214536500,S", "2,when,214662742,0"],
    )
    clicks, rejects = log_files.read(path)
    assert clicks == [("1", "214536502", TEN, "click"), ("1", "214536500", TEN + 180_591, "click")]
    assert rejects == [(3, "bad_timestamp", "2,when,214662742,0")]


def test_rsc15_as_prepared(tmp_path: Path) -> None:
    path = log_files.write(tmp_path / "train.txt", ["SessionId\tItemId\tTime", "11\t214821275\t1396867869.277"])
    assert log_files.read(path) == ([("11", "214821275", TEN, "click")], [])


def test_diginetica_views_are_a_day_and_an_offset(tmp_path: Path) -> None:
    path = log_files.write(
        tmp_path / "train-item-views.csv",
        ["sessionId;userId;itemId;timeframe;eventdate", "1;NA;81766;526309;2014-04-07", "1;7;31331;x;2014-04-07"],
    )
    clicks, rejects = log_files.read(path)
    assert clicks == [("1", "81766", 1_396_828_800_000 + 526_309, "click")]
    assert rejects == [(3, "bad_timestamp", "1;7;31331;x;2014-04-07")]


def test_retailrocket_events_are_of_visitors(tmp_path: Path) -> None:
    path = log_files.write(
        tmp_path / "events.csv",
        ["timestamp,visitorid,event,itemid,transactionid", f"{TEN},257597,view,355908,", f"{TEN},9,transaction,7,4000"],
    )
    assert _reader(path).of_users
    assert log_files.read(path) == ([("257597", "355908", TEN, "view"), ("9", "7", TEN, "transaction")], [])


def test_rees46_events(tmp_path: Path) -> None:
    header = "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session"
    rest = "2053013552326770905,appliances.environment.water_heater,aqua,33.20,554748717,9333dfbd-b87a"
    path = log_files.write(tmp_path / "2019-Oct.csv", [header, f"2014-04-07 10:51:09 UTC,cart,3900821,{rest}"])
    assert log_files.read(path) == ([("9333dfbd-b87a", "3900821", TEN - 277, "cart")], [])
    assert not _reader(path).of_users


OTTO = {"session": 42, "events": [{"aid": 0, "ts": TEN, "type": "clicks"}, {"aid": 1, "ts": TEN + 5, "type": "orders"}]}


def _otto(**changes: Any) -> str:
    return json.dumps({**OTTO, **changes})


def test_otto_sessions_are_json_lines(tmp_path: Path) -> None:
    lines = [_otto(), "", _otto(session=43, events=[]), _otto(session=7, events=OTTO["events"][:1])]
    clicks, rejects = log_files.read(log_files.write(tmp_path / "otto.jsonl.gz", lines))
    assert clicks == [("42", "0", TEN, "clicks"), ("42", "1", TEN + 5, "orders"), ("7", "0", TEN, "clicks")]
    assert rejects == []


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"session": 1, "events": [', "not_a_json_object"),
        ("[1, 2]", "not_a_json_object"),
        ("click", "not_a_json_object"),
        (f"{_otto()} {_otto()}", "not_a_json_object"),
        (_otto(events="none"), "wrong_json_type"),
        (_otto(events=[7]), "wrong_json_type"),
        (_otto(session={"id": 1}), "wrong_json_type"),
        (_otto(events=[{"aid": None, "ts": TEN, "type": "clicks"}]), "missing_item_id"),
        (_otto(events=[{"aid": 7, "ts": "soon", "type": "clicks"}]), "bad_timestamp"),
        (_otto(events=[{"aid": "a\nb", "ts": TEN, "type": "clicks"}]), "line_break_in_item_id"),
        (_otto(session=None), "missing_session_id"),
        ('{"session": "\\ud800", "events": [{"aid": 1, "ts": 1}]}', "wrong_json_type"),
    ],
)
def test_a_wrong_line_of_json_is_rejected_alone(tmp_path: Path, line: str, reason: str) -> None:
    path = log_files.write(tmp_path / "otto.jsonl", [_otto(), line, _otto(session="s-3")])
    clicks, rejects = log_files.read(path)
    assert [click[:2] for click in clicks] == [("42", "0"), ("42", "1"), ("s-3", "0"), ("s-3", "1")]
    assert set(rejects) == {(2, reason, line)}


def test_json_texts_that_look_like_dates_or_numbers_stay_texts(tmp_path: Path) -> None:
    lines = [
        {"session_id": "2019-10-01", "item_id": "007", "timestamp": "2014-04-07T10:51:09.277Z"},
        {"session_id": "1e3", "item_id": "é", "timestamp": "1396867869277", "event_type": "cart"},
        {"session_id": 5, "item_id": 12345678901234567, "timestamp": 1396867869.277},
    ]
    for number in (1, 2, 3):  # with the third the types differ, which takes the slow path
        path = log_files.write(tmp_path / f"{number}.jsonl", [json.dumps(line) for line in lines[:number]])
        expected = [
            ("2019-10-01", "007", TEN, "click"), ("1e3", "é", TEN, "cart"), ("5", "12345678901234567", TEN, "click"),
        ]  # fmt: skip
        assert log_files.read(path) == (expected[:number], [])


def _ga4(name: str, *items: str, session: Any = 9, user: str | None = "u1") -> dict[str, Any]:
    """An event as BigQuery exports it to JSON: whole numbers are texts, nulls are left out."""
    event = {
        "event_date": "20140407",
        "event_timestamp": str(TEN * 1000 + 123),
        "event_name": name,
        "event_params": [
            {"key": "page_title", "value": {"string_value": "Shop"}},
            *([{"key": "ga_session_id", "value": {"int_value": str(session)}}] if session else []),
        ],
        "items": [{"item_id": item, "item_name": "x", "price": 9.5} for item in items],
    }
    return {**event, **({"user_pseudo_id": user} if user else {})}


GA4 = (
    _ga4("view_item", "a"),
    _ga4("page_view"),
    _ga4("view_item_list", "x", "y"),
    _ga4("add_to_cart", "b", "c", session=10),
    _ga4("view_item", "d", session=None),
    _ga4("view_item", "e", user=None),
    _ga4("view_item", "", user="u2"),
)
GA4_CLICKS = [
    ("u1.9", "a", TEN, "view_item"), ("u1.10", "b", TEN, "add_to_cart"), ("u1.10", "c", TEN, "add_to_cart"),
]  # fmt: skip


def test_ga4_events_from_json_lines(tmp_path: Path) -> None:
    path = log_files.write(tmp_path / "events.jsonl", [json.dumps(event) for event in GA4])
    clicks, rejects = log_files.read(path)
    assert clicks == GA4_CLICKS
    assert [(row, reason) for row, reason, _ in rejects] == [(7, "missing_item_id")]
    assert log_files.dropped(path) == {"event_without_item": 1, "impression": 1, "event_without_session": 2}


def test_ga4_events_from_parquet(tmp_path: Path) -> None:
    value = pa.struct([("string_value", pa.string()), ("int_value", pa.int64())])
    schema = pa.schema(
        [
            ("event_timestamp", pa.int64()),
            ("event_name", pa.string()),
            ("event_params", pa.list_(pa.struct([("key", pa.string()), ("value", value)]))),
            ("user_pseudo_id", pa.string()),
            ("items", pa.list_(pa.struct([("item_id", pa.string()), ("price", pa.float64())]))),
        ]
    )
    events = [{**event, "event_timestamp": int(event["event_timestamp"])} for event in GA4]
    for event in events:
        event["event_params"] = [
            {"key": p["key"], "value": {k: int(v) if k == "int_value" else v for k, v in p["value"].items()}}
            for p in event["event_params"]
        ]
    path = tmp_path / "events.parquet"
    parquet.write_table(pa.Table.from_pylist(events, schema), path)
    clicks, rejects = log_files.read(path)
    assert clicks == GA4_CLICKS
    assert [(row, reason) for row, reason, _ in rejects] == [(7, "missing_item_id")]


def test_parquet_of_any_column_types(tmp_path: Path) -> None:
    table = pa.table(
        {
            "Session_ID": pa.array([1, 2, 3, 4], pa.int32()),
            "item_id": pa.array(["a", "b", "b", None]).dictionary_encode(),
            "timestamp": pa.array([TEN, TEN, None, TEN], pa.timestamp("ms", "Europe/Berlin")),
            "event_type": pa.array(["view", None, "view", "view"]),
            "price": pa.array([1.5, None, None, None]),
        }
    )
    sink = io.BytesIO()
    parquet.write_table(table, sink)
    for name in ("clicks.parquet", "clicks.parquet.gz"):
        clicks, rejects = log_files.read(log_files.write(tmp_path / name, sink.getvalue()))
        assert clicks == [("1", "a", TEN, "view"), ("2", "b", TEN, "click")]
        assert [(row, reason) for row, reason, _ in rejects] == [(3, "bad_timestamp"), (4, "missing_item_id")]
        assert '"event_type": "view"' in rejects[1][2]


def test_ids_that_met_a_missing_value_are_whole_numbers_again(tmp_path: Path) -> None:
    table = pa.table({"session_id": [1.0, 2.0], "item_id": pa.array([7.0, None]), "timestamp": [TEN, TEN]})
    parquet.write_table(table, tmp_path / "clicks.parquet")
    clicks, rejects = log_files.read(tmp_path / "clicks.parquet")
    assert clicks == [("1", "7", TEN, "click")]
    assert [reason for _, reason, _ in rejects] == ["missing_item_id"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", b'{"session_id": 1,\n"item_id": 2}\n', "row 1 is no JSON object"),
        ("a.json", b'[{"session_id": 1}]\n', "is one JSON array: expected JSON lines"),
        ("a.jsonl", b'{"session_id": 1, "item": 2, "timestamp": 3}\n', "column item_id is missing (nearest: item)"),
        ("a.parquet", b"PAR1 and nothing more", "is damaged or no Parquet file"),
    ],
)
def test_damaged_json_or_parquet_is_one_sentence(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    with pytest.raises(DataError) as caught:
        log_files.read(log_files.write(tmp_path / name, content))
    assert said in str(caught.value)


def test_log_of_users_alone(tmp_path: Path) -> None:
    path = log_files.write(tmp_path / "clicks.csv", ["user_id,item_id,timestamp,event_type", f"u,i,{TEN},cart"])
    assert _reader(path).of_users
    assert log_files.read(path) == ([("u", "i", TEN, "cart")], [])


def test_column_map_reads_any_log(tmp_path: Path) -> None:
    path = log_files.write(tmp_path / "visits.csv", ["When;Visit;SKU;Action", "2014-04-07T10:51:09.277Z;v;s;buy"])
    columns = ("session_id=visit", "item_id=SKU", "timestamp=When", "event_type=action")
    assert log_files.read(path, columns=columns) == ([("v", "s", TEN, "buy")], [])
    assert log_files.read(path, columns=columns[:3]) == ([("v", "s", TEN, "click")], [])
    assert _reader(path, columns=("user_id=visit", "item_id=sku", "timestamp=when")).of_users
    with pytest.raises(DataError, match="column session is missing"):
        log_files.read(path, columns=("session_id=session", "item_id=sku", "timestamp=when"))


@pytest.mark.parametrize(
    "data",
    [
        {"format": "columns"},
        {"columns": ("session_id=a", "item_id=b")},
        {"columns": ("session_id=a", "user_id=u", "item_id=b", "timestamp=c")},
        {"columns": ("session_id=a", "item_id=b", "timestamp=c", "price=d")},
        {"columns": ("session_id=a", "item_id=b", "timestamp=")},
        {"columns": ("session_id=a", "item_id=b", "timestamp=c", "timestamp=d")},
    ],
)
def test_wrong_column_map_is_a_wrong_configuration(data: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"data\.columns must name session_id"):
        config.Config(data=DataConfig(**data))


def test_every_reader_is_a_format_that_the_configuration_knows() -> None:
    choices = config.settings()["data.format"].choices
    assert choices is not None
    assert set(choices) == {"auto", "columns", *readers.READERS}


def test_no_reader_takes_a_log_from_another() -> None:
    for name, reader in readers.READERS.items():
        columns = [*reader.required, *reader.optional]
        assert next(other for other, found in readers.READERS.items() if found.fits(columns)) == name or reader.header
