"""The bundled sample. Without it the demo may train on a file that nobody can make again, or that teaches nothing."""

import collections
import gzip
import itertools
import random

import pytest

from nextclick.pipeline import sample

DAY = 86_400
START = 1_709_510_400


def parsed(lines: list[str]) -> dict[str, list[tuple[str, int, str]]]:
    """Sessions of the undamaged rows: id → (item, seconds, event type) in the log's order."""
    sessions = collections.defaultdict(list)
    for line in lines:
        fields = line.split(",")
        well_formed = len(fields) == 4 and all(fields) and fields[2].isdigit() and len(fields[1]) < 20
        if well_formed and not set(line) & {'"', "\r", "\0", "\udcff"}:
            sessions[fields[0]].append((fields[1], int(fields[2]), fields[3]))
    return sessions


@pytest.fixture(scope="module")
def lines():
    return sample.rows(sample.Shop())


@pytest.fixture(scope="module")
def visits(lines):
    return {name: events for name, events in parsed(lines).items() if name.startswith("s")}


def test_generator_writes_the_committed_file_again(tmp_path):
    sample.write(tmp_path / "again.csv.gz", sample.Shop())
    again, committed = (tmp_path / "again.csv.gz").read_bytes(), sample.PATH.read_bytes()
    # What deflate makes of a text is its implementation's business: a Python built with another zlib packs otherwise.
    assert gzip.decompress(again) == gzip.decompress(committed)
    assert again[:10] == committed[:10]
    assert again[4:8] == b"\0\0\0\0", "no time stamp"


def test_file_is_small_and_of_the_demo_s_size(lines, visits):
    assert sample.PATH.stat().st_size < 600_000
    assert 30_000 < sum(map(len, visits.values())) < 60_000
    assert 300 < len({item for events in visits.values() for item, _, _ in events}) <= 1000
    text = gzip.decompress(sample.PATH.read_bytes()).split(b"\n")
    assert text[0] == b"session_id,item_id,timestamp,event_type"
    assert len(text) == len(lines) + 2


def test_log_covers_four_weeks_in_order_of_time(lines):
    times = [seconds for events in parsed(lines).values() for _, seconds, _ in events]
    assert START <= min(times) < START + DAY
    assert START + 27 * DAY < max(times) < START + 28 * DAY + DAY / 4
    in_file_order = [int(line.split(",")[2]) for line in lines if line.count(",") == 3 and line.split(",")[2].isdigit()]
    steps_back = sum(later < earlier for earlier, later in itertools.pairwise(in_file_order))
    assert steps_back <= 40, "only damaged rows stand out of order"


def test_each_kind_of_damage_is_in_the_log(lines):
    good = sum(map(len, parsed(lines).values()))
    assert len(lines) - good == 10 * 4
    assert len(sample.damaged(sample.Click("s1", "lamp-01", START))) == 10
    assert len(set(sample.damaged(sample.Click("s1", "lamp-01", START)))) == 10


def test_bots_click_faster_and_longer_than_people_and_not_in_the_last_two_days(lines, visits):
    bots = {name: events for name, events in parsed(lines).items() if name.startswith("b")}
    assert len(bots) == 3
    for events in bots.values():
        assert len(events) >= 300
        assert events[-1][1] - events[0][1] == len(events) - 1
        assert events[-1][1] < START + 26 * DAY
    assert max(map(len, visits.values())) < 100


def test_popularity_is_uneven_and_drifts(visits):
    clicks = collections.Counter(item for events in visits.values() for item, _, _ in events)
    top_tenth = sum(count for _, count in clicks.most_common(len(clicks) // 10))
    assert 0.2 < top_tenth / sum(clicks.values()) < 0.6
    weeks = [collections.Counter(), collections.Counter()]
    for events in visits.values():
        week = (events[0][1] - START) // (7 * DAY)
        if week in (0, 3):
            weeks[week // 3].update(item.split("-")[0] for item, _, _ in events)
    shares = [{name: week[name] / sum(week.values()) for name in week} for week in weeks]
    assert max(abs(shares[1][name] - shares[0][name]) for name in shares[0]) > 0.02


def test_some_items_appear_late(visits):
    first_seen: dict[str, int] = {}
    for item, seconds, _ in sorted(event for events in visits.values() for event in events):
        first_seen[item] = min(first_seen.get(item, seconds), seconds)
    late = [item for item, seconds in first_seen.items() if seconds > START + 18 * DAY]
    assert 10 < len(late) < 60


def direction_of(events: list[tuple[str, int, str]]) -> int:
    """Which way the first step of a session goes in the listing of 40 items, naively."""
    first, second = (int(item.split("-")[1]) for item, _, _ in events[:2])
    return 1 if (second - first) % 40 <= 10 else -1


def test_later_steps_go_the_way_of_the_first_one(visits):
    agreeing = steps = 0
    for events in visits.values():
        for (here, _, _), (there, _, _) in itertools.pairwise(events[1:]):
            distance = (int(there.split("-")[1]) - int(here.split("-")[1])) % 40
            if here.split("-")[0] == there.split("-")[0] and 0 < min(distance, 40 - distance) <= 10:
                steps += 1
                agreeing += (1 if distance <= 10 else -1) == direction_of(events)
    assert steps > 10_000
    assert agreeing / steps > 0.95


def test_an_item_alone_does_not_tell_the_way(visits):
    ways = collections.defaultdict(list)
    for events in visits.values():
        ways[events[0][0]].append(direction_of(events))
    shares = [sum(way > 0 for way in found) / len(found) for found in ways.values() if len(found) >= 50]
    assert len(shares) > 15
    assert all(0.25 < share < 0.75 for share in shares)


def test_weighted_choice_follows_the_weights_and_never_takes_a_zero():
    rng = random.Random(1)
    drawn = collections.Counter(sample.pick([7, 8, 9], rng, [1.0, 0.0, 3.0]) for _ in range(4000))
    assert set(drawn) == {7, 9}
    assert 0.22 < drawn[7] / 4000 < 0.28


def test_another_seed_gives_another_log():
    small = {"sessions": 50, "bots": 0, "damaged_rows_a_kind": 0}
    assert sample.rows(sample.Shop(seed=1, **small)) == sample.rows(sample.Shop(seed=1, **small))
    assert sample.rows(sample.Shop(seed=1, **small)) != sample.rows(sample.Shop(seed=2, **small))
