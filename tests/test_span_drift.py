"""If these failed, a week that is unlike the weeks before would train and push a model without a word."""

from __future__ import annotations

import json
from pathlib import Path

import log_files
import numpy as np
import pyarrow as pa
import pytest
from example_gen_parts import execute
from hypothesis import given
from hypothesis import strategies as st

from nextclick.components import data_drift, rows, sessions, sharding, span_drift

DAY_S, START_S = 86_400, 1_709_510_400
LENGTH, POPULARITY, EVENT_TYPE, ITEMS = data_drift.SPAN_DRIFTS


def _clicks(*events: tuple[str, str, str]) -> sessions.Sessions:
    """Sessions of (session, item, type), a second apart."""
    names, items, types = zip(*events, strict=True)
    columns = {
        rows.SESSION_ID: names,
        rows.ITEM_ID: items,
        rows.TIME_MS: range(0, 1000 * len(events), 1000),
        rows.EVENT_TYPE: types,
        rows.CONSENT: [True] * len(events),
    }
    return sessions.group([pa.RecordBatch.from_pydict(columns, schema=rows.CLICKS)])


def _compared(*counts: bytes) -> data_drift.Drift:
    return span_drift.compare(pa.Table.from_batches([sharding.from_bytes(span_drift.add(counts))]))


EVENTS = (
    ("s", "a", "view"), ("s", "a", "view"), ("t", "b", "view"), ("t", "c", "cart"),
    ("u", "a", "view"), ("u", "n", "cart"), ("u", "b", "cart"),
)  # fmt: skip
SPANS = np.array([1, 1, 2, 2, 4, 4, 4])


def test_newest_span_is_compared_with_all_before_together() -> None:
    found = _compared(span_drift.count([_clicks(*EVENTS)], SPANS))
    # Two sessions of 2 against one of 3; types view 3/4, cart 1/4 against 1/3, 2/3; items a 1/2, b 1/4, c 1/4 against
    # a 1/3, b 1/3, unknown 1/3.
    assert found.figures[LENGTH] == pytest.approx(1)
    assert found.figures[EVENT_TYPE] == pytest.approx(2 / 3 - 1 / 4)
    assert found.figures[ITEMS] == pytest.approx(1 / 3)
    tables = {table["figure"]: table for table in found.tables}
    assert tables[LENGTH]["names"] == ["spans 1 to 2", "span 4"]
    assert tables[EVENT_TYPE]["bins"] == ["view", "cart", "other"]
    assert tables[EVENT_TYPE]["train"] == [0.75, 0.25, 0]
    # By clicks before: a is the head (2 of 4), b begins at half, c at three quarters of the clicks.
    assert tables[POPULARITY]["train"] == [0.5, 0.25, 0.25, 0]
    assert tables[POPULARITY]["test"] == pytest.approx([1 / 3, 1 / 3, 0, 1 / 3])


@given(st.lists(st.booleans(), min_size=7, max_size=7))
def test_shards_add_up_to_the_whole(mask: list[bool]) -> None:
    whole = _clicks(*EVENTS)
    first = np.array([mask[ord(name.as_py()) - ord("s")] for name in whole.ids])
    parts = [span_drift.count([whole.keep_sessions(some)], SPANS) for some in (first, ~first)]
    assert _compared(*parts) == _compared(span_drift.count([whole], SPANS))


def test_only_span_is_compared_with_nothing() -> None:
    found = _compared(span_drift.count([_clicks(*EVENTS)], np.full(7, 3)))
    assert dict(found.figures) == dict.fromkeys(data_drift.SPAN_DRIFTS, 0.0)
    assert found.tables == ()


def test_clicks_of_files_without_a_span_are_left_out() -> None:
    spans = np.where(np.arange(7) < 2, span_drift.NO_SPAN, SPANS)
    found = _compared(span_drift.count([_clicks(*EVENTS)], spans))
    assert found.tables[0]["names"] == ["span 2", "span 4"]


def test_nothing_kept_is_no_drift() -> None:
    nothing = _clicks(*EVENTS).keep_sessions(np.zeros(3, bool))
    assert _compared(span_drift.count([nothing], SPANS), span_drift.count([], SPANS)).tables == ()


def test_missing_file_means_a_log_without_spans(tmp_path: Path) -> None:
    assert span_drift.read(str(tmp_path / span_drift.FILE)) == data_drift.Drift()


def _weeks(folder: Path, last_type: str) -> str:
    """Three files of a day each with sessions of two clicks; one session runs on into the next file."""
    for span in range(3):
        kind = last_type if span == 2 else "view"
        lines = ["session_id,item_id,timestamp,event_type"]
        for session in range(6):
            at = START_S + span * DAY_S + session * 600
            lines += [f"{span}-{session},{item},{at + i},{kind}" for i, item in enumerate("ab")]
        if span:
            lines.append(f"{span - 1}-5,c,{START_S + span * DAY_S},{kind}")
        log_files.write(folder / f"week-{span}.csv", lines)
    return f"{folder}/week-{{SPAN}}.csv"


def test_example_gen_compares_the_spans_that_it_reads(tmp_path: Path) -> None:
    path = _weeks(tmp_path, "cart")
    execute(tmp_path / "out", paths=(path,), validation_days=1, test_days=1, shards=3)
    found = span_drift.read(str(tmp_path / "out" / span_drift.FILE))
    # The clicks that run on are cut off with the end of their split: 12 a span.
    assert found.figures == {LENGTH: 0.0, POPULARITY: 0.0, EVENT_TYPE: 1.0, ITEMS: 0.0}
    assert found.tables[0]["names"] == ["spans 0 to 1", "span 2"]
    assert json.loads((tmp_path / "out" / "counts.json").read_text())["warnings"] == []


def test_one_span_alone_is_said(tmp_path: Path) -> None:
    path = _weeks(tmp_path, "view")
    found = execute(tmp_path / "out", paths=(path,), spans=1, validation_days=0.01, test_days=0.01)
    (warning,) = found.counts["warnings"]
    assert warning == "span 2 is the only one that is read, so that drift between spans cannot be seen"
