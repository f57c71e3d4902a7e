"""Which sessions of a split are kept, and how much of them; every drop is counted by its reason."""

from __future__ import annotations

from nextclick.components import contract, sessions, splits
from nextclick.components.counts import CLICKS_LOG, TEST_LOG, Tally
from nextclick.components.sessions import Booleans, Sessions
from nextclick.pipeline.config import DataConfig

# A session of one click has nothing to predict, so that even an explicit test log loses those.
_SHORTEST = 2


def split_and_filter(
    grouped: Sessions, log: str, data: DataConfig, *, read: Tally, tally: Tally
) -> dict[str, Sessions]:
    """The sessions that are kept, by split; a split without any is left out.

    Args:
        grouped: sessions of one log.
        log: which; of an explicit test log only sessions of a single click are dropped.
        data: filters and lengths of the splits.
        read: tally of all that was read, for the time ranges of the logs.
        tally: gets the counts of what is dropped and kept.
    """
    tally.add("sessions_read", "", len(grouped.lengths))
    if log == TEST_LOG:
        splitted = {contract.TEST: _drop(grouped, grouped.lengths >= _SHORTEST, "too_short", tally)}
    else:
        splitted = dict(_by_time(grouped, splits.cut_times(*read.ranges_ms["log", CLICKS_LOG], data), data, tally))
    found = {split: kept for split, kept in splitted.items() if len(kept.lengths)}
    for split, kept in found.items():
        _count_kept(kept, split, tally)
    if contract.TRAIN in found and ("log", TEST_LOG) in read.ranges_ms:
        late = found[contract.TRAIN].times_ms >= read.ranges_ms["log", TEST_LOG][0]
        tally.add("training_events_in_test_time", "", int(late.sum()))
    return found


def _by_time(grouped: Sessions, cuts: splits.Cuts, data: DataConfig, tally: Tally) -> list[tuple[str, Sessions]]:
    split = cuts.split_of(grouped.starts_ms)
    kept = sessions.until(grouped, cuts.end_of(split))
    tally.add("events_dropped", "after_split_end", len(grouped.events) - len(kept.events))
    return [
        (name, _filter(kept.keep_sessions(split == index), data, tally)) for index, name in enumerate(contract.SPLITS)
    ]


def _filter(kept: Sessions, data: DataConfig, tally: Tally) -> Sessions:
    shorter = sessions.first_events(kept, data.max_session_length)
    tally.add("events_dropped", "over_max_length", len(kept.events) - len(shorter.events))
    kept = _drop(shorter, shorter.lengths >= data.min_session_length, "too_short", tally)
    if data.drop_single_item_sessions:
        kept = _drop(kept, sessions.has_several_items(kept), "single_item", tally)
    return kept


def _drop(found: Sessions, wanted: Booleans, reason: str, tally: Tally) -> Sessions:
    kept = found.keep_sessions(wanted)
    tally.add("sessions_dropped", reason, len(found.lengths) - len(kept.lengths))
    tally.add("events_dropped", reason, len(found.events) - len(kept.events))
    return kept


def _count_kept(kept: Sessions, split: str, tally: Tally) -> None:
    tally.add("sessions", split, len(kept.lengths))
    tally.add("events", split, len(kept.events))
    times = kept.times_ms
    tally.cover("split", split, times.min(), times.max())
