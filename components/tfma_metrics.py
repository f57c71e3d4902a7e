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
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.metrics import metric_types
from tensorflow_model_analysis.proto import config_pb2

from nextclick.components import bootstrap, contract, evaluation_facts, figures, prediction_slices
from nextclick.components.evaluation_facts import Facts
from nextclick.components.session_counts import Counts, Layout, SessionRanks

NAME = "ranking"
_BATCH = 512  # sessions that are counted at once: Beam hands them over one by one


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
    """One session's extracts → its SessionRanks."""

    def __init__(self, model: str, served: str | None, settings: Settings) -> None:
        super().__init__(name=f"session_ranks:{model}")
        self._model, self._served, self._settings = model, served, settings

    def process(self, extracts: Mapping[str, Any]) -> Iterator[SessionRanks]:
        """Raises ValueError where another ranker made other predictions than the model."""
        predictions, features = extracts[tfma.PREDICTIONS_KEY], extracts[tfma.FEATURES_KEY]
        outputs = _model_outputs(predictions, self._model)
        own = _model_ranks(outputs)
        rows = {name: _integers(features, contract.baseline_ranks_feature(name)) for name in self._settings.baselines}
        if self._served is not None:
            rows[figures.SERVED] = _model_ranks(_model_outputs(predictions, self._served))
        _check_lengths(len(own), rows)
        top_ids = outputs.get(contract.OUTPUT_TOP_IDS, np.zeros((len(own), 0), np.int32))
        yield SessionRanks(
            fingerprint=bootstrap.fingerprint(_session_id(features), self._settings.seed),
            ranks=np.stack([own, *rows.values()]),
            slices=prediction_slices.read_codes(features, len(own)),
            top_ids=np.asarray(top_ids)[: len(own)],
            targets=_integers(features, contract.ITEM_INDICES)[1:],
            tied=int(np.count_nonzero(outputs[contract.OUTPUT_TIED])) if contract.OUTPUT_TIED in outputs else None,
        )


def _model_outputs(predictions: Any, model: str) -> Mapping[str, Any]:
    """TFMA nests the predictions by model where there are two, and drops the name of an only output."""
    if model:
        predictions = predictions[model]
    return predictions if isinstance(predictions, Mapping) else {contract.OUTPUT_RANKS: predictions}


def _model_ranks(outputs: Mapping[str, Any]) -> npt.NDArray[np.int64]:
    """The padding stands at the right."""
    ranks = np.asarray(outputs[contract.OUTPUT_RANKS]).ravel().astype(np.int64)
    return ranks[: int(np.count_nonzero(ranks != contract.NO_PREDICTION))]


def _check_lengths(predictions: int, rows: Mapping[str, npt.NDArray[np.int64]]) -> None:
    for ranker, ranks in rows.items():
        if len(ranks) != predictions:
            raise ValueError(
                f"of one session the model made {predictions} predictions and {ranker} {len(ranks)}: "
                "all must predict every item after the first; where the served model encodes sessions otherwise, "
                "run once with --set gate.compare_served=false"
            )


def _integers(features: Mapping[str, Any], name: str) -> npt.NDArray[np.int64]:
    found = features.get(name)
    return np.empty(0, np.int64) if found is None else np.asarray(found).ravel().astype(np.int64)


def _session_id(features: Mapping[str, Any]) -> bytes:
    return bytes(np.asarray(features[contract.SESSION_ID]).ravel()[0])


@functools.lru_cache(maxsize=2)
def _facts(path: str) -> Facts | None:
    return evaluation_facts.read(path) if path else None


class _Accumulator:
    """Counts so far, and the sessions that wait to be counted."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.counts: Counts | None = None
        self.waiting: list[SessionRanks] = []

    def count(self) -> Counts:
        """Counts the sessions that wait; all counts."""
        if self.waiting or self.counts is None:
            counted = Counts.of(self.waiting, self.layout)
            self.counts = counted if self.counts is None else self.counts + counted
            self.waiting = []
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

    def add_input(self, accumulator: _Accumulator, session: SessionRanks) -> _Accumulator:
        """Adds one session."""
        accumulator.waiting.append(session)
        if len(accumulator.waiting) >= _BATCH:
            accumulator.count()
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
