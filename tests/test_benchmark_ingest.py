"""Without this, the ingest benchmark could break unseen or time another log than it says; figures are not tested."""

import collections
import csv
import importlib.util
import itertools
import json

import pytest

from nextclick.pipeline import cli
from nextclick.pipeline.benchmarks import click_log


def rows_of(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_the_log_has_exactly_so_many_clicks_in_the_order_of_time(tmp_path):
    click_log.write(tmp_path / "clicks.csv", 5_000, 1)
    rows = rows_of(tmp_path / "clicks.csv")
    times = [int(row["timestamp"]) for row in rows]
    assert len(rows) == 5_000
    assert times == sorted(times)
    assert {row["event_type"] for row in rows} == {"click"}


def test_sessions_are_long_enough_and_lie_across_each_other(tmp_path):
    click_log.write(tmp_path / "clicks.csv", 5_000, 1)
    order = [row["session_id"] for row in rows_of(tmp_path / "clicks.csv")]
    lengths = sorted(collections.Counter(order).values())
    changes = sum(one != other for one, other in itertools.pairwise(order))
    assert lengths[1] >= 2  # but for the last session, which the wanted number of clicks cuts off
    assert 4 < 5_000 / len(lengths) < 6
    assert changes > len(lengths)


def test_one_seed_gives_one_log(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        click_log.write(tmp_path / name, 300, seed)
    contents = [(tmp_path / name).read_bytes() for name in "abc"]
    assert contents[0] == contents[1] != contents[2]


def test_a_short_benchmark_measures_every_phase(tmp_path, capsys):
    phases = ["examples", "transform", "pandas"] + ["polars"] * (importlib.util.find_spec("polars") is not None)
    file = tmp_path / "figures.json"
    assert cli.main(["benchmark", "ingest", "--clicks", "3000", "--json", str(file), "--phases", *phases]) == 0
    figures = json.loads(file.read_text(encoding="utf-8"))
    for phase in phases:
        assert figures[phase]["seconds"] > 0
        assert figures[phase]["clicks_per_second"] == pytest.approx(3000 / figures[phase]["seconds"])
        assert figures[phase]["peak_memory_bytes"] > 50 << 20
    assert "machine" in capsys.readouterr().out


def test_transform_without_its_examples_is_refused(capsys):
    assert cli.main(["benchmark", "ingest", "--phases", "transform"]) == 2
    assert "name both in --phases" in capsys.readouterr().err


def test_a_missing_floor_is_named(monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert cli.main(["benchmark", "ingest"]) == 2
    assert "pip install polars" in capsys.readouterr().err
