"""The gate: what a model must reach to be pushed, as one table of checks, and as TFMA's EvalConfig.

Every check is a bound on one metric of the whole test split. TFMA decides; `evaluation_results.py` writes the same
table with the values found. Checks against the served model are left out by TFMA where nothing is served yet: hence
the absolute ones and those against the baselines, which hold on the first run too.
"""

from __future__ import annotations

import dataclasses
import json

import tensorflow_model_analysis as tfma

from nextclick.components import contract, tfma_metrics
from nextclick.components.baselines import REGISTRY
from nextclick.components.session_counts import BASELINE_LIFT
from nextclick.pipeline.config import Config
from nextclick.pipeline.errors import ConfigError

CANDIDATE = "candidate"
SERVED = "served"


@dataclasses.dataclass(frozen=True)
class Check:
    """One row of the gate's table.

    Attributes:
        name: what is asked, in words.
        metric: the metric that is bounded.
        minimum: lower bound, included; None: there is none.
        maximum: upper bound, included; None: there is none.
        against_served: the bound is on the difference, candidate less served model.
    """

    name: str
    metric: str
    minimum: float | None = None
    maximum: float | None = None
    against_served: bool = False


def checks(config: Config) -> tuple[Check, ...]:
    """The gate's table for a configuration, in the order of the report; ConfigError for an unknown baseline."""
    gate = config.gate
    unknown = sorted(set(gate.baselines) - set(REGISTRY))
    if unknown:
        raise ConfigError(f"gate.baselines must be among {', '.join(REGISTRY)}, received {', '.join(unknown)}")
    rivals = ", ".join(gate.baselines)
    table = [
        Check("enough predictions to trust the figures", "predictions", minimum=gate.min_predictions),
        Check("Recall@20 of a model that has learnt anything", "recall@20", minimum=gate.min_recall),
        Check("Recall@1 of a model that cannot see the answer", "recall@1", maximum=gate.max_recall_at_1),
        Check("places of the lists that hold no item of the catalogue", "invalid@20", maximum=0.0),
    ]
    if gate.baselines:
        table += [
            Check(f"Recall@20 above the best of {rivals}", f"{BASELINE_LIFT}/recall@20", minimum=gate.min_recall_lift),
            Check(f"MRR@20 above the best of {rivals}", f"{BASELINE_LIFT}/mrr@20", minimum=gate.min_mrr_lift),
        ]
    if gate.compare_served:
        table += [
            Check("Recall@20 against the model now served", "recall@20", -gate.max_recall_drop, against_served=True),
            Check("MRR@20 against the model now served", "mrr@20", -gate.max_mrr_drop, against_served=True),
        ]
    return tuple(table)


def eval_config(config: Config) -> tfma.EvalConfig:
    """TFMA's configuration: models, metrics, slices and the gate's thresholds."""
    return tfma.EvalConfig(
        model_specs=_model_specs(config),
        slicing_specs=[tfma.SlicingSpec(), tfma.SlicingSpec(feature_keys=[contract.SESSION_LENGTH])],
        metrics_specs=[
            tfma.MetricsSpec(
                metrics=[
                    tfma.MetricConfig(
                        class_name=tfma_metrics.RankingMetrics.__name__,
                        module=tfma_metrics.__name__,
                        config=json.dumps({"baselines": tuple(REGISTRY), "rivals": config.gate.baselines}),
                    )
                ],
                per_slice_thresholds=_thresholds(config),
            )
        ],
        options=tfma.Options(include_default_metrics={"value": False}),
    )


def _model_specs(config: Config) -> list[tfma.ModelSpec]:
    specs = [tfma.ModelSpec(name=CANDIDATE, signature_name=contract.SIGNATURE_EVALUATE)]
    if config.gate.compare_served:
        specs.append(tfma.ModelSpec(name=SERVED, signature_name=contract.SIGNATURE_EVALUATE, is_baseline=True))
    return specs


def _thresholds(config: Config) -> dict[str, tfma.PerSliceMetricThresholds]:
    """By metric; the slicing spec without a key is the whole split (MetricConfig.threshold would bind every slice)."""
    found: dict[str, tfma.MetricThreshold] = {}
    for check in checks(config):
        threshold = found.setdefault(check.metric, tfma.MetricThreshold())
        if check.against_served:
            threshold.change_threshold.direction = tfma.MetricDirection.HIGHER_IS_BETTER
            threshold.change_threshold.absolute.value = check.minimum
        if not check.against_served and check.minimum is not None:
            threshold.value_threshold.lower_bound.value = check.minimum
        if not check.against_served and check.maximum is not None:
            threshold.value_threshold.upper_bound.value = check.maximum
    return {
        metric: tfma.PerSliceMetricThresholds(
            thresholds=[tfma.PerSliceMetricThreshold(slicing_specs=[tfma.SlicingSpec()], threshold=threshold)]
        )
        for metric, threshold in found.items()
    }
