"""TFMA metrics: a shell over session_counts.py that reads the evaluation signature and the baselines' ranks.

Named in the EvalConfig by class and module, so that Beam workers import it. The candidate's metrics stand in
session_counts.py; of the model now served (the baseline model in TFMA's words) come its own metrics alone. TFMA
slices whole sessions only, hence metrics that name a slice of the predictions.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.metrics import metric_types

from nextclick.components import baseline_examples, contract, session_counts
from nextclick.components.session_counts import Counts, SessionRanks

NAME = "ranking"
_BATCH = 512  # sessions that are counted at once: Beam hands them over one by one


class RankingMetrics(metric_types.Metric):  # type: ignore[misc]
    """All metrics, of every model of the evaluation.

    Args (from the JSON of MetricConfig.config):
        baselines: whose `ranks_<baseline>` features the examples hold.
        rivals: those of them that the model's lift is taken over.
        catalogue: path of the catalogue's file (baseline_examples.write_catalogue); "": no metrics of lists.
    """

    def __init__(
        self, baselines: Sequence[str] = (), rivals: Sequence[str] = (), catalogue: str = "", name: str = NAME
    ) -> None:
        super().__init__(_computations, baselines=list(baselines), rivals=list(rivals), catalogue=catalogue, name=name)


def _computations(
    baselines: Sequence[str],
    rivals: Sequence[str],
    catalogue: str,
    name: str,
    eval_config: tfma.EvalConfig | None = None,
    model_names: Sequence[str] = ("",),
) -> list[metric_types.MetricComputation]:
    served = {spec.name for spec in eval_config.model_specs if spec.is_baseline} if eval_config else set()
    return [
        _computation(model, name, (), (), "")
        if model in served
        else _computation(model, name, baselines, rivals, catalogue)
        for model in model_names
    ]


def _computation(
    model: str, name: str, baselines: Sequence[str], rivals: Sequence[str], catalogue: str
) -> metric_types.MetricComputation:
    return metric_types.MetricComputation(
        keys=[_key(name, model)],
        preprocessors=[SessionPreprocessor(model, baselines)],
        combiner=SessionCombiner(model, baselines, rivals, catalogue),
    )


def _key(name: str, model: str) -> metric_types.MetricKey:
    """TFMA looks for the thresholds that are given by name under `example_weighted=None`."""
    return metric_types.MetricKey(name, model_name=model, example_weighted=None)


def with_catalogue(eval_config: tfma.EvalConfig, path: str) -> tfma.EvalConfig:
    """A copy of an EvalConfig whose RankingMetrics read the catalogue from a file."""
    changed = tfma.EvalConfig()
    changed.CopyFrom(eval_config)
    for spec in changed.metrics_specs:
        for metric in spec.metrics:
            if metric.class_name == RankingMetrics.__name__:
                metric.config = json.dumps({**json.loads(metric.config or "{}"), "catalogue": path})
    return changed


class SessionPreprocessor(metric_types.Preprocessor):  # type: ignore[misc]
    """One session's extracts → its SessionRanks."""

    def __init__(self, model: str, baselines: Sequence[str]) -> None:
        super().__init__(name=f"session_ranks:{model}")
        self._model = model
        self._baselines = tuple(baselines)

    def process(self, extracts: Mapping[str, Any]) -> Iterator[SessionRanks]:
        """Raises ValueError where a baseline made other predictions than the model."""
        outputs = _model_outputs(extracts[tfma.PREDICTIONS_KEY], self._model)
        features = extracts[tfma.FEATURES_KEY]
        ranks = np.asarray(outputs[contract.OUTPUT_RANKS]).ravel()
        number = int(np.count_nonzero(ranks != contract.NO_PREDICTION))  # the padding stands at the right
        baselines = [_baseline_ranks(features, name, number) for name in self._baselines]
        top_ids = outputs.get(contract.OUTPUT_TOP_IDS, np.zeros((number, 0), np.int32))
        yield SessionRanks(
            ranks=np.stack([ranks[:number], *baselines]),
            top_ids=np.asarray(top_ids)[:number],
            targets=_integers(features, contract.TARGET_INDICES),
        )


def _model_outputs(predictions: Any, model: str) -> Mapping[str, Any]:
    """TFMA nests the predictions by model where there are two, and drops the name of an only output."""
    if model:
        predictions = predictions[model]
    return predictions if isinstance(predictions, Mapping) else {contract.OUTPUT_RANKS: predictions}


def _baseline_ranks(features: Mapping[str, Any], baseline: str, number: int) -> npt.NDArray[np.int64]:
    ranks = _integers(features, contract.baseline_ranks_feature(baseline))
    if len(ranks) != number:
        raise ValueError(
            f"of one session the model made {number} predictions and the baseline {baseline} {len(ranks)}: "
            "both must predict every item after the first"
        )
    return ranks


def _integers(features: Mapping[str, Any], name: str) -> npt.NDArray[np.int64]:
    found = features.get(name)
    return np.empty(0, np.int64) if found is None else np.asarray(found).ravel().astype(np.int64)


class _Accumulator:
    """Counts so far, and the sessions that wait to be counted."""

    def __init__(self, rankers: int) -> None:
        self.rankers = rankers
        self.counts = Counts.none(rankers)
        self.waiting: list[SessionRanks] = []

    def count(self) -> Counts:
        """Counts the sessions that wait; all counts."""
        if self.waiting:
            self.counts += Counts.of(self.waiting, self.rankers)
            self.waiting = []
        return self.counts


class SessionCombiner(beam.CombineFn):
    """SessionRanks → the metrics of one model."""

    def __init__(self, model: str, baselines: Sequence[str], rivals: Sequence[str], catalogue: str) -> None:
        self._model = model
        self._baselines = tuple(baselines)
        self._rivals = tuple(rivals)
        self._catalogue = catalogue

    def create_accumulator(self) -> _Accumulator:
        """Of no sessions."""
        return _Accumulator(1 + len(self._baselines))

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
            merged.counts += accumulator.count()
        return merged

    def extract_output(self, accumulator: _Accumulator) -> dict[metric_types.MetricKey, float]:
        """Every metric by its key."""
        catalogue = baseline_examples.read_catalogue(self._catalogue) if self._catalogue else None
        found = session_counts.values(accumulator.count(), self._baselines, self._rivals, catalogue)
        return {_key(name, self._model): value for name, value in found.items()}
