"""The gate's table with what was found: value, interval, threshold and the reason, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tensorflow_model_analysis.proto import validation_result_pb2

from nextclick.pipeline.gate import Check
from nextclick.pipeline.page.values import show_figure

# Values of one slice: (model name, whether a difference, metric) → value.
Values = Mapping[tuple[str, bool, str], float]
# Metric, whether a difference, whether of a slice.
Failures = set[tuple[str, bool, bool]]


def failures(result: validation_result_pb2.ValidationResult) -> Failures:
    """The bounds that TFMA found broken."""
    return {
        (failure.metric_key.name, failure.metric_key.is_diff, bool(entry.slice_key.single_slice_keys))
        for entry in result.metric_validations_per_slice
        for failure in entry.failures
    }


def verdict_row(check: Check, value: float | None) -> dict[str, Any]:
    """One row of `gate.checks`, of what GateEvaluator measured itself."""
    passed = value is not None and (
        value <= check.maximum if check.maximum is not None else value >= (check.minimum or 0.0)
    )
    return {**_start(check, value, passed), "reason": _reason(check, value, "", passed)}


def row(check: Check, slices: Mapping[str, Values], candidate: str, failed: Failures) -> dict[str, Any]:
    """One row of `gate.checks`; without a served model a check against it has no value and is passed.

    Args:
        check: the bound.
        slices: values of every slice by its name, "" for the whole split.
        candidate: the model's name in the keys of the values.
        failed: of `failures`.
    """
    where = _where(check, slices, candidate)
    values = slices.get(where, {})
    value = values.get((candidate, check.against_served, check.metric))
    bounded = values.get((candidate, check.against_served, check.bounded_metric))
    passed = bool(slices) and (check.bounded_metric, check.against_served, bool(check.each)) not in failed
    shown = _start(check, value if value is not None else bounded, passed)
    found = {**shown, "reason": _reason(check, bounded, where, passed)}
    if check.end:
        ends = [values.get((candidate, check.against_served, f"{check.metric}/{end}")) for end in ("low", "high")]
        found["interval"] = ends if None not in ends else None
    return found


def _start(check: Check, value: float | None, passed: bool) -> dict[str, Any]:
    return {
        "name": check.name,
        "metric": check.metric,
        "value": value,
        "threshold": check.minimum if check.minimum is not None else check.maximum,
        "bound": "at least" if check.minimum is not None else "at most",
        "passed": passed,
    }


def _where(check: Check, slices: Mapping[str, Values], candidate: str) -> str:
    """The slice that the row shows: of a check on each slice the one nearest to its limit."""
    if not check.each:
        return ""
    key = (candidate, check.against_served, check.bounded_metric)
    mine = [name for name, values in slices.items() if name.startswith(f"{check.each}=") and key in values]
    return min(mine, key=lambda name: slices[name][key], default="none")


def _reason(check: Check, bounded: float | None, where: str, passed: bool) -> str:
    if bounded is None:
        if check.against_served and passed:
            return "Nothing is served yet, or it is not compared with."
        return "It could not be measured."
    figure = {"": "", "low": "the low end of its 95 % interval, ", "high": "the high end of its 95 % interval, "}[
        check.end
    ]
    place = f" ({where.replace('=', ' ').replace('_', ' ')})" if where else ""
    if check.minimum is not None:
        verb, limit = ("reaches the least allowed" if passed else "is below the least allowed"), check.minimum
    else:
        verb, limit = ("is within the most allowed" if passed else "is above the most allowed"), check.maximum or 0.0
    sentence = f"{figure}{show_figure(bounded)}{place} {verb}, {show_figure(limit)}."
    return sentence[0].upper() + sentence[1:]
