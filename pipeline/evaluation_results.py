"""From TFMA's output and the blessing to the `evaluation` and `gate` sections of metrics.json (INTERFACE)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import tensorflow_model_analysis as tfma

from nextclick.components import contract, data_drift, figures, metrics, prediction_slices, verdict, weights_check
from nextclick.components.baselines import REGISTRY
from nextclick.pipeline import gate, gate_results
from nextclick.pipeline.config import Config

# Values of one slice: (model name, whether a difference, metric) → value.
Values = dict[tuple[str, bool, str], float]


class Blessing(Protocol):
    """What Evaluator noted of its decision."""

    @property
    def properties(self) -> Mapping[str, Any]:
        """The artifact's properties, custom ones included."""


def read(evaluation_uri: str, blessing: Blessing, config: Config) -> dict[str, Any]:
    """The sections `evaluation` and `gate`, and what is shown besides: `examples`, `weights` and `drift`.

    Args:
        evaluation_uri: folder of GateEvaluator's `evaluation`.
        blessing: GateEvaluator's `blessing`.
        config: of the run.
    """
    found = verdict.read(evaluation_uri)
    slices = dict(_slices(evaluation_uri)) if found.scores_finite else {}
    candidate = (
        gate.CANDIDATE if any((gate.CANDIDATE, False, "sessions") in values for values in slices.values()) else ""
    )
    return {
        "evaluation": _evaluation(slices, candidate),
        "gate": {
            "blessed": blessing.properties.get("blessed") == 1,
            "overridden": blessing.properties.get("overridden") == 1,
            "overrides": [text for text in str(blessing.properties.get("overrides", "")).split("; ") if text],
            "checks": _checks(config, slices, candidate, found, evaluation_uri),
        },
        "examples": list(found.examples),
        "weights": _weights(found.figures),
        "drift": _drift(found, slices.get("", {}), candidate, config),
    }


def _checks(
    config: Config, slices: Mapping[str, Values], candidate: str, found: verdict.Verdict, evaluation_uri: str
) -> list[dict[str, Any]]:
    failed = gate_results.failures(tfma.load_validation_result(evaluation_uri)) if found.scores_finite else set()
    measured = {gate.SCORES_FINITE: float(found.scores_finite), **found.figures}
    return [
        gate_results.row(check, slices, candidate, failed)
        if check.by_tfma
        else gate_results.verdict_row(check, measured.get(check.metric))
        for check in gate.checks(config)
    ]


def _weights(found: Mapping[str, float]) -> dict[str, dict[str, float]] | None:
    """Quality, latency and size of the float32 form and of the exported one; None where that is float32 itself."""
    sides = {"before": weights_check.BEFORE, "after": weights_check.AFTER}
    figures = {
        side: {name.removeprefix(f"{prefix}/"): value for name, value in found.items() if name.startswith(f"{prefix}/")}
        for side, prefix in sides.items()
    }
    return figures if figures["before"] else None


def _drift(found: verdict.Verdict, overall: Values, candidate: str, config: Config) -> list[dict[str, Any]]:
    """The tables with the figure that each lies behind, and its limit."""
    limits = {check.metric: check.maximum for check in gate.checks(config)}
    return [
        {
            **table,
            "distance": overall.get((candidate, False, str(table["figure"]))),
            "limit": limits.get(str(table["figure"])),
        }
        for table in found.drift
    ]


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


def _evaluation(slices: Mapping[str, Values], candidate: str) -> dict[str, Any]:
    overall = slices.get("", {})
    own, served = _of_model(overall, candidate), _of_model(overall, gate.SERVED)
    shown = (*metrics.RANK_METRICS, *metrics.LIST_METRICS)
    return {
        "split": contract.TEST,
        "sessions": int(own.get("sessions", 0)),
        "predictions": int(own.get("predictions", 0)),
        "predictions_with_known_target": int(own.get("predictions_known", 0)),
        "tied_share": own.get("tied_share"),
        "model": _named(own, shown, ""),
        "served": _named(served, metrics.RANK_METRICS, "") or None,
        "baselines": {name: _named(own, shown, f"{name}/") for name in REGISTRY},
        "intervals": _intervals(own),
        "data": {name: own[name] for name in data_drift.FIGURES if name in own},
        "items": {side: _items(own, side) for side in ("over", "under")},
        "slices": [*_prediction_slices(own), *_session_slices(slices, candidate)],
    }


def _of_model(values: Values, model: str) -> dict[str, float]:
    return {name: value for (owner, is_diff, name), value in values.items() if owner == model and not is_diff}


def _named(values: Mapping[str, float], names: tuple[str, ...], prefix: str) -> dict[str, float]:
    return {name: values[prefix + name] for name in names if prefix + name in values}


def _intervals(own: Mapping[str, float]) -> dict[str, dict[str, list[float]]]:
    """By ranker and metric: low and high end."""
    prefixes = {"model": "", **{name: f"{name}/" for name in REGISTRY}}
    return {
        ranker: {name: [own[f"{prefix}{name}/low"], own[f"{prefix}{name}/high"]] for name in figures.MAIN_METRICS}
        for ranker, prefix in prefixes.items()
        if f"{prefix}{figures.MAIN_METRICS[0]}/low" in own
    }


def _items(own: Mapping[str, float], side: str) -> list[dict[str, Any]]:
    """Items that are recommended beyond ("over") or below ("under") their share of the clicks."""
    mark = f"recommended|{side}="
    names = [name[len(mark) :] for name in own if name.startswith(mark)]
    found = [
        {"item": name, "recommended": int(own[f"{mark}{name}"]), "clicked": int(own[f"clicked|{side}={name}"])}
        for name in names
    ]
    return sorted(found, key=lambda item: -int(item["recommended" if side == "over" else "clicked"]))


def _prediction_slices(own: Mapping[str, float]) -> Iterator[dict[str, Any]]:
    """In the order of their dimensions; empty slices are left out."""
    known = [f"{one.name}={label}" for one in prediction_slices.dimensions(()) for label in one.labels]
    found = [name.partition("|")[2] for name in own if name.startswith("predictions|")]
    for name in sorted(found, key=lambda name: known.index(name) if name in known else len(known)):
        if own[f"predictions|{name}"]:
            values = {metric: own[f"{metric}|{name}"] for metric in _slice_metrics(own)}
            yield _slice(name, values, own[f"predictions|{name}"])


def _session_slices(slices: Mapping[str, Values], candidate: str) -> Iterator[dict[str, Any]]:
    for name in sorted((name for name in slices if name), key=_slice_order):
        own = _of_model(slices[name], candidate)
        yield _slice(name, {metric: own[metric] for metric in _slice_metrics(own)}, own["predictions"])


def _slice_metrics(own: Mapping[str, float]) -> list[str]:
    """Names of the metrics that a slice shows: the model's and the baselines'."""
    prefixes = ["", *(f"{name}/" for name in REGISTRY)]
    return [prefix + name for prefix in prefixes for name in figures.MAIN_METRICS if prefix + name in own]


def _slice(name: str, values: Mapping[str, float], predictions: float) -> dict[str, Any]:
    return {"slice": name, "predictions": int(predictions), "metrics": dict(values)}


def _slice_order(name: str) -> tuple[str, int, str]:
    """Numbers in their order: session_length=5-9 before session_length=10-19."""
    key, _, value = name.partition("=")
    digits = value.split("-")[0].rstrip("+")
    return key, int(digits) if digits.isdecimal() else 0, value
