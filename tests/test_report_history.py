"""The run history of the report: runs out of order, counted twice or silently missing would tell a false story."""

from __future__ import annotations

import json
from pathlib import Path

from report_parts import Page, example

from nextclick.pipeline import report

CAPTION = "Runs under this root, newest first"


def write(reports: Path, name: str, started: str, blessed: bool = True, recall: float = 0.5) -> Page:
    metrics = example()
    metrics["run"] = {**metrics["run"], "id": name, "started": started}
    metrics["evaluation"]["model"]["recall@20"] = recall
    if not blessed:
        metrics["gate"]["blessed"], metrics["pushed"] = False, None
    return Page(report.write_report(reports / name, metrics))


def test_first_run_has_no_history(tmp_path: Path) -> None:
    page = write(tmp_path, "only", "2026-09-01T00:00:00+00:00")
    assert [row[0] for row in page.rows(CAPTION)] == ["only"]
    assert "there is no history yet" in page.text


def test_earlier_runs_come_newest_first_with_outcome_and_figures(tmp_path: Path) -> None:
    write(tmp_path, "b", "2026-09-02T00:00:00+00:00", blessed=False, recall=0.25)
    write(tmp_path, "z", "2026-09-01T00:00:00+00:00", recall=0.75)
    page = write(tmp_path, "a", "2026-09-03T00:00:00+00:00")
    assert [row[:4] for row in page.rows(CAPTION)] == [
        ["a", "2026-09-03 00:00", "pushed", "0.5000"],
        ["b", "2026-09-02 00:00", "refused", "0.2500"],
        ["z", "2026-09-01 00:00", "pushed", "0.7500"],
    ]


def test_a_report_written_again_does_not_see_the_future_or_itself(tmp_path: Path) -> None:
    write(tmp_path, "old", "2026-09-01T00:00:00+00:00")
    (tmp_path / "latest").symlink_to("old")
    write(tmp_path, "new", "2026-09-02T00:00:00+00:00")
    assert [row[0] for row in write(tmp_path, "old", "2026-09-01T00:00:00+00:00").rows(CAPTION)] == ["old"]
    assert [row[0] for row in write(tmp_path, "new", "2026-09-02T00:00:00+00:00").rows(CAPTION)] == ["new", "old"]


def test_links_to_earlier_reports_are_relative_and_quoted(tmp_path: Path) -> None:
    write(tmp_path, "run 1#?", "2026-09-01T00:00:00+00:00")
    page = write(tmp_path, "run 2", "2026-09-02T00:00:00+00:00")
    assert "../run%201%23%3F/index.html" in page.attributes("href")


def test_unreadable_reports_are_counted_not_hidden(tmp_path: Path) -> None:
    for name, content in (("broken", "{"), ("list", "[]"), ("binary", "\x00")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.json").write_text(content, encoding="utf-8")
    page = write(tmp_path, "run", "2026-09-02T00:00:00+00:00")
    assert "Reports of 3 other runs could not be read" in page.text


def test_runs_without_a_start_or_with_other_kinds_of_values_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / "odd").mkdir()
    odd = {
        "run": {"started": "2026-08-01T00:00:00", "id": 7},
        "evaluation": {"model": {"recall@20": "high"}},
        "gate": [],
    }
    (tmp_path / "odd" / "metrics.json").write_text(json.dumps(odd), encoding="utf-8")
    page = write(tmp_path, "run", "2026-09-02T00:00:00+00:00")
    assert page.rows(CAPTION)[1][:5] == ["7", "2026-08-01 00:00", "no verdict", "n/a", "n/a"]
