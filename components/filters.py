"""Which sessions of a log are kept, and how much of them; every drop is counted by its reason.

The order is: duplicate events, sessions without consent, the end of the split, bots, the maximum length, the minimum
length, sessions of one item. A filter sees what those before it left.
"""

from __future__ import annotations

from nextclick.components import bots, contract, counts, sessions
from nextclick.components.bots import Limits
from nextclick.components.counts import TEST_LOG, Tally
from nextclick.components.rows import CONSENT
from nextclick.components.sessions import Booleans, Sessions
from nextclick.pipeline.config import DataConfig

# A session of one click has nothing to predict, so that even an explicit test log loses those.
_SHORTEST = 2


def split_and_filter(
    grouped: Sessions, log: str, data: DataConfig, *, read: Tally, limits: Limits, tally: Tally
) -> dict[str, Sessions]:
    """The sessions that are kept, by split; a split without any is left out.

    Args:
        grouped: sessions of one log.
        log: which; an explicit test log only loses sessions of a single click and those without consent.
        data: filters and lengths of the splits.
        read: tally of all that was read, for the time ranges of the logs.
        limits: of a person's sessions.
        tally: gets the counts of what is dropped and kept.
    """
    tally.add("sessions_read", "", len(grouped.lengths))
    found = {}
    for split, part in _by_split(grouped, log, data, read=read, tally=tally).items():
        exact = log == TEST_LOG
        kept = (
            _drop(part, part.lengths >= _SHORTEST, "too_short", tally) if exact else _filter(part, data, limits, tally)
        )
        if len(kept.lengths):
            found[split] = kept
            _count_kept(kept, split, tally)
    if contract.TRAIN in found and ("log", TEST_LOG) in read.ranges_ms:
        late = found[contract.TRAIN].times_ms >= read.ranges_ms["log", TEST_LOG][0]
        tally.add("training_events_in_test_time", "", int(late.sum()))
    return found


def training_sessions(grouped: Sessions, log: str, data: DataConfig, read: Tally) -> Sessions | None:
    """The sessions of the training split before bots are looked for; None in a test log."""
    return _by_split(grouped, log, data, read=read, tally=Tally()).get(contract.TRAIN)


def _by_split(grouped: Sessions, log: str, data: DataConfig, *, read: Tally, tally: Tally) -> dict[str, Sessions]:
    """The sessions of each split up to its end, without what may not be used at all."""
    kept = grouped
    if data.drop_duplicates and log != TEST_LOG:
        kept = sessions.without_duplicates(grouped)
        tally.add("events_dropped", "duplicate", len(grouped.events) - len(kept.events))
    if data.consent:
        consent = sessions.column(kept.clicks, CONSENT).to_numpy(zero_copy_only=False)[kept.events]
        kept = _drop(kept, sessions.all_events(kept, consent), "no_consent", tally)
    if log == TEST_LOG:
        return {contract.TEST: kept}
    cuts = counts.cut_times(read, data)
    split = cuts.split_of(kept.starts_ms)
    ended = sessions.until(kept, cuts.end_of(split))
    tally.add("events_dropped", "after_split_end", len(kept.events) - len(ended.events))
    return {name: ended.keep_sessions(split == index) for index, name in enumerate(contract.SPLITS)}


def _filter(found: Sessions, data: DataConfig, limits: Limits, tally: Tally) -> Sessions:
    kept = _drop(found, ~bots.too_long(found, limits), "bot_too_long", tally)
    kept = _drop(kept, ~bots.too_fast(kept, limits), "bot_too_fast", tally)
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
