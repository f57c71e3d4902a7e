"""From TFMA's output and the blessing to the `evaluation` and `gate` sections of metrics.json (INTERFACE)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import tensorflow_model_analysis as tfma

from nextclick.components import contract, metrics
from nextclick.components.baselines import REGISTRY
from nextclick.components.session_counts import POSITIONS, SLICED_METRICS
from nextclick.pipeline import gate
from nextclick.pipeline.config import Config
from nextclick.pipeline.gate import Check

# Values of one slice: (model name, whether a difference, metric) → value.
Values = dict[tuple[str, bool, str], float]


class Blessing(Protocol):
    """What Evaluator noted of its decision."""

    @property
    def properties(self) -> Mapping[str, Any]:
        """The artifact's properties, custom ones included."""


def read(evaluation_uri: str, blessing: Blessing, config: Config) -> dict[str, Any]:
    """The sections `evaluation` and `gate`.

    Args:
        evaluation_uri: folder of GateEvaluator's `evaluation`.
        blessing: GateEvaluator's `blessing`.
        config: of the run.
    """
    slices = dict(_slices(evaluation_uri))
    overall = slices.pop("", {})
    candidate = gate.CANDIDATE if any(model == gate.CANDIDATE for model, _, _ in overall) else ""
    return {
        "evaluation": _evaluation(overall, slices, candidate),
        "gate": {
            "blessed": blessing.properties.get("blessed") == 1,
            "overridden": blessing.properties.get("overridden") == 1,
            "checks": [_check(check, overall, candidate, _failures(evaluation_uri)) for check in gate.checks(config)],
        },
    }


def _slices(evaluation_uri: str) -> Iterator[tuple[str, Values]]:
    """Each slice by its name, "" for the whole split: "session_length=3-4"."""
    for entry in tfma.load_metrics(evaluation_uri):
        name = ",".join(f"{key.column}={_slice_value(key)}" for key in entry.slice_key.single_slice_keys)
        yield (
            name,
            {
                (item.key.model_name, item.key.is_diff, item.key.name): item.value.double_value.value
                for item in entry.metric_keys_and_values
            },
        )


def _slice_value(key: Any) -> str:
    value = getattr(key, key.WhichOneof("kind"))
    return value.decode() if isinstance(value, bytes) else str(value)


def _evaluation(overall: Values, slices: Mapping[str, Values], candidate: str) -> dict[str, Any]:
    own = _of_model(overall, candidate)
    return {
        "split": contract.TEST,
        "predictions": int(own.get("predictions", 0)),
        "predictions_with_known_target": int(own.get("predictions_known", 0)),
        "tied_share": own.get("tied_share"),
        "model": _named(own, (*metrics.RANK_METRICS, *metrics.LIST_METRICS), ""),
        "served": _named(_of_model(overall, gate.SERVED), metrics.RANK_METRICS, "") or None,
        "baselines": {name: _named(own, metrics.RANK_METRICS, f"{name}/") for name in REGISTRY},
        "slices": [*_position_slices(own), *_session_slices(slices, candidate)],
    }


def _of_model(values: Values, model: str) -> dict[str, float]:
    return {name: value for (owner, is_diff, name), value in values.items() if owner == model and not is_diff}


def _named(values: Mapping[str, float], names: tuple[str, ...], prefix: str) -> dict[str, float]:
    return {name: values[prefix + name] for name in names if prefix + name in values}


def _position_slices(own: Mapping[str, float]) -> Iterator[dict[str, Any]]:
    for position in POSITIONS:
        name = f"position={position}"
        values = {metric: own[f"{metric}|{name}"] for metric in _slice_metrics(own)}
        yield _slice(name, values, own.get(f"predictions|{name}", 0))


def _session_slices(slices: Mapping[str, Values], candidate: str) -> Iterator[dict[str, Any]]:
    for slice_name in sorted(slices, key=_slice_order):
        own = _of_model(slices[slice_name], candidate)
        yield _slice(slice_name, {name: own[name] for name in _slice_metrics(own)}, own["predictions"])


def _slice_metrics(own: Mapping[str, float]) -> list[str]:
    """Names of the metrics that a slice shows: the model's and the baselines'."""
    prefixes = ["", *(f"{name}/" for name in REGISTRY)]
    return [prefix + name for prefix in prefixes for name in SLICED_METRICS if prefix + name in own]


def _slice(name: str, values: Mapping[str, float], predictions: float) -> dict[str, Any]:
    return {"slice": name, "predictions": int(predictions), "metrics": dict(values)}


def _slice_order(name: str) -> tuple[str, int, str]:
    """Numbers in their order: session_length=5-9 before session_length=10-19."""
    key, _, value = name.partition("=")
    digits = value.split("-")[0].rstrip("+")
    return key, int(digits) if digits.isdecimal() else 0, value


def _failures(evaluation_uri: str) -> set[tuple[str, bool]]:
    """Metric and whether a difference, of each threshold that TFMA found broken."""
    result = tfma.load_validation_result(evaluation_uri)
    return {
        (failure.metric_key.name, failure.metric_key.is_diff)
        for entry in result.metric_validations_per_slice
        for failure in entry.failures
    }


def _check(check: Check, overall: Values, candidate: str, failures: set[tuple[str, bool]]) -> dict[str, Any]:
    """One row of the gate's table; without a served model a check against it has no value and is passed."""
    value = overall.get((candidate, check.against_served, check.metric))
    name = check.name
    if check.against_served and value is None and overall:
        name += " (none is served yet)"
    return {
        "name": name,
        "metric": check.metric,
        "value": value,
        "threshold": check.minimum if check.minimum is not None else check.maximum,
        "bound": "at least" if check.minimum is not None else "at most",
        "passed": (check.metric, check.against_served) not in failures,
    }
