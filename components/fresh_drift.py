"""How far the newest clicks of a log are from those that an earlier model learnt from: is it time to train again?"""

from __future__ import annotations

from collections.abc import Sequence

from nextclick.components import data_drift
from nextclick.components.data_drift import DataCounts
from nextclick.components.prediction_slices import popularity_thirds
from nextclick.components.session_encoder import SessionEncoder, joined


def fresh_drift(
    transform_graph_path: str, oov_buckets: int, learnt_from: Sequence[str], fresh: Sequence[str]
) -> dict[str, float]:
    """The drifts of `data_drift.DRIFTS` by name.

    Args:
        transform_graph_path: of the earlier model, whose vocabulary says which items are known.
        oov_buckets: `features.oov_buckets` of the earlier model.
        learnt_from: gzipped TFRecords of raw examples that the earlier model was trained on.
        fresh: those of the newest clicks.
    """
    encoder = SessionEncoder(transform_graph_path, oov_buckets)
    sessions = joined([batch.sessions for batch in encoder.batches(learnt_from)])
    thirds = popularity_thirds(sessions.clicks(encoder.items))
    before, after = (_counted(encoder, files, DataCounts(thirds)) for files in (learnt_from, fresh))
    return data_drift.drifts(before, after)


def _counted(encoder: SessionEncoder, files: Sequence[str], counts: DataCounts) -> DataCounts:
    for batch in encoder.batches(files):
        counts.add(batch.sessions, batch.event_types.tolist())
    return counts
