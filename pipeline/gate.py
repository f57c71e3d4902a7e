"""The gate: what a model must reach to be pushed, as one table of checks, and as TFMA's EvalConfig.

Every check is a bound on one metric. TFMA decides, or GateEvaluator where it is not about the metrics of the test
split; `evaluation_results.py` writes the same table with the values found. Checks against the served model are left
out by TFMA where nothing is served yet: hence the absolute ones and those against the baselines, which hold on the
first run too.
"""

from __future__ import annotations

import dataclasses
import json

from tensorflow_model_analysis.proto import config_pb2

from nextclick.components import contract, data_drift, figures, spans, tfma_metrics
from nextclick.components.baselines import REGISTRY
from nextclick.components.serving_checks import DISAGREEMENT, MEGABYTES, P99_MS
from nextclick.components.weights_check import MRR_LOSS
from nextclick.pipeline.config import Config, GateConfig
from nextclick.pipeline.errors import ConfigError

CANDIDATE = "candidate"
SERVED = figures.SERVED
SCORES_FINITE = "scores_finite"


@dataclasses.dataclass(frozen=True)
class Check:
    """One row of the gate's table.

    Attributes:
        name: what is asked, in words.
        metric: the metric that is bounded.
        minimum: lower bound, included; None: there is none.
        maximum: upper bound, included; None: there is none.
        end: "low" or "high": the bound is on that end of the metric's interval; "": on the metric.
        against_served: the metric is a difference, candidate less served model.
        each: feature by whose values the sessions are sliced, each slice being bounded; "": all sessions together.
        by_tfma: whether TFMA measures and decides; otherwise GateEvaluator does (components/verdict.py).
    """

    name: str
    metric: str
    minimum: float | None = None
    maximum: float | None = None
    end: str = ""
    against_served: bool = False
    each: str = ""
    by_tfma: bool = True

    @property
    def bounded_metric(self) -> str:
        """Name of the figure that the bound is on."""
        return f"{self.metric}/{self.end}" if self.end else self.metric


def checks(config: Config) -> tuple[Check, ...]:
    """The gate's table for a configuration, in the order of the report; ConfigError for an unknown baseline."""
    gate = config.gate
    unknown = sorted(set(gate.baselines) - set(REGISTRY))
    if unknown:
        raise ConfigError(f"gate.baselines must be among {', '.join(REGISTRY)}, received {', '.join(unknown)}")
    return (
        Check("scores that are finite numbers", SCORES_FINITE, minimum=1, by_tfma=False),
        *_sanity(gate),
        *(_against_baselines(gate) if gate.baselines else ()),
        *(_against_served(gate) if gate.compare_served else ()),
        *_lists_and_data(gate),
        *(_spans(gate) if spans.are_compared(config.data) else ()),
        *(_serving(config) if gate.check_serving else ()),
    )


def _sanity(gate: GateConfig) -> tuple[Check, ...]:
    return (
        Check("enough predictions to trust the figures", "predictions", minimum=gate.min_predictions),
        Check("Recall@20 of a model that has learnt anything", "recall@20", minimum=gate.min_recall),
        Check("Recall@1 of a model that cannot see the answer", "recall@1", maximum=gate.max_recall_at_1),
        Check("places of the lists that hold no item of the catalogue", "invalid@20", maximum=0.0),
    )


def _against_baselines(gate: GateConfig) -> tuple[Check, ...]:
    rivals, lift = ", ".join(gate.baselines).replace("_", " "), figures.BASELINE_LIFT
    return (
        Check(f"Recall@20 above the best of {rivals}", f"{lift}/recall@20", gate.min_recall_lift, end="low"),
        Check(f"MRR@20 above the best of {rivals}", f"{lift}/mrr@20", gate.min_mrr_lift, end="low"),
    )


def _against_served(gate: GateConfig) -> tuple[Check, ...]:
    served = "less the served model's"
    return (
        Check(f"Recall@20 {served}", "recall@20", -gate.max_recall_drop, end="low", against_served=True),
        Check(f"MRR@20 {served}", "mrr@20", -gate.max_mrr_drop, end="low", against_served=True),
        Check(
            f"Recall@20 {served}, sessions of any one length",
            "recall@20",
            -gate.max_slice_drop,
            end="high",
            against_served=True,
            each=contract.SESSION_LENGTH,
        ),
        Check(
            f"Recall@20 {served}, the worst kind of prediction",
            f"{figures.WORST_SLICE}/recall@20",
            -gate.max_slice_drop,
            against_served=True,
        ),
    )


def _lists_and_data(gate: GateConfig) -> tuple[Check, ...]:
    return (
        Check("share of the catalogue that is recommended", "coverage@20", minimum=gate.min_coverage),
        Check(
            "popularity of recommended items, to clicked ones", "popularity_lift@20", maximum=gate.max_popularity_lift
        ),
        Check("share of test clicks on unknown items", data_drift.UNKNOWN_TARGETS, maximum=gate.max_unknown_targets),
        Check("drift of the sessions' lengths", data_drift.LENGTH_DRIFT, maximum=gate.max_drift),
        Check("drift of the clicks' popularity", data_drift.POPULARITY_DRIFT, maximum=gate.max_drift),
        Check("change of an event type's share", data_drift.EVENT_TYPE_DRIFT, maximum=gate.max_share_change),
        Check("change of a frequent item's share", data_drift.ITEM_DRIFT, maximum=gate.max_share_change),
    )


def _spans(gate: GateConfig) -> tuple[Check, ...]:
    lengths, popularity, event_type, items = data_drift.SPAN_DRIFTS
    since = "newest span to those before"
    return (
        Check(f"drift of the sessions' lengths, {since}", lengths, maximum=gate.max_span_drift),
        Check(f"drift of the clicks' popularity, {since}", popularity, maximum=gate.max_span_drift),
        Check(f"change of an event type's share, {since}", event_type, maximum=gate.max_span_share_change),
        Check(f"change of a frequent item's share, {since}", items, maximum=gate.max_span_share_change),
    )


def _serving(config: Config) -> tuple[Check, ...]:
    gate, weights = config.gate, config.serving.weights
    loss = f"MRR@20 that {weights} weights cost against float32"
    return (
        Check("test sessions that are served otherwise than evaluated", DISAGREEMENT, maximum=0.0, by_tfma=False),
        Check("99th percentile of one request, in milliseconds", P99_MS, maximum=gate.max_p99_ms, by_tfma=False),
        Check("size of the model, in megabytes", MEGABYTES, maximum=gate.max_model_megabytes, by_tfma=False),
        *((Check(loss, MRR_LOSS, maximum=gate.max_weights_loss, by_tfma=False),) if weights != "float32" else ()),
    )


def serving_limits(config: Config) -> dict[str, float]:
    """The greatest value of each figure of the serving signatures; none where they are not asked."""
    return {check.metric: check.maximum or 0.0 for check in _serving(config)} if config.gate.check_serving else {}


def eval_config(config: Config) -> config_pb2.EvalConfig:
    """TFMA's configuration: models, metrics, slices and the gate's thresholds."""
    settings = {"baselines": list(REGISTRY), "rivals": list(config.gate.baselines), "seed": config.seed}
    return config_pb2.EvalConfig(
        model_specs=_model_specs(config),
        slicing_specs=[
            config_pb2.SlicingSpec(),
            config_pb2.SlicingSpec(feature_keys=[contract.SESSION_LENGTH]),
            config_pb2.SlicingSpec(feature_keys=[contract.TEST_PERIOD]),
        ],
        metrics_specs=[
            config_pb2.MetricsSpec(
                metrics=[
                    config_pb2.MetricConfig(
                        class_name=tfma_metrics.RankingMetrics.__name__,
                        module=tfma_metrics.__name__,
                        config=json.dumps(settings),
                    )
                ],
                per_slice_thresholds=_thresholds(checks(config)),
            )
        ],
        options=config_pb2.Options(include_default_metrics={"value": False}),
    )


def _model_specs(config: Config) -> list[config_pb2.ModelSpec]:
    specs = [config_pb2.ModelSpec(name=CANDIDATE, signature_name=contract.SIGNATURE_EVALUATE)]
    if config.gate.compare_served:
        specs.append(config_pb2.ModelSpec(name=SERVED, signature_name=contract.SIGNATURE_EVALUATE, is_baseline=True))
    return specs


def _thresholds(table: tuple[Check, ...]) -> dict[str, config_pb2.PerSliceMetricThresholds]:
    """By metric. A threshold without slices would bind every slice: a spec without a key is the whole split."""
    found: dict[str, config_pb2.PerSliceMetricThresholds] = {}
    for check in (check for check in table if check.by_tfma):
        spec = config_pb2.SlicingSpec(feature_keys=[check.each] if check.each else [])
        bound = config_pb2.PerSliceMetricThreshold(slicing_specs=[spec], threshold=_threshold(check))
        found.setdefault(check.bounded_metric, config_pb2.PerSliceMetricThresholds()).thresholds.append(bound)
    return found


def _threshold(check: Check) -> config_pb2.MetricThreshold:
    threshold = config_pb2.MetricThreshold()
    if check.against_served:
        threshold.change_threshold.direction = config_pb2.MetricDirection.HIGHER_IS_BETTER
        threshold.change_threshold.absolute.value = check.minimum
    elif check.minimum is not None:
        threshold.value_threshold.lower_bound.value = check.minimum
    elif check.maximum is not None:
        threshold.value_threshold.upper_bound.value = check.maximum
    return threshold
