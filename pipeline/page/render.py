"""Puts the sections into the template: one HTML file with everything inside, that asks for nothing from outside."""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2

from nextclick.pipeline.page import (
    data,
    examples,
    extras,
    gate,
    history,
    lineage,
    quality,
    rankers,
    slices,
    training,
    tuning,
    values,
    weights,
)
from nextclick.pipeline.page.blocks import Section
from nextclick.pipeline.page.verdict import tone, verdict

FOLDER = Path(__file__).parent
OUTCOMES = {
    "pushed": ("✓", "Pushed"),
    "passed": ("✓", "Passed, nothing new pushed"),
    "refused": ("✗", "Refused"),
    "overridden": ("!", "Gate overridden"),
    "unknown": ("?", "No verdict"),
}
# Each file uses those before it.
LIBRARIES = (
    "d3-array-3.2.5",
    "d3-color-3.1.1",
    "d3-format-3.1.3",
    "d3-interpolate-3.0.2",
    "d3-path-3.1.1",
    "d3-time-3.1.1",
    "d3-time-format-4.1.1",
    "d3-scale-4.0.3",
    "d3-shape-3.2.1",
    "d3-selection-3.0.1",
    "d3-axis-3.0.1",
    "d3-sankey-0.12.3",
)


def html(metrics: Any, before: Sequence[dict[str, Any]] = (), unreadable: int = 0) -> str:
    """The report as one HTML document; `before` are the metrics of earlier runs, oldest first."""
    script, outcome = _script(), tone(metrics)
    sections = _sections(metrics, before, unreadable)
    return _template().render(
        verdict=verdict(metrics),
        tone=outcome,
        outcome=OUTCOMES[outcome][1],
        mark=OUTCOMES[outcome][0],
        run=values.show_text(values.part(metrics, "run", "id")),
        about=values.part(metrics, "about"),
        started=values.show_time(values.part(metrics, "run", "started")),
        seconds=values.show_seconds(values.part(metrics, "run", "seconds")),
        headlines=_headlines(metrics),
        sections=sections,
        style=_text("report.css"),
        script=script,
        policy=_policy(script),
    )


@functools.cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("template.html")


def _sections(metrics: Any, before: Sequence[dict[str, Any]], unreadable: int) -> list[Section]:
    every = (
        gate.section(metrics),
        quality.section(metrics),
        slices.section(metrics),
        weights.section(metrics),
        training.section(metrics),
        tuning.section(metrics),
        data.section(metrics),
        extras.drift(metrics),
        extras.items(metrics),
        examples.section(metrics),
        lineage.section(metrics),
        history.section(metrics, before, unreadable),
    )
    return [section for section in every if section is not None]


def _headlines(metrics: Any) -> list[tuple[str, str, str]]:
    """The figures beneath the verdict: name, value, remark."""
    found = []
    for metric in (rankers.RECALL, rankers.MRR):
        best = rankers.best_baseline(metrics, metric)
        remark = f"best baseline {values.show_figure(best[1])}" if best else "no baseline"
        found.append(
            (quality.label(metric), values.show_figure(values.part(metrics, "evaluation", "model", metric)), remark)
        )
    items = values.number(values.part(metrics, "data", "items"))
    catalogue = "recommended to anybody" if items is None else f"of {values.show_count(items)} items"
    coverage = values.part(metrics, "evaluation", "model", "coverage@20")
    found.append(("Catalogue covered", values.show_percent(coverage), catalogue))
    predictions = values.part(metrics, "evaluation", "predictions")
    found.append(("Predictions tested", values.show_count(predictions), "clicks of the test split"))
    return found


@functools.cache
def _script() -> str:
    libraries = [_text(f"vendor/{name}.min.js") for name in LIBRARIES]
    licences = _text("vendor/LICENSES.txt").replace("*/", "* /")
    return "\n".join([f"/*!\n{licences}*/", *libraries, _text("report.js")])


def _policy(script: str) -> str:
    """A content security policy: this very script may run, nothing may be fetched."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _text(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")
