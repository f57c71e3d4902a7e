"""If these failed, clicks would be lost, changed or invented on their way from a file."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path

import log_files
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextclick.components import inputs, lines, readers
from nextclick.pipeline.config import DataConfig
from nextclick.pipeline.errors import DataError

SECOND = 1_396_437_466
MS = SECOND * 1000


def test_one_click_a_row(tmp_path: Path) -> None:
    path = log_files.write(
        tmp_path / "clicks.csv", ["session_id,item_id,timestamp", f"3,214,{SECOND}.94", f"4,9,{SECOND}"]
    )
    assert log_files.read(path) == ([("3", "214", MS + 940, "click"), ("4", "9", MS, "click")], [])


def test_columns_in_any_order_and_case_with_others_between(tmp_path: Path) -> None:
    path = log_files.write(
        tmp_path / "clicks.csv",
        ["price,Event_Type,timestamp,country,ITEM_ID, session_id", f"9.5,cart,{SECOND},é,i,s", f",,{SECOND},,j,s"],
    )
    assert log_files.read(path) == ([("s", "i", MS, "cart"), ("s", "j", MS, "click")], [])


@pytest.mark.parametrize(("name", "mark"), [("a.tsv", "\t"), ("a.csv", ";"), ("a.txt", "|"), ("a.csv.gz", ",")])
def test_delimiter_is_found_in_the_header(tmp_path: Path, name: str, mark: str) -> None:
    path = log_files.write(
        tmp_path / name, [mark.join(("session_id", "item_id", "timestamp")), mark.join(("s", "i", str(SECOND)))]
    )
    assert log_files.read(path) == ([("s", "i", MS, "click")], [])


def test_ids_stay_as_they_are(tmp_path: Path) -> None:
    ids = [
        "A-1",
        "a-1",
        "A 1",
        " A1",
        "007",
        "7.0",
        "é",
        "日本",
        "a,b",
        'say "hi"',
        "null",
        "NaN",
        "-",
        "'",
        "5'",
        "#1",
    ]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["session_id", "item_id", "timestamp"])
    writer.writerows([[f"s{item}", item, SECOND] for item in ids])
    clicks, rejects = log_files.read(log_files.write(tmp_path / "clicks.csv", buffer.getvalue()))
    assert clicks == [(f"s{item}", item, MS, "click") for item in ids]
    assert rejects == []


@pytest.mark.parametrize("quoting", [csv.QUOTE_ALL, csv.QUOTE_MINIMAL])
@settings(deadline=None)
@given(
    rows=st.lists(
        st.tuples(*(st.text(st.characters(exclude_characters="\r\n\0", codec="utf-8"), min_size=1, max_size=9),) * 2)
    )
)
def test_whatever_csv_writes_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, quoting: int, rows: list[tuple[str, str]]
) -> None:
    buffer = io.StringIO()
    writer = csv.writer(buffer, quoting=quoting, lineterminator="\n")  # type: ignore[call-overload]
    writer.writerow(["session_id", "item_id", "timestamp"])
    writer.writerows([[session, item, SECOND] for session, item in rows])
    path = log_files.write(tmp_path_factory.mktemp("csv") / "clicks.csv", buffer.getvalue())
    assert log_files.read(path) == ([(session, item, MS, "click") for session, item in rows], [])


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("s,i", "wrong_column_count"),
        (f"s,i,{SECOND},x", "wrong_column_count"),
        ("   ", "wrong_column_count"),
        (f",i,{SECOND}", "missing_session_id"),
        (f"s,,{SECOND}", "missing_item_id"),
        (",,", "missing_session_id"),
        (f"s,{'i' * 257},{SECOND}", "item_id_too_long"),
        ("s,i,", "bad_timestamp"),
        ("s,i,soon", "bad_timestamp"),
        ("s,i,nan", "bad_timestamp"),
        ("s,i,inf", "bad_timestamp"),
        ("s,i,2014-13-01", "bad_timestamp"),
        ("s,i,-1", "timestamp_out_of_range"),
        ("s,i,2100-01-01", "timestamp_out_of_range"),
        (f"s,i,{SECOND}000000", "timestamp_out_of_range"),
        (f's,"i,{SECOND}', "unbalanced_quotes"),
        (f'"s"x,i,{SECOND}', "unbalanced_quotes"),
        (f"s,i\0,{SECOND}", "nul_byte"),
        (f"s\rt,i,{SECOND}", "carriage_return"),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_wrong_row_is_rejected_alone(tmp_path: Path, line: str, reason: str, end: str) -> None:
    rows = ["session_id,item_id,timestamp", f"a,1,{SECOND}", line, f"b,2,{SECOND}", f'"c",3,{SECOND}']
    clicks, rejects = log_files.read(log_files.write(tmp_path / "clicks.csv", end.join(rows) + end))
    assert [click[:2] for click in clicks] == [("a", "1"), ("b", "2"), ("c", "3")]
    assert rejects == [(3, reason, line[:1000])]


def test_longest_item_id_is_accepted(tmp_path: Path) -> None:
    path = log_files.write(tmp_path / "clicks.csv", [log_files.HEADER, f"s,{'é' * 128},{SECOND}"])
    assert log_files.read(path)[1] == []


def test_bytes_that_are_not_utf8_are_rejected_with_what_can_be_shown_of_them(tmp_path: Path) -> None:
    data = f"session_id,item_id,timestamp\ns,caf\xe9,{SECOND}\ns,ok,{SECOND}\n".encode("latin-1")
    clicks, rejects = log_files.read(log_files.write(tmp_path / "clicks.csv", data))
    assert [click[1] for click in clicks] == ["ok"]
    assert rejects == [(2, "not_utf8", f"s,caf\\xe9,{SECOND}")]


def test_blank_lines_are_no_rows_but_count_as_lines(tmp_path: Path) -> None:
    content = f"session_id,item_id,timestamp\n\ns,i,{SECOND}\n\n\nwrong\n\ns,j,{SECOND}"
    clicks, rejects = log_files.read(log_files.write(tmp_path / "clicks.csv", content))
    assert [click[1] for click in clicks] == ["i", "j"]
    assert rejects == [(6, "wrong_column_count", "wrong")]


def test_last_row_needs_no_line_end_and_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    path = log_files.write(tmp_path / "clicks.csv", f"\ufeffsession_id,item_id,timestamp\r\ns,i,{SECOND}\r")
    assert log_files.read(path) == ([("s", "i", MS, "click")], [])


def test_overlong_line_is_rejected_and_the_rows_around_it_are_kept(tmp_path: Path) -> None:
    longest = lines.MAX_LINE_BYTES
    rows = [log_files.HEADER, f"a,1,{SECOND}", "x" * 3 * inputs.CHUNK_BYTES, f"b,{'x' * longest},1", f"c,3,{SECOND}"]
    clicks, rejects = log_files.read(log_files.write(tmp_path / "clicks.csv", rows))
    assert [click[0] for click in clicks] == ["a", "c"]
    assert [(row, reason, len(text)) for row, reason, text in rejects] == [
        (3, "line_too_long", 1000),
        (4, "line_too_long", 1000),
    ]


def test_rows_keep_number_and_order_over_many_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "CHUNK_BYTES", 64)
    monkeypatch.setattr(inputs, "_HEAD_BYTES", 32)
    rows = [f"s,{row},{SECOND}" if row % 7 else "wrong" for row in range(2, 500)]
    for name in ("clicks.csv", "clicks.csv.gz"):
        clicks, rejects = log_files.read(log_files.write(tmp_path / name, [log_files.HEADER, *rows]))
        assert [int(item) for _, item, _, _ in clicks] == [row for row in range(2, 500) if row % 7]
        assert [row for row, _, _ in rejects] == [row for row in range(2, 500) if row % 7 == 0]


def test_truncated_gzip_gives_what_was_readable(tmp_path: Path) -> None:
    rows = [f"s{row},{row * 7919 % 1000},{SECOND + row * row}" for row in range(5000)]
    whole = gzip.compress("\n".join([log_files.HEADER, *rows]).encode())
    clicks, rejects = log_files.read(log_files.write(tmp_path / "clicks.bin", whole[: len(whole) // 2]))
    assert 1000 < len(clicks) < 4000
    assert [click[0] for click in clicks] == [f"s{row}" for row in range(len(clicks))]
    ((row, reason, text),) = rejects
    assert (row, reason) == (len(clicks) + 2, "truncated_file")
    assert rows[len(clicks)].startswith(text)


def test_damaged_gzip_gives_what_was_readable(tmp_path: Path) -> None:
    good = gzip.compress(f"session_id,item_id,timestamp\ns,i,{SECOND}\n".encode())
    path = log_files.write(tmp_path / "clicks.bin", good + b"not gzip any more")
    assert log_files.read(path) == ([("s", "i", MS, "click")], [(3, "truncated_file", "")])


def test_gzip_of_several_members_and_under_another_name(tmp_path: Path) -> None:
    parts = [f"session_id,item_id,timestamp\ns,i,{SECOND}\n", f"s,j,{SECOND}\n"]
    data = b"".join(gzip.compress(part.encode()) for part in parts) + b"\0" * 512
    clicks, rejects = log_files.read(log_files.write(tmp_path / "clicks.csv", data))
    assert ([click[1] for click in clicks], rejects) == (["i", "j"], [])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "clicks.csv is empty"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "clicks.csv, row 1 is not UTF-8 text"),
        (b"PK\x03\x04 and so on", "clicks.csv is a zip archive"),
        ("session_id,item_id,timestamp\n".encode("utf-16"), "clicks.csv is UTF-16 text"),
        (
            b"session_id,item_id,time_stamp\n1,2,3\n",
            "column timestamp is missing (nearest: time_stamp); found session_id, item_id, time_stamp",
        ),
        (b"1,2,1396437466\n", "row 1: column session_id is missing"),
        (b"\n1,2,1396437466\n", "found nothing"),
        (b"session_id,item_id,timestamp,item_id\n", "has the column item_id more than once"),
        (b"event_time,event_type,product_id,usersession\n", "column user_session is missing (nearest: usersession)"),
        (b"x" * (lines.MAX_LINE_BYTES + 2) + b"\n", "row 1 is longer than"),
        (gzip.compress(b"session_id,item_id,timestamp\n" * 9)[:14], "is damaged"),
    ],
)
def test_a_file_that_is_no_log_is_one_clear_sentence(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "clicks.csv"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        log_files.read(path)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_text_called_gz_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "clicks.csv.gz"
    path.write_bytes(b"session_id,item_id,timestamp\n")
    with pytest.raises(DataError, match=r"is called \.gz but is not gzip"):
        log_files.read(path)


def test_named_format_is_not_guessed(tmp_path: Path) -> None:
    path = log_files.write(tmp_path / "clicks.csv", ["visit_date,product_sequence", "2020-01-01,1 2"])
    with pytest.raises(DataError, match="column session_id is missing"):
        log_files.read(path, format="plain")


@pytest.mark.parametrize(
    ("sequence", "items"),
    [
        ("a b  c", ["a", "b", "c"]),
        (" a ", ["a"]),
        ("a|b c|d", ["a", "b c", "d"]),
        ('"a, b,c"', ["a", "b", "c"]),
        ('"[""a"", ""b,c"", 7]"', ["a", "b,c", "7"]),
        ("\"['a', 'é']\"", ["a", "é"]),
        ('"[a, b]"', ["a", "b"]),
        ('"(1, 2)"', ["1", "2"]),
        ("[7]", ["7"]),
    ],
)
def test_one_session_a_row(tmp_path: Path, sequence: str, items: list[str]) -> None:
    path = log_files.write(tmp_path / "week1.csv", ["visit_date,product_sequence", f"2020-01-01,{sequence}"])
    day = 1_577_836_800_000
    assert log_files.read(path) == ([("week1.csv:2", item, day + n, "click") for n, item in enumerate(items)], [])


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("2020-01-01,", "missing_item_id"),
        ("2020-01-01,[]", "missing_item_id"),
        ("2020-01-01,a||b", "missing_item_id"),
        (",a", "bad_timestamp"),
    ],
)
def test_wrong_session_row_is_rejected_once_a_wrong_click(tmp_path: Path, line: str, reason: str) -> None:
    path = log_files.write(tmp_path / "week1.csv", ["visit_date,product_sequence", "2020-01-01,x y", line])
    clicks, rejects = log_files.read(path)
    assert [click[1] for click in clicks][:2] == ["x", "y"]
    assert rejects == [(3, reason, line)]


def test_rows_of_several_weeks_are_different_sessions(tmp_path: Path) -> None:
    for week in ("2020/w1.csv", "2021/w1.csv"):
        log_files.write(tmp_path / week, ["visit_date,product_sequence", "2020-01-01,x y"])
    found = []
    for file in inputs.expand_inputs([str(tmp_path)]):
        for clicks in readers.read_clicks(readers.open_log(file, DataConfig())):
            found += clicks.batch.column("session_id").to_pylist()
    assert found == [b"2020/w1.csv:2", b"2020/w1.csv:2", b"2021/w1.csv:2", b"2021/w1.csv:2"]


@pytest.mark.parametrize("first", ["wrong", f"s,i,{SECOND}"])
def test_block_without_a_single_good_row(tmp_path: Path, first: str) -> None:
    path = log_files.write(tmp_path / "clicks.csv", [log_files.HEADER, first, "wrong", "wrong too"])
    clicks, rejects = log_files.read(path)
    assert len(clicks) == (first != "wrong")
    assert [row for row, _, _ in rejects] == [2, 3, 4][len(clicks) :]
