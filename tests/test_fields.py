"""If these failed, what a log keeps within objects (device, country, consent) would be lost or mixed up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import log_files
import pyarrow as pa
import pytest
from pyarrow import parquet

from nextclick.components import inputs, readers
from nextclick.pipeline.config import Config, DataConfig, replace
from nextclick.pipeline.errors import ConfigError, DataError

ROWS: tuple[dict[str, Any], ...] = (
    {"device": {"category": "mobile", "web_info": {"browser": "Firefox"}}, "geo": {"country": "FR"}},
    {"device": {"category": "desktop", "web_info": None}, "geo": {"country": None}},
    {"device": {"web_info": {"browser": "Chrome"}}},
    {"device": None, "geo": {"country": "DE"}},
)
NAMES = ("device.category", "device.web_info.browser", "geo.country")
EXPECTED = {
    "attribute_device_category": ["mobile", "desktop", "", ""],
    "attribute_device_web_info_browser": ["Firefox", "", "Chrome", ""],
    "attribute_geo_country": ["FR", "", "", "DE"],
}


def _events(*others: dict[str, Any]) -> list[dict[str, Any]]:
    """A click each in the form that Google Analytics 4 has in BigQuery."""
    return [
        {
            "event_timestamp": 1_396_864_869_277_000,
            "event_name": "view_item",
            "event_params": [{"key": "ga_session_id", "value": {"int_value": str(number)}}],
            "user_pseudo_id": "u",
            "items": [{"item_id": "a"}],
            **other,
        }
        for number, other in enumerate(others)
    ]


def _json(path: Path, *others: dict[str, Any]) -> Path:
    return log_files.write(path, [json.dumps(event) for event in _events(*others)])


def _read(path: Path, **data: Any) -> dict[str, list[Any]]:
    (file,) = inputs.expand_inputs([str(path)])
    (found,) = readers.read_clicks(readers.open_log(file, DataConfig(**data)))
    assert found.rejects == ()
    return found.batch.to_pydict()


def _attributes(path: Path, *names: str) -> dict[str, list[str]]:
    columns = _read(path, attributes=names)
    return {name: [text.decode() for text in columns[name]] for name in columns if name.startswith("attribute_")}


def test_values_within_objects_of_json_lines(tmp_path: Path) -> None:
    assert _attributes(_json(tmp_path / "events.jsonl", *ROWS), *NAMES) == EXPECTED


def test_values_within_objects_of_parquet(tmp_path: Path) -> None:
    web = pa.struct([("browser", pa.string())])
    device = pa.struct([("web_info", web), ("category", pa.string()), ("language", pa.string())])
    geo = pa.struct([("country", pa.string())])
    value = pa.struct([("int_value", pa.string()), ("string_value", pa.string())])
    types = {
        "event_timestamp": pa.int64(), "event_name": pa.string(), "user_pseudo_id": pa.string(),
        "event_params": pa.list_(pa.struct([("key", pa.string()), ("value", value)])),
        "items": pa.list_(pa.struct([("item_id", pa.string())])), "device": device, "geo": geo,
    }  # fmt: skip
    parquet.write_table(pa.Table.from_pylist(_events(*ROWS), pa.schema(types)), tmp_path / "events.parquet")
    assert _attributes(tmp_path / "events.parquet", *NAMES) == EXPECTED


def test_numbers_and_truths_within_objects_are_texts(tmp_path: Path) -> None:
    path = _json(tmp_path / "events.jsonl", {"app": {"version": 7, "beta": True}}, {"app": {"version": "8"}})
    found = _attributes(path, "app.version", "app.beta")
    assert found == {"attribute_app_version": ["7", "8"], "attribute_app_beta": ["true", ""]}


def test_consent_within_an_object(tmp_path: Path) -> None:
    said = ({"privacy_info": {"analytics_storage": text}} for text in ("Yes", "No", "yes"))
    found = _read(_json(tmp_path / "events.jsonl", *said), consent="privacy_info.analytics_storage=Yes")
    assert found["consent"] == [True, False, True]


def test_column_that_is_called_so_goes_before_a_path(tmp_path: Path) -> None:
    rows = ["session_id,item_id,timestamp,device.category", "s,a,1396864869,tablet"]
    path = log_files.write(tmp_path / "clicks.csv", rows)
    assert _attributes(path, "device.category") == {"attribute_device_category": ["tablet"]}


@pytest.mark.parametrize("name", ["device.brand", "device.category.x", "items.item_id", "user.id"])
def test_path_that_leads_nowhere_is_named(tmp_path: Path, name: str) -> None:
    path = _json(tmp_path / "events.jsonl", *ROWS)
    with pytest.raises(DataError, match=f"events.jsonl, row 1: column {name} of data.attributes is missing; found"):
        _read(path, attributes=(name,))


def test_path_into_a_text_of_a_delimited_file_is_named(tmp_path: Path) -> None:
    path = log_files.write(tmp_path / "clicks.csv", [f"{log_files.HEADER},device", "s,a,1396864869,{}"])
    with pytest.raises(DataError, match=r"column device.category of data.attributes is missing"):
        _read(path, attributes=("device.category",))


def test_names_that_would_be_one_feature_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"data.attributes must name each once"):
        replace(Config(), {"data.attributes": ("device.category", "device_category")})


def test_nested_attribute_is_a_side_feature_by_its_feature_name() -> None:
    names = {"data.attributes": ("device.category",), "features.side_features": ("attribute_device_category",)}
    assert replace(Config(), names).features.side_features == ("attribute_device_category",)
