"""What became of the model, in one sentence: the first thing that a reader of the report wants to know."""

from __future__ import annotations

from typing import Any

from nextclick.pipeline.page import rankers, values

MAX_NAMED_CHECKS = 3


def verdict(metrics: Any) -> str:
    """One sentence: pushed or not, why, and how good the model is."""
    blessed = values.part(metrics, "gate", "blessed")
    version = values.part(metrics, "pushed", "version")
    if blessed is None:
        return "The gate gave no verdict on this model, and nothing is known to have been pushed."
    if tone(metrics) == "overridden":
        pushed = "nothing was pushed" if version is None else f"version {version} was pushed all the same"
        return f"The gate was overridden: {_failures(metrics)}, and {pushed}."
    if not blessed:
        return f"Refused, nothing was pushed: {_failures(metrics)}."
    return f"{_outcome(metrics, version)}: {_quality(metrics)}."


def tone(metrics: Any) -> str:
    """The verdict's colour: "pushed", "passed", "refused", "overridden" or "unknown"."""
    blessed = values.part(metrics, "gate", "blessed")
    if blessed is None:
        return "unknown"
    if values.part(metrics, "gate", "overridden") or values.part(metrics, "config", "gate", "enabled") is False:
        return "overridden"
    if not blessed:
        return "refused"
    new = values.part(metrics, "pushed", "version") is not None and not values.part(metrics, "pushed", "already_served")
    return "pushed" if new else "passed"


def checks(metrics: Any) -> list[dict[str, Any]]:
    """The gate's checks, each as a dictionary."""
    return [values.mapping(check) for check in values.entries(metrics, "gate", "checks")]


def reason(check: dict[str, Any]) -> str:
    """Why a check passed or failed: the gate's own sentence, else one made from value and threshold."""
    if isinstance(check.get("reason"), str) and check["reason"]:
        return str(check["reason"])
    value, threshold = values.number(check.get("value")), values.number(check.get("threshold"))
    if value is None or threshold is None:
        return "It was measured as good enough." if check.get("passed") else "It could not be measured."
    shown, limit = values.show_figure(value), values.show_figure(threshold)
    if check.get("passed"):
        return (
            f"{shown} reaches the least allowed, {limit}."
            if value >= threshold
            else f"{shown} stays below the most allowed, {limit}."
        )
    return (
        f"{shown} is below the least allowed, {limit}."
        if value <= threshold
        else f"{shown} is above the most allowed, {limit}."
    )


def _outcome(metrics: Any, version: Any) -> str:
    if version is None:
        return "Passed the gate, but nothing was pushed"
    if values.part(metrics, "pushed", "already_served"):
        return f"Passed the gate and is served already as version {version}"
    return f"Pushed as version {version}"


def _failures(metrics: Any) -> str:
    every = checks(metrics)
    failed = [check for check in every if not check.get("passed")]
    if not failed:
        return "every check passed" if every else "no check was made"
    named = "; ".join(f"{check.get('name')}: {reason(check).rstrip('.')}" for check in failed[:MAX_NAMED_CHECKS])
    more = "; …" if len(failed) > MAX_NAMED_CHECKS else ""
    verb = "check" if len(every) == 1 else "checks"
    return f"{len(failed)} of {len(every)} {verb} failed ({named}{more})"


def _quality(metrics: Any) -> str:
    recall = values.number(values.part(metrics, "evaluation", "model", rankers.RECALL))
    if recall is None:
        return "its quality is not available"
    share = f"the next click is among its first 20 recommendations {values.show_percent(recall)} of the time"
    best = rankers.best_baseline(metrics, rankers.RECALL)
    if best is None:
        return f"{share}, with no baseline to compare"
    points = 100 * (recall - best[1])
    side = "more" if points >= 0 else "fewer"
    name = values.ranker(best[0])
    return f"{share}, {abs(points):.1f} points {side} than the best baseline ({name}, {values.show_percent(best[1])})"
