"""If these failed, clicks of different sessions would be mixed, or ordered by chance."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from nextclick.components import rows, sessions, sharding

Click = tuple[str, str, int]

CLICKS = st.lists(st.tuples(st.sampled_from("abAé "), st.sampled_from("xyz"), st.integers(0, 9)), min_size=1)


def _batch(clicks: list[Click]) -> pa.RecordBatch:
    session, item, time = zip(*clicks, strict=True) if clicks else ((), (), ())
    columns = [
        pa.array([name.encode() for name in session], pa.large_binary()),
        pa.array([name.encode() for name in item], pa.large_binary()),
        pa.array(time, pa.int64()),
        rows.constant(b"click", len(clicks)),
        pa.array([True] * len(clicks)),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=rows.CLICKS)


def _plain(found: sessions.Sessions) -> list[list[Click]]:
    values = list(
        zip(*(found.clicks.column(name).to_pylist() for name in ("session_id", "item_id", "time_ms")), strict=True)
    )
    events = iter(found.events)
    taken = [[values[next(events)] for _ in range(length)] for length in found.lengths]
    return [[(session.decode(), item.decode(), time) for session, item, time in session_] for session_ in taken]


def _naive(clicks: list[Click]) -> list[list[Click]]:
    """Sessions in plain Python: sorted() is stable."""
    by_id: dict[str, list[Click]] = {}
    for click in clicks:
        by_id.setdefault(click[0], []).append(click)
    ordered = [sorted(group, key=lambda click: click[2]) for group in by_id.values()]
    return sorted(ordered, key=lambda group: (group[0][2], group[0][0].encode()))


def test_sessions_are_sorted_by_time_and_ties_keep_the_order_of_the_log() -> None:
    clicks = [("b", "x", 5), ("a", "x", 7), ("b", "y", 3), ("a", "z", 7), ("a", "y", 7), ("c", "x", 3)]
    assert _plain(sessions.group([_batch(clicks)])) == [
        [("b", "y", 3), ("b", "x", 5)],
        [("c", "x", 3)],
        [("a", "x", 7), ("a", "z", 7), ("a", "y", 7)],
    ]


@settings(deadline=None)
@given(CLICKS, st.integers(1, 5))
def test_grouping_agrees_with_plain_python(clicks: list[Click], size: int) -> None:
    batches = [_batch(clicks[first : first + size]) for first in range(0, len(clicks), size)]
    assert _plain(sessions.group(batches)) == _naive(clicks)


@settings(deadline=None)
@given(CLICKS, st.integers(1, 7))
def test_shards_hold_whole_sessions_and_every_click(clicks: list[Click], shards: int) -> None:
    parts: dict[int, list[pa.RecordBatch]] = {}
    for half in (clicks[::2], clicks[1::2]):
        for shard, part in sharding.partition(_batch(half), shards) if half else ():
            parts.setdefault(shard, []).append(sharding.from_bytes(sharding.to_bytes(part)))
    assert set(parts) <= set(range(shards))
    found = [session for batches in parts.values() for session in _plain(sessions.group(batches))]
    key = lambda session: session[0][0]  # noqa: E731
    assert sorted(found, key=key) == sorted(_naive(clicks[::2] + clicks[1::2]), key=key)


def test_session_hash_never_changes() -> None:
    ids = pa.array([b"1", b"2", b"12", "é".encode(), b"a" * 300], pa.large_binary())
    assert sharding.fingerprints(ids).tolist() == sharding.fingerprints(ids.slice(0)).tolist()
    assert [_naive_hash(item) for item in ids.to_pylist()] == sharding.fingerprints(ids).tolist()
    assert [_naive_hash(item) for item in ids.slice(2, 2).to_pylist()] == sharding.fingerprints(
        ids.slice(2, 2)
    ).tolist()


def _naive_hash(item: bytes) -> int:
    modulus = 2**64
    value = sum((byte + 1) * 0x9E3779B97F4A7C15**place for place, byte in enumerate(item)) % modulus
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 % modulus
    return value ^ (value >> 31)


def test_consecutive_ids_spread_evenly() -> None:
    ids = pa.array([str(number).encode() for number in range(10_000)], pa.large_binary())
    counts = np.bincount((sharding.fingerprints(ids) % np.uint64(8)).astype(int), minlength=8)
    assert counts.min() > 1100
    assert counts.max() < 1400


def test_number_of_shards_follows_the_size_of_the_text() -> None:
    megabyte = 1 << 20
    assert sharding.shards_for([("a.csv", 1)]) == 1
    assert sharding.shards_for([("a.csv", 32 * megabyte)]) == 1
    assert sharding.shards_for([("a.csv", 32 * megabyte), ("b.csv", 1)]) == 2
    assert sharding.shards_for([("a.csv.gz", 32 * megabyte)]) == 5
    assert sharding.shards_for([("a.csv", 1 << 50)]) == 1024


@settings(deadline=None)
@given(CLICKS, st.integers(0, 9))
def test_events_from_a_time_on_are_cut_off(clicks: list[Click], end: int) -> None:
    grouped = sessions.group([_batch(clicks)])
    kept = _plain(sessions.until(grouped, np.full(len(grouped.lengths), end)))
    assert kept == [[click for click in session if click[2] < end] for session in _naive(clicks)]


@settings(deadline=None)
@given(CLICKS, st.integers(1, 4))
def test_first_events_are_kept(clicks: list[Click], most: int) -> None:
    kept = _plain(sessions.first_events(sessions.group([_batch(clicks)]), most))
    assert kept == [session[:most] for session in _naive(clicks)]


@settings(deadline=None)
@given(CLICKS)
def test_sessions_of_several_items(clicks: list[Click]) -> None:
    grouped = sessions.group([_batch(clicks)])
    several = sessions.has_several_items(grouped)
    assert several.tolist() == [len({item for _, item, _ in session}) > 1 for session in _naive(clicks)]
    assert _plain(grouped.keep_sessions(several)) == [
        session for session, wanted in zip(_naive(clicks), several, strict=True) if wanted
    ]


def test_no_session_at_all() -> None:
    none = sessions.group([_batch([])])
    assert _plain(none) == []
    assert sessions.has_several_items(none).tolist() == []


MINUTE = 60_000


def _of_users(clicks: list[Click], gap_ms: int, most: int = 100) -> list[tuple[str, list[int]]]:
    """Id and times of each session."""
    found = sessions.group([_batch(clicks)], sessions.UserSessions(gap_ms, most))
    return [
        (name.decode(), [time for _, _, time in events])
        for name, events in zip(found.ids.to_pylist(), _plain(found), strict=True)
    ]


def test_gap_equal_to_limit_keeps_one_session() -> None:
    clicks = [("u", "x", 0), ("u", "x", 30 * MINUTE), ("u", "x", 60 * MINUTE + 1)]
    assert _of_users(clicks, 30 * MINUTE) == [("u@0", [0, 30 * MINUTE]), ("u@3600001", [60 * MINUTE + 1])]


def test_users_interleaved_in_time_have_their_own_gaps() -> None:
    clicks = [("u", "x", 0), ("v", "x", 1), ("u", "x", 2), ("v", "x", 3), ("u", "x", 9), ("v", "x", 12)]
    assert _of_users(clicks, 8) == [("u@0", [0, 2, 9]), ("v@1", [1, 3]), ("v@12", [12])]


def test_a_user_who_never_pauses_gets_a_session_each_so_many_clicks() -> None:
    clicks = [("u", "x", time) for time in (0, 1, 2, 3, 4, 20, 21)]
    assert _of_users(clicks, 5, most=2) == [("u@0", [0, 1]), ("u@2", [2, 3]), ("u@4", [4]), ("u@20", [20, 21])]


@settings(deadline=None)
@given(CLICKS, st.integers(0, 4), st.integers(1, 3))
def test_sessions_of_users_agree_with_plain_python(clicks: list[Click], gap: int, most: int) -> None:
    expected = []
    for user in _naive(clicks):
        runs: list[list[int]] = []
        for _, _, time in user:
            if not runs or time - runs[-1][-1] > gap or len(runs[-1]) == most:
                runs.append([])
            runs[-1].append(time)
        expected += [(f"{user[0][0]}@{run[0]}", run) for run in runs]
    assert sorted(_of_users(clicks, gap, most)) == sorted(expected)


def test_only_the_same_item_at_the_same_time_is_a_duplicate() -> None:
    clicks = [("s", "a", 1), ("s", "b", 1), ("s", "a", 1), ("s", "a", 2), ("t", "a", 1), ("s", "a", 1)]
    assert _plain(sessions.without_duplicates(sessions.group([_batch(clicks)]))) == [
        [("s", "a", 1), ("s", "b", 1), ("s", "a", 2)],
        [("t", "a", 1)],
    ]


@settings(deadline=None)
@given(CLICKS)
def test_duplicates_agree_with_plain_python(clicks: list[Click]) -> None:
    assert _plain(sessions.without_duplicates(sessions.group([_batch(clicks)]))) == [
        list(dict.fromkeys(session)) for session in _naive(clicks)
    ]
