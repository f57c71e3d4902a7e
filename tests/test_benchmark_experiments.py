"""Without this, the table of docs/experiments.md could not be made again, or a row be another than it says."""

import json

import pipeline_runs as runs
import pytest

from nextclick.pipeline import cli
from nextclick.pipeline import config as configuration
from nextclick.pipeline.benchmarks import experiments
from nextclick.pipeline.benchmarks.experiment_rows import BASE, ROWS
from nextclick.pipeline.config import Config


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.question)
def test_every_row_is_a_configuration_unlike_the_base(row):
    base = configuration.replace(Config(), BASE.settings)
    assert (configuration.replace(base, row.settings) == base) == (row is BASE)


def test_a_row_is_the_mean_of_its_seeds_on_the_test_split(tmp_path, capsys):
    clicks, file = runs.write_clicks(tmp_path / "clicks.csv", 200), tmp_path / "figures.json"
    small = ["model.hidden_units=16", "model.embedding_size=16", "training.epochs=2", "training.batch_size=64"]
    settings = [word for setting in small for word in ("--set", setting)]
    command = ["benchmark", "experiments", "--data", str(clicks), "--json", str(file), *settings, "--seeds", "1", "2"]
    assert cli.main([*command, "--rows", "look-back 3"]) == 0
    (line,) = json.loads(file.read_text(encoding="utf-8"))["row"]
    assert (line["question"], line["settings"]) == ("look-back 3", "features.lookback=3")
    recall, spread = map(float, line["recall@20"].split(" ± "))
    assert 0 < recall < 1
    assert 0 < spread < 0.5  # two seeds are not one seed twice
    assert "look-back 3" in capsys.readouterr().out


def test_the_mean_and_the_spread_are_over_the_seeds():
    assert experiments.mean_and_spread([{"x": 0.1}, {"x": 0.2}, {"x": 0.3}], "x") == "0.2000 ± 0.1000"
    assert experiments.mean_and_spread([{"x": 0.1}], "x") == "0.1000"


def test_an_unknown_question_is_one_sentence(capsys):
    assert cli.main(["benchmark", "experiments", "--rows", "magic"]) == 2
    assert "no question holds 'magic'" in capsys.readouterr().err
