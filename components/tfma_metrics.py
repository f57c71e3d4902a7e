"""TFMA metrics: a shell over session_counts.py and figures.py.

It reads the evaluation signature of the candidate and of the model now served (TFMA's baseline model), and the
columns that BaselineRanks added to the examples. Named in the EvalConfig by class and module, so that Beam workers
import it. The metrics' names stand in figures.py. TFMA slices whole sessions only, hence names that hold a slice of
the predictions; and its differences are of means only, hence intervals of differences that are computed here.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.metrics import metric_types
from tensorflow_model_analysis.proto import config_pb2

from nextclick.components import bootstrap, contract, evaluation_facts, figures, prediction_slices
from nextclick.components.columns import column
from nextclick.components.evaluation_facts import Facts
from nextclick.components.metrics import Integers
from nextclick.components.session_counts import Counts, Layout, SessionRanks

NAME = "ranking"
_BATCH = 1024  # sessions that are counted at once: packs of a seldom slice are small
_NO_IDS = np.empty((0, 0), np.int64)


@dataclasses.dataclass(frozen=True)
class Settings:
    """What is measured; from the JSON of MetricConfig.config.

    Attributes:
        baselines: whose `ranks_<baseline>` features the examples hold.
        rivals: those of them that the model's lift is taken over.
        facts: path of the evaluation's facts; "": no metrics of lists or data, no slices by event type.
        seed: of the bootstrap.
    """

    baselines: Sequence[str] = ()
    rivals: Sequence[str] = ()
    facts: str = ""
    seed: int = 0


class RankingMetrics(metric_types.Metric):
    """All metrics, of every model of the evaluation; takes the fields of `Settings`."""

    def __init__(self, name: str = NAME, **settings: Any) -> None:
        super().__init__(_computations, name=name, settings=settings)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal metric."""
        return {"name": self.name, **self.kwargs["settings"]}


def _computations(
    name: str,
    settings: Mapping[str, Any],
    eval_config: config_pb2.EvalConfig | None = None,
    model_names: Sequence[str] = ("",),
) -> list[metric_types.MetricComputation]:
    baselines = {spec.name for spec in eval_config.model_specs if spec.is_baseline} if eval_config else set()
    served = next((model for model in model_names if model in baselines), None)
    return [
        metric_types.MetricComputation(
            keys=[_key(name, model)],
            preprocessors=[SessionPreprocessor(model, served, Settings(**settings))],
            combiner=SessionCombiner(model, served, Settings(**settings)),
        )
        for model in model_names
        if model != served
    ]


def _key(name: str, model: str) -> metric_types.MetricKey:
    """TFMA looks for the thresholds that are given by name under `example_weighted=None`."""
    return metric_types.MetricKey(name, model_name=model, example_weighted=None)


def with_facts(eval_config: config_pb2.EvalConfig, path: str) -> config_pb2.EvalConfig:
    """A copy of an EvalConfig whose RankingMetrics read the facts from a file."""
    changed = config_pb2.EvalConfig()
    changed.CopyFrom(eval_config)
    for spec in changed.metrics_specs:
        for metric in spec.metrics:
            if metric.class_name == RankingMetrics.__name__:
                metric.config = json.dumps({**json.loads(metric.config or "{}"), "facts": path})
    return changed


class SessionPreprocessor(metric_types.Preprocessor):
    """The extracts of some sessions (evaluating.py) → their SessionRanks."""

    def __init__(self, model: str, served: str | None, settings: Settings) -> None:
        super().__init__(name=f"session_ranks:{model}")
        self._model, self._served, self._settings = model, served, settings

    def process(self, extracts: Mapping[str, Any]) -> Iterator[SessionRanks]:
        """Raises ValueError where another ranker made other predictions than the model."""
        predictions, batch = extracts[tfma.PREDICTIONS_KEY], extracts[tfma.ARROW_RECORD_BATCH_KEY]
        outputs = _model_outputs(predictions, self._model)
        made = _predictions_made(outputs)  # bool [sessions, positions]
        rows = {name: column(batch, contract.baseline_ranks_feature(name)) for name in self._settings.baselines}
        if self._served is not None:
            served = _model_outputs(predictions, self._served)
            served_made = _predictions_made(served)
            rows[figures.SERVED] = served[contract.OUTPUT_RANKS][served_made], served_made.sum(axis=1)
        lengths = made.sum(axis=1)
        _check_lengths(lengths, {name: found for name, (_, found) in rows.items()})
        ranks = [outputs[contract.OUTPUT_RANKS][made], *(values for values, _ in rows.values())]
        yield SessionRanks(
            fingerprints=_fingerprints(batch, self._settings.seed),
            lengths=lengths,
            ranks=np.stack([values.astype(np.int64) for values in ranks]),
            slices=prediction_slices.read_codes(batch, lengths),
            top_ids=outputs[contract.OUTPUT_TOP_IDS][made] if contract.OUTPUT_TOP_IDS in outputs else _NO_IDS,
            targets=_targets(batch),
            tied=int(np.count_nonzero(outputs[contract.OUTPUT_TIED])) if contract.OUTPUT_TIED in outputs else None,
        )


def _model_outputs(predictions: Any, model: str) -> Mapping[str, Any]:
    """TFMA nests the predictions by model where there are two, and drops the name of an only output."""
    if model:
        predictions = predictions[model]
    return predictions if isinstance(predictions, Mapping) else {contract.OUTPUT_RANKS: predictions}


def _predictions_made(outputs: Mapping[str, Any]) -> npt.NDArray[np.bool_]:
    """Where there is one: bool [sessions, positions]. The padding stands at the right."""
    made: npt.NDArray[np.bool_] = np.asarray(outputs[contract.OUTPUT_RANKS]) != contract.NO_PREDICTION
    return made


def _check_lengths(predictions: Integers, rankers: Mapping[str, Integers]) -> None:
    for ranker, lengths in rankers.items():
        for expected, found in zip(predictions.tolist(), lengths.tolist(), strict=True):
            if found != expected:
                raise ValueError(
                    f"of one session the model made {expected} predictions and {ranker} {found}: "
                    "all must predict every item after the first; where the served model encodes sessions otherwise, "
                    "run once with --set gate.compare_served=false"
                )


def _fingerprints(batch: pa.RecordBatch, seed: int) -> npt.NDArray[np.uint64]:
    ids, _ = column(batch, contract.SESSION_ID)
    return np.array([bootstrap.fingerprint(session_id, seed) for session_id in ids], np.uint64)


def _targets(batch: pa.RecordBatch) -> Integers:
    """The item indices of all clicks but each session's first."""
    indices, lengths = column(batch, contract.ITEM_INDICES)
    first = np.cumsum(lengths) - lengths
    return np.delete(indices, first[lengths > 0]).astype(np.int64)


@functools.lru_cache(maxsize=2)
def _facts(path: str) -> Facts | None:
    return evaluation_facts.read(path) if path else None


class _Accumulator:
    """Counts so far, and the sessions that wait to be counted."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.counts: Counts | None = None
        self.waiting: list[SessionRanks] = []
        self.number_waiting = 0

    def add(self, sessions: SessionRanks) -> None:
        """Adds some sessions."""
        self.waiting.append(sessions)
        self.number_waiting += len(sessions)
        if self.number_waiting >= _BATCH:
            self.count()

    def count(self) -> Counts:
        """Counts the sessions that wait; all counts."""
        if self.waiting or self.counts is None:
            counted = Counts.of(self.waiting, self.layout)
            self.counts = counted if self.counts is None else self.counts + counted
            self.waiting, self.number_waiting = [], 0
        return self.counts


class SessionCombiner(beam.CombineFn):
    """SessionRanks → the metrics of a model, of the baselines and of the model now served."""

    def __init__(self, model: str, served: str | None, settings: Settings) -> None:
        self._model, self._served, self._settings = model, served, settings

    def create_accumulator(self) -> _Accumulator:
        """Of no sessions."""
        facts = _facts(self._settings.facts)
        others = [] if self._served is None else [figures.SERVED]
        return _Accumulator(
            Layout(
                rankers=("model", *self._settings.baselines, *others),
                dimensions=prediction_slices.dimensions(facts.event_types if facts else ()),
            )
        )

    def add_input(self, accumulator: _Accumulator, sessions: SessionRanks) -> _Accumulator:
        """Adds some sessions."""
        accumulator.add(sessions)
        return accumulator

    def compact(self, accumulator: _Accumulator) -> _Accumulator:
        """Leaves nothing that waits: an accumulator is about to travel."""
        accumulator.count()
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[_Accumulator]) -> _Accumulator:
        """One accumulator of many."""
        merged = self.create_accumulator()
        for accumulator in accumulators:
            merged.counts = merged.count() + accumulator.count()
        return merged

    def extract_output(self, accumulator: _Accumulator) -> dict[metric_types.MetricKey, float]:
        """Every metric by its key."""
        counts, layout, facts = accumulator.count(), accumulator.layout, _facts(self._settings.facts)
        own = figures.model_figures(counts, layout, self._settings.rivals, facts)
        found = {_key(name, self._model): value for name, value in own.items()}
        for name, value in figures.served_figures(counts, layout).items():
            found[_key(name, self._served or "")] = value
        for name, value in figures.differences(counts, layout).items():
            found[_key(name, self._model).make_diff_key()] = value
        return found
