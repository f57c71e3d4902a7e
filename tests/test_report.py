"""The report: a verdict that misleads, a figure that differs from metrics.json or an item id that runs as a script."""

from __future__ import annotations

import argparse
import base64
import copy
import hashlib
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from report_parts import Page, example

from nextclick.pipeline import report
from nextclick.pipeline.commands import report as command
from nextclick.pipeline.errors import DataError
from nextclick.pipeline.page import render, values

HOSTILE = "</script><script>alert('ï')</script><b x=\"'&"


def page(folder: Path, metrics: dict[str, Any]) -> Page:
    return Page(report.write_report(folder / "reports" / "run", metrics))


def changed(**changes: Any) -> dict[str, Any]:
    """The example with values set; a key `gate__blessed` is the path gate, blessed."""
    metrics = example()
    for key, value in changes.items():
        *path, name = key.split("__")
        target = metrics
        for step in path:
            target = target[step]
        target[name] = value
    return metrics


FAILED = [
    {"name": "Recall@20 above the best", "value": -0.0312, "threshold": 0.0, "bound": "at least", "passed": False},
    {"name": "Recall@1", "value": 0.95, "threshold": 0.9, "bound": "at most", "passed": False},
    {"name": "enough predictions", "value": 50, "threshold": 20, "bound": "at least", "passed": True},
]


@pytest.mark.parametrize(
    ("metrics", "sentence"),
    [
        pytest.param(
            changed(),
            "Pushed as version 1789356286: the next click is among its first 20 recommendations 67.1 % of the time, "
            "4.3 points more than the best baseline (Session kNN, 62.8 %).",
            id="pushed",
        ),
        pytest.param(
            changed(pushed__already_served=True, evaluation__baselines={"popular": {"recall@20": 0.7}}),
            "Passed the gate and is served already as version 1789356286: the next click is among its first 20 "
            "recommendations 67.1 % of the time, 2.9 points fewer than the best baseline (Popular items, 70.0 %).",
            id="served already",
        ),
        pytest.param(
            changed(pushed=None, evaluation__baselines={}),
            "Passed the gate, but nothing was pushed: the next click is among its first 20 recommendations 67.1 % of "
            "the time, with no baseline to compare.",
            id="passed, not pushed",
        ),
        pytest.param(
            changed(pushed=None, gate__blessed=False, gate__checks=FAILED),
            "Refused, nothing was pushed: 2 of 3 checks failed, first “Recall@20 above the best” "
            "(\N{MINUS SIGN}0.0312 is below the least allowed, 0.0000).",
            id="refused",
        ),
        pytest.param(
            changed(pushed=None, gate__blessed=False),
            "Refused, nothing was pushed, although every check passed; the run's log may tell why.",
            id="refused for no reason in the table",
        ),
        pytest.param(
            changed(gate__overridden=True, gate__checks=FAILED[1:2]),
            "The gate was overridden: version 1789356286 was pushed although 1 of 1 check failed, “Recall@1” "
            "(0.9500 is above the most allowed, 0.9000).",
            id="overridden",
        ),
        pytest.param(
            changed(config__gate__enabled=False),
            "The gate was overridden: version 1789356286 was pushed and every check passed.",
            id="switched off",
        ),
        pytest.param(
            {}, "The gate gave no verdict on this model, and nothing is known to have been pushed.", id="empty"
        ),
    ],
)
def test_verdict_is_one_sentence_that_says_what_became_of_the_model(metrics: dict[str, Any], sentence: str) -> None:
    assert report.verdict(metrics) == sentence


def test_verdict_is_the_first_heading(tmp_path: Path) -> None:
    found = page(tmp_path, example())
    assert re.search(r"<h1>(.*?)</h1>", found.source).group(1) == report.verdict(example())
    assert found.text.index(report.verdict(example())) < found.text.index("The gate")


@pytest.mark.parametrize(
    ("check", "reason"),
    [
        (
            {"value": 0.05, "threshold": 0.05, "bound": "at least", "passed": True},
            "0.0500 reaches the least allowed, 0.0500.",
        ),
        (
            {"value": 0.05, "threshold": 0.05, "bound": "at most", "passed": True},
            "0.0500 is within the most allowed, 0.0500.",
        ),
        ({"value": 0.01, "threshold": 0.05, "passed": False}, "0.0100 is below the least allowed, 0.0500."),
        ({"value": 0.09, "threshold": 0.05, "passed": False}, "0.0900 is above the most allowed, 0.0500."),
        ({"value": 0.01, "threshold": 0.05, "passed": True}, "0.0100 is within the most allowed, 0.0500."),
        ({"value": None, "threshold": 0.05, "passed": True}, "Not measured: it does not apply to this run."),
        ({"value": None, "threshold": 0.05, "passed": False}, "It could not be measured."),
        ({"value": 1, "threshold": 2, "passed": False, "reason": "The gate's own words."}, "The gate's own words."),
    ],
)
def test_every_check_has_its_reason(tmp_path: Path, check: dict[str, Any], reason: str) -> None:
    found = page(tmp_path, changed(gate__checks=[{"name": "check", **check}]))
    row = found.rows("The gate's checks")[0]
    assert row[1] == ("✓ passed" if check["passed"] else "✗ failed")
    assert row[-1] == reason


def test_metrics_json_is_what_was_given_and_valid_json(tmp_path: Path) -> None:
    report.write_report(tmp_path / "run", example())
    assert json.loads((tmp_path / "run" / "metrics.json").read_text(encoding="utf-8")) == example()
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["index.html", "metrics.json"]


def test_figures_that_are_not_finite_become_null_and_not_available(tmp_path: Path) -> None:
    metrics = changed(evaluation__tied_share=float("nan"))
    metrics["evaluation"]["model"]["ndcg@20"] = float("inf")
    found = page(tmp_path, metrics)

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    text = (tmp_path / "reports" / "run" / "metrics.json").read_text(encoding="utf-8")
    assert json.loads(text, parse_constant=refuse)["evaluation"]["tied_share"] is None
    assert found.rows("Headline figures")[0][:4] == ["This model", "0.6712", "0.3563", "n/a"]
    assert "Tied scores\nnot available" in re.sub(r"\s*\n\s*", "\n", re.sub(r"<[^>]+>", "\n", found.source))


def test_every_metric_of_every_ranker_is_in_the_table(tmp_path: Path) -> None:
    metrics = example()
    found = page(tmp_path, metrics)
    assert found.tables["All metrics"][0] == [
        "Metric", "This model", "Model served before", "Popular items", "Last viewed", "Item to item", "Session kNN",
    ]  # fmt: skip
    rankers = [
        metrics["evaluation"]["model"],
        metrics["evaluation"]["served"],
        *metrics["evaluation"]["baselines"].values(),
    ]
    shown = {row[0]: row[1:] for row in found.rows("All metrics")}
    for name in ("recall", "mrr", "ndcg", "map"):
        for cutoff in (1, 3, 5, 10, 20):
            label = f"{ {'recall': 'Recall'}.get(name, name.upper()) }@{cutoff}"
            assert shown[label] == [f"{ranker[f'{name}@{cutoff}']:.4f}" for ranker in rankers]
            assert shown[f"{label}, known"] == [f"{ranker[f'{name}@{cutoff}/known']:.4f}" for ranker in rankers]
    assert shown["Coverage@20"] == ["0.8123", "n/a", "n/a", "n/a", "n/a", "n/a"]


def test_gains_are_over_the_best_baseline_and_the_served_model(tmp_path: Path) -> None:
    rows = {row[0]: row[1:4] for row in page(tmp_path, example()).rows("Headline figures")}
    # 0.6712 - 0.6283 and 0.6712 - 0.6604 of the example.
    assert rows["Gain over the best baseline"][0] == "+0.0429"
    assert rows["Gain over the served model"][0] == "+0.0108"


def test_slices_with_few_predictions_say_so(tmp_path: Path) -> None:
    slices = [
        {"slice": "position=10+", "predictions": 99, "metrics": {"recall@20": 0.5, "mrr@20": 0.25}},
        {"slice": "position=2", "predictions": 100, "metrics": {"recall@20": 0.6, "session_knn/recall@20": 0.7}},
        {"slice": "overall", "predictions": 199, "metrics": {}},
    ]
    rows = page(tmp_path, changed(evaluation__slices=slices)).rows("Metrics by slice: position in the session")
    assert rows == [
        ["2", "100", "0.6000", "0.7000", "n/a", "n/a", ""],
        ["10+", "99", "0.5000", "n/a", "0.2500", "n/a", "few predictions"],
    ]


def test_rows_and_sessions_are_counted_by_outcome(tmp_path: Path) -> None:
    data = {
        "rows_read": 1000, "rows_rejected": {"empty_item_id": 10}, "events_dropped": {"session_too_short": 40},
        "events": {"train": 800, "validation": 50, "test": 100}, "sessions_read": 300, "sessions_dropped": {"bot": 30},
        "sessions": {"train": 250, "validation": 0, "test": 20},
    }  # fmt: skip
    found = page(tmp_path, changed(data=data))
    assert found.rows("Rows by outcome") == [
        ["train split", "800", "80.00 %"],
        ["validation split", "50", "5.00 %"],
        ["test split", "100", "10.00 %"],
        ["rejected: empty item id", "10", "1.00 %"],
        ["dropped: session too short", "40", "4.00 %"],
    ]
    assert found.rows("Sessions by outcome")[-1] == ["dropped: bot", "30", "10.00 %"]
    assert "defect" not in found.text


def test_rows_that_vanish_are_called_a_defect(tmp_path: Path) -> None:
    metrics = example()
    metrics["data"]["rows_read"] += 7
    found = page(tmp_path, metrics)
    assert found.rows("Rows by outcome")[-1][:2] == ["not accounted for", "7"]
    assert "7 rows are not accounted for: this is a defect." in found.text


def test_the_epoch_that_was_kept_is_marked(tmp_path: Path) -> None:
    rows = page(tmp_path, example()).rows("Figures by epoch")
    assert [row[0] for row in rows if row[-1] == "best"] == ["7"]
    assert rows[0] == ["1", "7.4120", "0.5123", "0.2381", "41.2", ""]


def test_configuration_shows_what_differs_from_the_default(tmp_path: Path) -> None:
    rows = {row[0]: row[1:3] for row in page(tmp_path, example()).rows("Configuration")}
    assert rows["features.min_item_support"] == ["5", "changed"]
    assert rows["seed"] == ["42", "default"]
    assert rows["data.paths"] == ["clicks.csv.gz", "changed"]


@pytest.mark.parametrize("value", [None, "text", {}], ids=["missing", "text", "dictionary"])
def test_any_part_may_be_missing_or_of_another_kind(tmp_path: Path, value: Any) -> None:
    for path in _paths({**example(), "config": {"seed": 1}}):
        metrics = example()
        target = metrics
        for step in path[:-1]:
            target = target[step]
        if value is None:
            del target[path[-1]]
        else:
            target[path[-1]] = copy.copy(value)
        assert "<h1>" in report.write_report(tmp_path / "run", metrics).read_text(encoding="utf-8"), path


def _paths(value: Any, depth: int = 3) -> Iterator[list[Any]]:
    if isinstance(value, (dict, list)) and depth:
        for key in value if isinstance(value, dict) else range(min(len(value), 1)):
            yield [key]
            yield from ([key, *rest] for rest in _paths(value[key], depth - 1))


def test_a_run_that_knows_nothing_has_a_page(tmp_path: Path) -> None:
    assert "not available" in page(tmp_path, {}).text


def test_hostile_texts_stay_texts(tmp_path: Path) -> None:
    metrics = _poisoned(example())
    metrics["drift"] = [
        {"feature": HOSTILE, "distance": 0.2, "limit": 0.1, "bins": [HOSTILE], "train": [1], "test": [1]}
    ]
    metrics["evaluation"]["items"] = {"over": [{"item": HOSTILE, "recommended": 2, "clicked": 1}]}
    for counters in ("rows_rejected", "events_dropped", "sessions_dropped", "events", "sessions", "time_range"):
        metrics["data"][counters][HOSTILE] = 1
    metrics["run"]["seconds_by_component"][HOSTILE] = 1
    metrics["evaluation"]["baselines"][HOSTILE] = {HOSTILE: 0.5}
    metrics["config"][HOSTILE] = 1
    found = page(tmp_path, metrics)
    assert found.text.count(HOSTILE) > 50
    assert not found.unbalanced
    assert len(found.scripts) == len(found.attributes("data-drawing")) + 1
    assert [tag for tag, _ in found.tags if tag in ("b", "img")] == []
    for data in found.scripts[:-1]:
        json.loads(data)


def _poisoned(value: Any) -> Any:
    """The example with every text replaced; names of our own keys stay."""
    if isinstance(value, dict):
        return {key: _poisoned(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_poisoned(entry) for entry in value]
    return HOSTILE if isinstance(value, str) else value


def test_nothing_is_asked_from_outside(tmp_path: Path) -> None:
    found = page(tmp_path, example())
    assert found.attributes("src") == []
    links = {link for link in found.attributes("href") if not link.startswith("#")}
    assert links == {"metrics.json", "data:,"}
    style = re.search(r"<style>(.*?)</style>", found.source, re.DOTALL).group(1)
    assert "url(" not in style
    assert "@import" not in style


def test_only_our_script_may_run(tmp_path: Path) -> None:
    found = page(tmp_path, example())
    digest = base64.b64encode(hashlib.sha256(found.scripts[-1].encode()).digest()).decode()
    policy = next(tag["content"] for name, tag in found.tags if tag.get("http-equiv") == "Content-Security-Policy")
    assert f"script-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")


def test_licences_of_the_libraries_travel_with_the_page(tmp_path: Path) -> None:
    script = page(tmp_path, example()).scripts[-1]
    assert "Permission to use, copy, modify, and/or distribute this software" in script
    assert "Redistribution and use in source and binary forms" in script
    assert script.count("Mike Bostock") >= len(render.LIBRARIES)


def test_page_is_well_formed_and_its_anchors_resolve(tmp_path: Path) -> None:
    found = page(tmp_path, example())
    names = found.attributes("id")
    assert found.unbalanced == []
    assert len(names) == len(set(names))
    assert {link[1:] for link in found.attributes("href") if link.startswith("#")} <= set(names)
    levels = [int(tag[1]) for tag, _ in found.tags if re.fullmatch("h[1-6]", tag)]
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def test_every_chart_has_words_and_a_table_in_its_section(tmp_path: Path) -> None:
    found = page(tmp_path, example())
    charts = [tag for _, tag in found.tags if "data-drawing" in tag]
    assert len(charts) == 9
    assert all(tag["role"] == "img" and len(tag["aria-label"]) > 30 for tag in charts)
    for section in re.findall(r"<section.*?</section>", found.source, re.DOTALL):
        assert section.count("<table>") >= ("data-drawing" in section)
    assert all("scope" in tag for name, tag in found.tags if name == "th")
    assert found.source.count("<caption>") == found.source.count("<table>")


def test_vendored_libraries_are_those_that_were_published() -> None:
    published = {
        "d3-array-3.2.5": "468f7b9e", "d3-axis-3.0.1": "3e2b821c", "d3-color-3.1.1": "41ebabc6",
        "d3-format-3.1.3": "1322666d", "d3-interpolate-3.0.2": "09b66887", "d3-path-3.1.1": "36dda9df",
        "d3-sankey-0.12.3": "8286db5d", "d3-scale-4.0.3": "d7698873", "d3-selection-3.0.1": "1dcd563b",
        "d3-shape-3.2.1": "aff75097", "d3-time-3.1.1": "0ca660b9", "d3-time-format-4.1.1": "93b3b6ff",
    }  # fmt: skip
    found = {name: (render.FOLDER / "vendor" / f"{name}.min.js").read_bytes() for name in render.LIBRARIES}
    assert {name: hashlib.sha256(content).hexdigest()[:8] for name, content in found.items()} == published


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (values.show_figure(0.67123), "0.6712"),
        (values.show_figure(-11.4162), "\N{MINUS SIGN}11.42"),
        (values.show_figure(10152), "10,152"),
        (values.show_percent(0.8123), "81.2 %"),
        (values.show_seconds(0.41), "0.4 s"),
        (values.show_seconds(59.6), "1 min 0 s"),
        (values.show_seconds(7512), "2 h 5 min"),
        (values.show_bytes(2**31), "2.0 GiB"),
        (values.show_bytes(1536), "2 KiB"),
        (values.show_time("2026-09-14T05:15:02+02:00"), "2026-09-14 03:15 UTC"),
        (values.show_time(1789355702000), "2026-09-14 03:15 UTC"),
        (values.show_time(1789355702), "2026-09-14 03:15 UTC"),
        (values.show_time("yesterday"), "not available"),
        (values.show_count(True), "not available"),
    ],
)
def test_figures_are_written_for_people(shown: str, text: str) -> None:
    assert shown == text


def test_command_says_where_the_report_is_and_its_verdict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _latest(tmp_path, example())
    expected = tmp_path.resolve() / "reports" / "run" / "index.html"
    expected.unlink()
    assert command.main(_arguments("--root", str(tmp_path), "--json", str(tmp_path / "out.json"))) == 0
    assert capsys.readouterr().out == f"{report.verdict(example())}\nreport: {expected}\n"
    assert json.loads((tmp_path / "out.json").read_text(encoding="utf-8")) == {
        "report": str(expected),
        "metrics": str(expected.with_name("metrics.json")),
        "verdict": report.verdict(example()),
    }
    assert expected.is_file()


def test_command_without_a_report_names_the_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=re.escape(str(tmp_path / "reports" / "latest"))) as caught:
        command.main(_arguments("--root", str(tmp_path)))
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("content", ["{", "[]", ""])
def test_command_names_a_damaged_report(tmp_path: Path, content: str) -> None:
    _latest(tmp_path, example())
    (tmp_path / "reports" / "run" / "metrics.json").write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=r"metrics\.json"):
        command.main(_arguments("--root", str(tmp_path)))


def _latest(root: Path, metrics: dict[str, Any]) -> None:
    report.write_report(root / "reports" / "run", metrics)
    (root / "reports" / "latest").symlink_to("run")


def _arguments(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args(arguments)
