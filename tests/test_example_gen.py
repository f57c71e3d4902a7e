"""If these failed, a run would lose clicks without saying so, leak the future into training, or die on a bad file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import apache_beam as beam
import log_files
import pytest
from example_gen_parts import Result, Session, execute, read_dead_letter, read_split
from hypothesis import given, settings
from hypothesis import strategies as st

from nextclick.components import counts, example_gen, ingest, inputs, span_drift
from nextclick.pipeline import config
from nextclick.pipeline.errors import DataError

DAY = 86_400
START = 1_709_510_400  # Monday, 4 March 2024, 00:00 UTC; seconds


def _log(path: Path, *clicks: tuple[str, str, float]) -> Path:
    """A plain log of (session, item, day since START)."""
    rows = [f"{session},{item},{START + round(day * DAY)}" for session, item, day in clicks]
    return log_files.write(path, [log_files.HEADER, *rows])


def _session(name: str, items: str, *days: float) -> Session:
    times = tuple((START + round(day * DAY)) * 1000 for day in days)
    return Session(name, tuple(items), times, ("click",) * len(items))


# Four days, so that the last two are the validation and the test split; the clicks of a session are hours apart.
CLICKS = (
    ("early", "a", 0.0), ("early", "b", 0.1),
    ("single", "a", 1.0),
    ("across", "c", 1.9), ("across", "d", 1.95), ("across", "e", 2.0), ("across", "f", 2.1),
    ("cut", "c", 1.99), ("cut", "c", 2.01),
    ("second", "b", 2.0), ("second", "a", 2.9), ("second", "z", 3.1),
    ("third", "z", 3.0), ("third", "a", 3.5),
    ("last", "q", 3.9), ("last", "a", 3.999),
)  # fmt: skip


ONE_DAY_EACH = {"validation_days": 1, "test_days": 1}


def _adds_up(counts: dict[str, Any]) -> bool:
    rows = sum(sum(counts[name].values()) for name in ("rows_rejected", "events_dropped", "events"))
    sessions = sum(sum(counts[name].values()) for name in ("sessions_dropped", "sessions"))
    return (rows, sessions) == (counts["rows_read"], counts["sessions_read"])


def test_log_becomes_three_splits_and_nothing_is_lost(tmp_path: Path) -> None:
    path = _log(tmp_path / "clicks.csv", *CLICKS)
    found = execute(tmp_path / "out", paths=(str(path),), **ONE_DAY_EACH)
    assert found.splits == {
        "train": [_session("early", "ab", 0.0, 0.1), _session("across", "cd", 1.9, 1.95)],
        "validation": [_session("second", "ba", 2.0, 2.9)],
        "test": [_session("third", "za", 3.0, 3.5), _session("last", "qa", 3.9, 3.999)],
    }
    assert found.counts == {
        "rows_read": 16,
        "rows_rejected": {},
        "events_dropped": {"after_split_end": 4, "too_short": 2},
        "sessions_read": 7,
        "sessions_dropped": {"too_short": 2},
        "sessions": {"train": 2, "validation": 1, "test": 2},
        "events": {"train": 4, "validation": 2, "test": 4},
        "items": 4,
        "time_range_ms": {
            "train": [START * 1000, (START + round(1.95 * DAY)) * 1000],
            "validation": [(START + 2 * DAY) * 1000, (START + round(2.9 * DAY)) * 1000],
            "test": [(START + 3 * DAY) * 1000, (START + round(3.999 * DAY)) * 1000],
        },
        "warnings": [],
    }
    assert found.dead_letter == []


def test_artifact_says_what_it_holds(tmp_path: Path) -> None:
    path = _log(tmp_path / "clicks.csv", *CLICKS)
    found = execute(tmp_path / "out", paths=(str(path),), **ONE_DAY_EACH)
    assert found.examples.splits == ["train", "validation", "test"]
    effective = config.replace(config.Config(), {"data.paths": (str(path),)})
    fingerprint = example_gen.input_fingerprint(effective)
    assert found.examples.get_string_custom_property("input_fingerprint") == fingerprint
    assert sorted(entry.name for entry in (tmp_path / "out").iterdir()) == [
        "Split-test", "Split-train", "Split-validation", "counts.json", "dead_letter",
    ]  # fmt: skip


def test_explicit_test_log_is_taken_as_it_is(tmp_path: Path) -> None:
    path = _log(tmp_path / "clicks.csv", *CLICKS)
    late = [("early", str(n), 5 + n / 100) for n in range(30)]
    pair = (("pair", "x", 4.5), ("pair", "x", 4.6))
    test = _log(tmp_path / "test.csv", ("early", "x", 4.5), *pair, ("alone", "a", 4.7), *late)
    found = execute(
        tmp_path / "out", paths=(str(path),), test_path=str(test),
        validation_days=1, max_session_length=3, drop_single_item_sessions=True,
    )  # fmt: skip
    assert [(session.id, len(session.items)) for session in found.splits["test"]] == [("early", 31), ("pair", 2)]
    assert [(session.id, len(session.items)) for session in found.splits["train"]] == [
        ("early", 2), ("across", 3), ("second", 2),
    ]  # fmt: skip
    assert [session.id for session in found.splits["validation"]] == ["third", "last"]
    assert found.counts["warnings"] == []
    assert _adds_up(found.counts)


def test_test_log_that_overlaps_the_training_clicks_is_said(tmp_path: Path) -> None:
    path = _log(tmp_path / "clicks.csv", *CLICKS)
    test = _log(tmp_path / "test.csv", ("t", "a", 2.1), ("t", "b", 2.2))
    found = execute(tmp_path / "out", paths=(str(path),), test_path=str(test), validation_days=1)
    (warning,) = found.counts["warnings"]
    # Training has early (2 clicks), across (4, the last at 2.1), cut (2) and second (2, the last at 2.9).
    assert warning.startswith("2 of 10 training events are not earlier than the first click of the test log")


def test_filters_are_counted_by_reason(tmp_path: Path) -> None:
    rows = [
        *(f"long,{n},{START + n},view" for n in range(9)),
        *(f"same,a,{START + n},view" for n in range(3)),
        *(f"pair,{n},{START + n},view" for n in range(2)),
        f"pair,gone,{START},wishlist",
        f"wish,gone,{START},wishlist",
        *(f"v,{n},{START + 2 * DAY + n},view" for n in range(3)),
        *(f"t,{n},{START + 3 * DAY + n},cart" for n in range(3)),
    ]
    path = log_files.write(tmp_path / "clicks.csv", [f"{log_files.HEADER},event_type", *rows])
    found = execute(
        tmp_path / "out", paths=(str(path),), event_types=("view", "cart"), validation_days=1, test_days=1,
        min_session_length=3, max_session_length=4, drop_single_item_sessions=True,
    )  # fmt: skip
    assert found.splits["train"] == [
        Session("long", ("0", "1", "2", "3"), tuple((START + n) * 1000 for n in range(4)), ("view",) * 4)
    ]
    assert found.splits["test"][0].types == ("cart",) * 3
    assert found.counts["events_dropped"] == {
        "over_max_length": 5, "single_item": 3, "too_short": 2, "unwanted_event_type": 2,
    }  # fmt: skip
    assert found.counts["sessions_dropped"] == {"single_item": 1, "too_short": 1}
    assert _adds_up(found.counts)


def test_duplicates_and_sessions_without_consent_are_dropped(tmp_path: Path) -> None:
    rows = [f"{session},{item},{START + round(day * DAY)},YES" for session, item, day in CLICKS]
    rows += [rows[0], rows[0], f"early,z,{START},yes", f"said no,a,{START},yes", f"said no,b,{START},no"]
    path = log_files.write(tmp_path / "clicks.csv", [f"{log_files.HEADER},Consent", *rows])
    found = _ingest_without_beam(
        tmp_path / "out", paths=(str(path),), shards=2, consent="consent=yes", drop_duplicates=True, **ONE_DAY_EACH
    )
    assert found.splits["train"][0] == _session("early", "azb", 0.0, 0.0, 0.1)
    assert found.counts["events_dropped"]["duplicate"] == 2
    assert found.counts["events_dropped"]["no_consent"] == 2
    assert found.counts["sessions_dropped"] == {"no_consent": 1, "too_short": 2}
    assert _adds_up(found.counts)


def test_consent_column_must_be_there(tmp_path: Path) -> None:
    path = _log(tmp_path / "clicks.csv", *CLICKS)
    with pytest.raises(DataError, match=r"column consent of data\.consent is missing"):
        _ingest_without_beam(tmp_path / "out", paths=(str(path),), shards=1, consent="consent=yes")


def test_users_are_cut_into_sessions_and_may_be_in_several_splits(tmp_path: Path) -> None:
    rows = [f"u,{day}{item},{START + day * DAY + 60 * place}" for day in range(4) for place, item in enumerate("abc")]
    path = log_files.write(tmp_path / "clicks.csv", ["user_id,item_id,timestamp", *rows])
    found = execute(tmp_path / "out", paths=(str(path),), **ONE_DAY_EACH)
    assert [session.id for session in found.splits["train"]] == [f"u@{START * 1000}", f"u@{(START + DAY) * 1000}"]
    assert found.splits["test"][0].items == ("3a", "3b", "3c")


def _bots(folder: Path, **data: Any) -> Result:
    """Thousand visitors of ten clicks in nine minutes on the first day, and a few others."""
    normal = [(f"{n}", f"{place}", (n % 400) / 1000 + place / 1440) for n in range(1000) for place in range(10)]
    others = [
        *(("long", f"{place}", place / 1440) for place in range(31)),
        *(("thirty", f"{place}", place / 1440) for place in range(30)),
        *(("fast", f"{place}", place / 4 / 1440) for place in range(10)),
        *(("quick", f"{place}", place / 86400) for place in range(3)),
        *(("late", f"{place}", 1.0 + place / 4 / 1440) for place in range(10)),
        *(("middle", f"{place}", 1.2 + place / 1440) for place in range(3)),
        *(("last", f"{place}", 2.5 + place / 1440) for place in range(3)),
    ]
    path = _log(folder / "clicks.csv", *normal, *others)
    return execute(folder / "out", paths=(str(path),), shards=2, **ONE_DAY_EACH, **data)


def test_bots_are_told_by_what_training_sessions_are_like(tmp_path: Path) -> None:
    found = _bots(tmp_path, bot_limit=3)
    kept = {session.id for sessions in found.splits.values() for session in sessions}
    assert {"long", "fast", "late"}.isdisjoint(kept)
    assert {"thirty", "quick", "middle", "last"} <= kept
    assert found.counts["sessions_dropped"] == {"bot_too_fast": 2, "bot_too_long": 1}
    assert found.counts["events_dropped"] == {"bot_too_fast": 20, "bot_too_long": 31}


def test_without_a_limit_nobody_is_a_bot(tmp_path: Path) -> None:
    assert _bots(tmp_path).counts["sessions_dropped"] == {}


def test_rejected_rows_are_in_the_dead_letter(tmp_path: Path) -> None:
    clean = _log(tmp_path / "logs/a.csv", *CLICKS)
    bad = log_files.write(tmp_path / "logs/b.csv", [log_files.HEADER, f"s,i,{START}", "s,é,soon", "what"])
    found = execute(tmp_path / "out", paths=(str(tmp_path / "logs"),), max_rejected_share=0.2, **ONE_DAY_EACH)
    assert found.dead_letter == [
        {"file": str(bad), "row": 4, "reason": "wrong_column_count", "text": "what"},
        {"file": str(bad), "row": 3, "reason": "bad_timestamp", "text": "s,é,soon"},
    ]
    assert found.counts["rows_rejected"] == {"bad_timestamp": 1, "wrong_column_count": 1}
    assert _adds_up(found.counts)
    assert clean.exists()


def test_too_many_rejected_rows_stop_the_run_and_stay_to_be_looked_at(tmp_path: Path) -> None:
    path = _log(tmp_path / "clicks.csv", *CLICKS)
    path.write_text(path.read_text() + "wrong\n" * 2 + f"s,,{START}\n")
    kept = tmp_path / "refused"
    log_files.write(kept / "of an earlier run.jsonl", "{}\n")
    with pytest.raises(DataError) as caught:
        execute(tmp_path / "out", paths=(str(path),), max_rejected_share=0, refused_folder=str(kept))
    assert str(caught.value) == (
        "3 of 19 rows (15.79%) were rejected, more than data.max_rejected_share=0 allows: wrong_column_count 2, "
        f"missing_item_id 1; the first is {path}, row 18 (wrong_column_count); the rejected rows are in {kept}"
    )
    assert sorted(entry["row"] for entry in read_dead_letter(kept)) == [18, 19, 20]


def test_share_of_rejected_rows_at_the_limit_is_accepted(tmp_path: Path) -> None:
    path = _log(tmp_path / "clicks.csv", *CLICKS)
    path.write_text(path.read_text() + "wrong\n" * 4)
    assert (
        execute(tmp_path / "out", paths=(str(path),), max_rejected_share=0.2, **ONE_DAY_EACH).counts["rows_read"] == 20
    )


def test_file_with_only_a_header_is_said_beside_others(tmp_path: Path) -> None:
    _log(tmp_path / "logs/a.csv", *CLICKS)
    empty = _log(tmp_path / "logs/b.csv")
    found = execute(tmp_path / "out", paths=(str(tmp_path / "logs"),), **ONE_DAY_EACH)
    assert found.counts["warnings"] == [f"{empty} holds no rows but a header"]


def test_row_numbers_as_times_are_said(tmp_path: Path) -> None:
    rows = [f"{n // 2},{n % 5},{n}" for n in range(70)]
    path = log_files.write(tmp_path / "clicks.csv", [log_files.HEADER, *rows])
    (warning,) = execute(tmp_path / "out", paths=(str(path),)).counts["warnings"]
    assert "row numbers" in warning


def test_a_last_day_of_a_single_click_does_not_end_the_run(tmp_path: Path) -> None:
    """Real logs end so, cut in the middle of the night: a day of nothing would be an empty split."""
    pairs = [(f"s{day}-{n}", item, day + n / 99) for day in range(20) for n in range(9) for item in "ab"]
    path = _log(tmp_path / "clicks.csv", *pairs, ("late", "a", 25.5), ("later", "b", 29.9))
    kept = execute(tmp_path / "out", paths=(str(path),)).counts["sessions"]
    assert kept == {"train": 162, "validation": 9, "test": 9}


@pytest.mark.parametrize(
    ("clicks", "data", "said"),
    [
        ([], {}, "the log holds no rows but a header"),
        ([("a", "x", 0), ("a", "y", 9)], {}, "the log holds one session only"),
        ([("a", "x", 1), ("b", "y", 1)], {}, "all clicks have the same time, 2024-03-05 00:00:00 UTC"),
        (CLICKS, {"validation_days": 3, "test_days": 2}, "the train split is empty: the log runs from 2024-03-04"),
        (CLICKS, {"validation_days": 0.1, "test_days": 1}, "the validation split is empty: the log runs from"),
        (CLICKS, {"validation_days": 1, "test_days": 0.01}, "the test split is empty"),
        (CLICKS, {"event_types": ("buy",)}, "no click of"),
        (CLICKS, {"test_path": "test.csv"}, "the test split is empty: "),
    ],
)  # fmt: skip
def test_log_that_cannot_be_split_is_one_sentence(
    tmp_path: Path, clicks: list[tuple[str, str, float]], data: dict[str, Any], said: str
) -> None:
    path = _log(tmp_path / "clicks.csv", *clicks)
    if "test_path" in data:
        data = {"test_path": str(_log(tmp_path / "test.csv", ("s", "a", 5), ("u", "a", 6)))}
    with pytest.raises(DataError) as caught:
        execute(tmp_path / "out", paths=(str(path),), **data)
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


def test_wrong_file_is_said_before_anything_is_read(tmp_path: Path) -> None:
    _log(tmp_path / "logs/a.csv", *CLICKS)
    wrong = log_files.write(tmp_path / "logs/b.csv", "session,item,time\n")
    with pytest.raises(DataError, match=f"{wrong}, row 1: column session_id is missing"):
        execute(tmp_path / "out", paths=(str(tmp_path / "logs"),))


def test_weekly_files_of_one_session_a_row(tmp_path: Path) -> None:
    for week in range(1, 5):
        rows = [f"2024-03-{7 * week - 6:02d},a{week} b", f"2024-03-{7 * week:02d} 12:00,c d e"]
        log_files.write(tmp_path / f"logs/week{week}.csv", ["visit_date,product_sequence", *rows])
    found = execute(tmp_path / "out", paths=(str(tmp_path / "logs/*.csv"),), validation_days=7, test_days=7)
    assert [session.id for session in found.splits["validation"]] == ["week3.csv:2", "week3.csv:3"]
    assert found.splits["validation"][0].items == ("a3", "b")
    assert found.splits["train"][0].times_ms == (1_709_251_200_000, 1_709_251_200_001)
    assert found.counts["rows_read"] == 20
    assert _adds_up(found.counts)


def _ingest_without_beam(folder: Path, **data: Any) -> Result:
    """What the executor does, with a dictionary in Beam's place: a hundred times faster."""
    effective = config.replace(config.Config(), {f"data.{name}": value for name, value in data.items()}).data
    splits = {split: str(folder / f"Split-{split}") for split in ("train", "validation", "test")}
    names = ("dead_letter", "temporary", "tally.json", "span_drift.json")
    outputs = ingest.Outputs(splits, *(str(folder / name) for name in names))
    clicks, _ = inputs.find_inputs(effective)
    shards: dict[Any, list[Any]] = {}
    tallies, items = [], []
    for number, file in enumerate(clicks):
        for found in ingest.ReadLog(effective, effective.shards, outputs).process(ingest.Task(number, "clicks", file)):
            if isinstance(found, beam.pvalue.TaggedOutput):
                tallies.append(found.value)
            else:
                shards.setdefault(found[0], []).insert(0, found[1])  # in no particular order
    read = counts.merge(tallies)
    write = ingest.WriteSessions(effective, effective.shards, outputs, (span_drift.NO_SPAN,) * len(clicks))
    for element in shards.items():
        for found in write.process(element, read, counts.Tally()):
            (items if isinstance(found, beam.pvalue.TaggedOutput) else tallies).append(found)
    ingest.write_tally(counts.merge(tallies), outputs.tally, ingest.distinct_items([part.value for part in items]))
    tally = counts.from_json(Path(outputs.tally).read_text())
    counts.check(tally, effective)
    dead_letter = read_dead_letter(folder / "dead_letter") if (folder / "dead_letter").exists() else []
    return Result({split: read_split(folder, split) for split in splits}, counts.summary(tally), dead_letter, None)


def test_plain_python_in_beams_place_gives_the_same(tmp_path: Path) -> None:
    _log(tmp_path / "logs/a.csv", *CLICKS[::2])
    _log(tmp_path / "logs/b.csv", *CLICKS[1::2])
    options = {"paths": (str(tmp_path / "logs"),), "shards": 3, **ONE_DAY_EACH}
    with_beam, without = execute(tmp_path / "out", **options), _ingest_without_beam(tmp_path / "plain", **options)
    assert (without.splits, without.counts) == (with_beam.splits, with_beam.counts)


def test_clicks_at_one_time_keep_the_order_of_files_and_rows(tmp_path: Path) -> None:
    others = [click for click in CLICKS if click[0] != "early"]
    _log(tmp_path / "logs/a.csv", *(("early", item, 0.0) for item in "xcb"), *others)
    _log(tmp_path / "logs/b.csv", *(("early", item, 0.0) for item in "axa"))
    for shards in (1, 3):
        folder = tmp_path / f"out{shards}"
        found = _ingest_without_beam(folder, paths=(str(tmp_path / "logs"),), shards=shards, **ONE_DAY_EACH)
        (early,) = [session for session in found.splits["train"] if session.id == "early"]
        assert early.items == tuple("xcbaxa")


CLICK = st.tuples(
    st.sampled_from([f"s{n}" for n in range(9)] + ["", "a b", "é"]),
    st.sampled_from(["x", "y", "z", "007", "日"]),
    st.integers(0, 9 * DAY),
)
# With these every split has a session; without, most logs are too small to be split.
ALL_WEEK = [(f"day{day}", item, day * DAY + place) for day in range(9) for place, item in enumerate("abca")]


@settings(deadline=None, max_examples=50)
@given(
    st.lists(CLICK, max_size=60),
    st.sampled_from([ALL_WEEK, ALL_WEEK, []]),
    st.lists(st.sampled_from(["wrong", ",,", "s1,x,soon", ""]), max_size=3),
    st.fixed_dictionaries(
        {
            "min_session_length": st.integers(2, 3),
            "max_session_length": st.integers(3, 6),
            "validation_days": st.sampled_from([0.0, 2.0]),
            "drop_single_item_sessions": st.booleans(),
        }
    ),
    st.data(),
)
def test_any_log_in_any_row_order_over_any_files_gives_the_same_sessions(
    tmp_path_factory: pytest.TempPathFactory,
    clicks: Any,
    more: Any,
    wrong: list[str],
    options: dict[str, Any],
    data: st.DataObject,
) -> None:
    # Ties keep the order of the rows, so that they would not be the same in any order.
    distinct = {(session, second): item for session, item, second in [*clicks, *more]}
    rows = [f"{session},{item},{START + second}" for (session, second), item in distinct.items()] + wrong
    outcomes = [
        _outcome(tmp_path_factory.mktemp("log"), parts, {"max_rejected_share": 1.0, **options, "shards": shards})
        for parts, shards in (([rows], 1), (_scattered(rows, data), 3))
    ]
    assert outcomes[0] == outcomes[1]


def _scattered(rows: list[str], data: st.DataObject) -> list[list[str]]:
    files: list[list[str]] = [[], [], []]
    for row in data.draw(st.permutations(rows)):
        files[data.draw(st.integers(0, 2))].append(row)
    return files


def _outcome(folder: Path, parts: list[list[str]], options: dict[str, Any]) -> Any:
    """Sessions and counts, or the sentence; whatever the outcome, what must hold for every log is checked."""
    for number, rows in enumerate(parts):
        log_files.write(folder / f"logs/{number}.csv{'.gz' if number else ''}", [log_files.HEADER, *rows])
    try:
        found = _ingest_without_beam(folder / "out", paths=(str(folder / "logs"),), **options)
    except DataError as error:
        return str(error).split(str(folder))[0]
    assert _adds_up(found.counts)
    assert found.counts["rows_read"] == sum(len([row for row in rows if row]) for rows in parts)
    assert len(found.dead_letter) == sum(found.counts["rows_rejected"].values())
    starts = {split: min(session.times_ms[0] for session in found.splits[split]) for split in found.splits}
    ends = {split: max(session.times_ms[-1] for session in found.splits[split]) for split in found.splits}
    assert ends["train"] < starts["validation"]
    assert ends["validation"] < starts["test"]
    sessions = [session for split in found.splits.values() for session in split]
    assert len({session.id for session in sessions}) == len(sessions)
    assert all(list(session.times_ms) == sorted(session.times_ms) for session in sessions)
    found.counts["warnings"] = []  # they name files
    return {split: sorted(sessions, key=repr) for split, sessions in found.splits.items()}, found.counts
