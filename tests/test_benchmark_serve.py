"""Without this, the serving benchmark could break unseen, or count wrong; its figures themselves are not tested."""

import json

import pytest

from nextclick.pipeline import cli
from nextclick.pipeline.benchmarks import serve


def test_percentiles_are_nearest_ranks_in_milliseconds():
    found = serve.percentiles_ms([number / 1000 for number in range(1000, 0, -1)])
    assert found == pytest.approx({"p50_ms": 500, "p90_ms": 900, "p99_ms": 990, "p99.9_ms": 999})


def test_a_short_benchmark_of_a_small_catalogue(tmp_path, capsys):
    file = tmp_path / "figures.json"
    short = ["--items", "200", "--preset", "quick", "--seconds", "0.3", "--workers", "1", "4", "--server", "local"]
    assert cli.main(["benchmark", "serve", *short, "--json", str(file)]) == 0
    figures = json.loads(file.read_text(encoding="utf-8"))
    size = figures["200 items"]
    assert size["server"] == "local"
    assert set(size["closed_loop"]) == {"1 callers", "4 callers"}
    for loop in size["closed_loop"].values():
        assert loop["errors"] == 0
        assert loop["requests_per_second"] > 0
        assert 0 < loop["p50_ms"] <= loop["p90_ms"] <= loop["p99_ms"] <= loop["p99.9_ms"]
        assert loop["server_cpu_ms_per_request"] > 0
    assert set(size["open_loop"]) == {"p99 <= 10 ms", "p99 <= 25 ms", "p99 <= 50 ms"}
    assert set(size["floor"]) == set(size["in_process"]) == {"batch 1", "batch 32"}
    printed = capsys.readouterr().out
    assert "Serenade" in printed
    assert "200 items" in printed
