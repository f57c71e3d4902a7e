"""What became of the model, in one sentence: the first thing that a reader of the report wants to know."""

from __future__ import annotations

from typing import Any

from nextclick.pipeline.page import rankers, values


def verdict(metrics: Any) -> str:
    """One sentence: pushed or not, why, and how good the model is."""
    blessed = values.part(metrics, "gate", "blessed")
    version = values.part(metrics, "pushed", "version")
    if blessed is None:
        return "The gate gave no verdict on this model, and nothing is known to have been pushed."
    if tone(metrics) == "overridden":
        return f"The gate was overridden: {_despite(metrics, version)}."
    if not blessed:
        failed = any(not check.get("passed") for check in checks(metrics))
        why = f": {_failures(metrics)}" if failed else f", although {_failures(metrics)}; the run's log may tell why"
        return f"Refused, nothing was pushed{why}."
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
        return "Not measured: it does not apply to this run." if check.get("passed") else "It could not be measured."
    passed = bool(check.get("passed"))
    # Without the gate's word for it, the side of the threshold tells: a passed check is on the right one.
    least = check["bound"] == "at least" if check.get("bound") else (value >= threshold) == passed
    shown, limit = values.show_figure(value), values.show_figure(threshold)
    if least:
        return (
            f"{shown} reaches the least allowed, {limit}."
            if passed
            else f"{shown} is below the least allowed, {limit}."
        )
    return f"{shown} is within the most allowed, {limit}." if passed else f"{shown} is above the most allowed, {limit}."


def _despite(metrics: Any, version: Any) -> str:
    failed = any(not check.get("passed") for check in checks(metrics))
    if version is None:
        return f"{_failures(metrics)}, and nothing was pushed"
    return f"version {version} was pushed {'although' if failed else 'and'} {_failures(metrics)}"


def _outcome(metrics: Any, version: Any) -> str:
    gate = "a loosened gate" if values.entries(metrics, "gate", "overrides") else "the gate"
    if version is None:
        return f"Passed {gate}, but nothing was pushed"
    if values.part(metrics, "pushed", "already_served"):
        return f"Passed {gate} and is served already as version {version}"
    return f"Pushed as version {version}" + (" past a loosened gate" if gate != "the gate" else "")


def _failures(metrics: Any) -> str:
    every = checks(metrics)
    failed = [check for check in every if not check.get("passed")]
    if not failed:
        return "every check passed" if every else "no check was made"
    verb = "check" if len(every) == 1 else "checks"
    first = f"\u201c{values.show_text(failed[0].get('name'))}\u201d ({reason(failed[0]).rstrip('.')})"
    return f"{len(failed)} of {len(every)} {verb} failed, {'first ' if len(failed) > 1 else ''}{first}"


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
