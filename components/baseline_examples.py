"""The test split with all that Evaluator needs beside the raw features, so that it scores everyone on one set of rows.

reads   raw tf.Examples of the training split(s), to fit the baselines, and of the test split; the Transform graph
writes  the test split's records with the columns that contract.TEST_PERIOD's comment lists,
        the facts of the evaluation (evaluation_facts.py), and the baselines as SavedModels (baseline_models.py)
"""

from __future__ import annotations

import collections
import dataclasses
import datetime
import posixpath
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tensorflow_transform.output_wrapper import TFTransformOutput

from nextclick.components import (
    baseline_models,
    baselines,
    contract,
    data_drift,
    evaluation_facts,
    metrics,
    prediction_slices,
    records,
)
from nextclick.components.data_drift import DataCounts, Drift
from nextclick.components.evaluation_facts import Facts
from nextclick.components.metrics import Catalogue, Integers
from nextclick.components.prediction_slices import NO_SLICE, Codes
from nextclick.components.ranking import Places, Ranker, Sessions
from nextclick.components.session_encoder import Batch, SessionEncoder, joined
from nextclick.pipeline.config import Config

FACTS_FILE = "facts.npz"
MODELS_FOLDER = "baseline_models"
_DAY_MS = 24 * 60 * 60 * 1000
_MAX_DAYS = 14  # of a longer test period the weeks are slices


@dataclasses.dataclass(frozen=True)
class Training:
    """What is learnt from the training split(s)."""

    sessions: Sessions
    clicks: npt.NDArray[np.int64]
    thirds: Codes
    event_types: tuple[bytes, ...]
    event_type_counts: Mapping[bytes, int]
    rankers: Mapping[str, Ranker]


class Lists:
    """How often each item stands in the baselines' lists, and how often it is the next item.

    Args: of the catalogue; and the names of the baselines.
    """

    def __init__(self, catalogue: Catalogue, names: Sequence[str]) -> None:
        self._catalogue = catalogue
        self._shown = dict.fromkeys(names, metrics.count_items([]))
        self._targets = metrics.count_items([])
        self.predictions = 0

    def add(self, shown: Mapping[str, list[Places]], targets: list[Integers]) -> None:
        """Adds the lists' items in a batch of sessions, by baseline, as places in the catalogue; and the next items."""
        for name, places in shown.items():
            self._shown[name] += metrics.count_items(np.concatenate(places) + self._catalogue.first_index)
        self._targets += metrics.count_items(np.concatenate(targets))
        self.predictions += sum(map(len, targets))

    def figures(self) -> dict[str, float]:
        """The metrics of every baseline's lists: "popular/coverage@20"."""
        return {
            f"{name}/{metric}": value
            for name, shown in self._shown.items()
            for metric, value in metrics.list_metrics(self._catalogue, shown, self.predictions, self._targets).items()
        }


def write(
    training_files: Sequence[str],
    test_files: Sequence[str],
    transform_graph_path: str,
    config: Config,
    *,
    spans: Drift,
    split_folder: str,
    facts_path: str,
    models_folder: str,
) -> None:
    """Fits every baseline and writes the test split, the facts and the models (see the module's text).

    Args:
        training_files: gzipped TFRecords of the split(s) that the baselines learn from.
        test_files: those of the test split; each becomes a file of the same name.
        transform_graph_path: of the Transform component.
        config: its `features` section says how sessions are encoded and how far a prediction looks back, its `serving`
            section how many items the models answer.
        spans: how the newest span moved.
        split_folder: where the test split is written.
        facts_path: where the facts are written.
        models_folder: where the models are written, a folder of versions each.
    """
    encoder = SessionEncoder(transform_graph_path, config.features.oov_buckets)
    training = learn(encoder, training_files)
    before, after = DataCounts(training.thirds), DataCounts(training.thirds)
    before.add(training.sessions)
    before.event_types.update(training.event_type_counts)
    periods = Periods.of([batch.start_times_ms for batch in encoder.batches(test_files)])
    lists = Lists(Catalogue(encoder.first_index, training.clicks), list(training.rankers))
    tf.io.gfile.makedirs(split_folder)
    for path in test_files:
        target = posixpath.join(split_folder, posixpath.basename(path))
        with tf.io.TFRecordWriter(target, records.write_options()) as writer:
            for batch in encoder.batches([path]):
                after.add(batch.sessions, batch.event_types.tolist())
                for record in _records(batch, encoder, training, periods, config.features.lookback, lists):
                    writer.write(record)
    data = Drift(
        {**data_drift.figures(before, after), **spans.figures}, (*data_drift.tables(before, after), *spans.tables)
    )
    evaluation_facts.write(_facts(encoder, training, data, lists), facts_path)
    scorers = {name: ranker.scorer for name, ranker in training.rankers.items()}
    transform = TFTransformOutput(transform_graph_path)
    baseline_models.write(scorers, training.clicks, transform, list(encoder.item_ids), config, models_folder)


def learn(encoder: SessionEncoder, files: Sequence[str]) -> Training:
    """Fits the baselines on the sessions of some files."""
    batches, types = [], collections.Counter[bytes]()
    for batch in encoder.batches(files):
        batches.append(batch.sessions)
        types.update(batch.event_types.tolist())
    sessions = joined(batches)
    clicks = sessions.clicks(encoder.items)
    frequent = sorted(types, key=lambda name: (-types[name], name))[: prediction_slices.MAX_EVENT_TYPES]
    return Training(
        sessions=sessions,
        clicks=clicks,
        thirds=prediction_slices.popularity_thirds(clicks),
        event_types=tuple(frequent),
        event_type_counts=types,
        rankers={name: Ranker(fit(sessions, encoder.items), clicks) for name, fit in baselines.REGISTRY.items()},
    )


@dataclasses.dataclass(frozen=True)
class Periods:
    """Days of the test period, or weeks where it is long: "2024-05-06"."""

    first_day: int
    days: int

    @classmethod
    def of(cls, start_times_ms: Sequence[npt.NDArray[np.int64]]) -> Periods:
        """For sessions that started at these times, in batches."""
        days = [times // _DAY_MS for times in start_times_ms if len(times)]
        first = min((int(batch.min()) for batch in days), default=0)
        last = max((int(batch.max()) for batch in days), default=0)
        return cls(first, 1 if last - first < _MAX_DAYS else 7)

    def name(self, start_time_ms: int) -> str:
        """First day, UTC, of the period that a time lies in."""
        day = self.first_day + (start_time_ms // _DAY_MS - self.first_day) // self.days * self.days
        return (datetime.date(1970, 1, 1) + datetime.timedelta(days=day)).isoformat()


def _records(
    batch: Batch, encoder: SessionEncoder, training: Training, periods: Periods, lookback: int, lists: Lists
) -> list[bytes]:
    codes = {name: code for code, name in enumerate(training.event_types)}
    types = np.array([codes.get(name, NO_SLICE) for name in batch.event_types.tolist()], np.int64)
    shown: dict[str, list[Places]] = {name: [] for name in training.rankers}
    found, targets = [], []
    for number, session in enumerate(batch.sessions):
        events = slice(batch.event_offsets[number], batch.event_offsets[number + 1])
        columns = {contract.ITEM_INDICES: encoder.indices(session)}
        targets.append(columns[contract.ITEM_INDICES][1:])
        for name, ranker in training.rankers.items():
            ranks, listed = ranker.session_answers(session, lookback, contract.TOP_IDS)
            columns[contract.baseline_ranks_feature(name)] = ranks
            shown[name].append(listed)
        for name, values in prediction_slices.session_codes(session, training.thirds, types[events]).items():
            columns[prediction_slices.feature(name)] = values
        period = periods.name(int(batch.start_times_ms[number]))
        found.append(_with_columns(batch.serialized[number], columns, period))
    lists.add(shown, targets)
    return found


def _with_columns(record: bytes, columns: Mapping[str, npt.NDArray[np.int64]], period: str) -> bytes:
    example = tf.train.Example.FromString(record)
    for name, values in columns.items():
        example.features.feature[name].int64_list.value.extend(values.tolist())
    example.features.feature[contract.TEST_PERIOD].bytes_list.value.append(period.encode())
    return bytes(example.SerializeToString())


def _facts(encoder: SessionEncoder, training: Training, data: Drift, lists: Lists) -> Facts:
    return Facts(
        catalogue=Catalogue(encoder.first_index, training.clicks),
        event_types=tuple(name.decode(errors="replace") for name in training.event_types),
        data=data.figures,
        item_ids=tuple(item.decode(errors="replace") for item in encoder.item_ids),
        tables=data.tables,
        predictions=lists.predictions,
        baseline_lists=lists.figures(),
    )
