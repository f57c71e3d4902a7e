"""`nextclick tune`: the objective must be ours, the best trial the best, and its file a configuration."""

import json

import pipeline_runs as runs
import pytest
from test_fitting import ITEMS, SMALL, TRAIN, VALIDATION

from nextclick.components import fitting, tuner
from nextclick.pipeline import cli, overrides
from nextclick.pipeline import config as configuration
from nextclick.pipeline.config import Config
from nextclick.pipeline.page import tuning as page


def config_of(**settings):
    return configuration.replace(Config(), {**SMALL, "training.epochs": 2, **settings})


def search(folder, strategy):
    config = config_of(**{
        "tuning.trials": 3,
        "tuning.strategy": strategy,
        "tuning.space": ("training.learning_rate=0.0001..0.05:log", "model.hidden_units=8/12"),
    })  # fmt: skip
    found = tuner.RecommenderTuner(config, TRAIN, VALIDATION, ITEMS, directory=str(folder))
    found.search(verbose=0)
    return config, found


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    return search(tmp_path_factory.mktemp("bayesian"), "bayesian")


def test_the_best_trial_scores_what_its_settings_score_when_trained_again(searched):
    config, found = searched
    trials = found.oracle.get_best_trials(3)
    scores = [trial.score for trial in trials]
    assert len(scores) == 3 and scores == sorted(scores, reverse=True)
    values = found.get_best_hyperparameters()[0].values
    assert set(values) == {"training.learning_rate", "model.hidden_units"}
    again = fitting.fit(configuration.replace(config, values), TRAIN, VALIDATION, ITEMS, report=lambda line: None)
    assert max(line.mrr for line in again.history) == pytest.approx(scores[0], abs=1e-6)


def test_one_seed_proposes_the_same_trials(searched, tmp_path):
    def proposed(found):
        return sorted(str(sorted(trial.hyperparameters.values.items())) for trial in found.oracle.trials.values())

    first, second = (search(tmp_path / name, "random")[1] for name in "ab")
    assert proposed(first) == proposed(second)
    assert len(set(proposed(first))) == 3


def test_tune_writes_the_best_settings_as_a_configuration(tmp_path, capsys):
    clicks = runs.write_clicks(tmp_path / "clicks.csv", 200)
    space = "training.learning_rate=0.00001/0.02"
    settings = ["--set", f"tuning.space={space}", "--set", "tuning.strategy=random", "--set", "model.hidden_units=16"]
    root = tmp_path / "root"
    arguments = ["tune", "--data", str(clicks), "--root", str(root), "--set", "training.epochs=3", *settings]
    assert cli.main([*arguments, "--trials", "2", "--json", str(tmp_path / "trials.json")]) == 0
    found = json.loads((tmp_path / "trials.json").read_text(encoding="utf-8"))
    assert [trial["values"] for trial in found["trials"]] == [
        {"training.learning_rate": 0.02},
        {"training.learning_rate": 0.00001},
    ]
    best = overrides.load(found["best"])
    assert (best.training.learning_rate, best.model.hidden_units, best.training.epochs) == (0.02, 16, 3)
    assert best.data.paths == (str(clicks),)
    assert "best.toml" in capsys.readouterr().out
    section = page.section({"tuning": json.loads((root / "tuning" / "trials.json").read_text(encoding="utf-8"))})
    assert [cell.text for cell in section.blocks[0].rows[0]][2:] == ["0.02"]
    assert page.section({}) is None


def test_a_wrong_space_ends_before_any_data_are_read(tmp_path, capsys):
    assert cli.main(["tune", "--set", "tuning.space=model.layers=0..2", "--root", str(tmp_path / "root")]) == 2
    assert "model.layers must be at least 1" in capsys.readouterr().err
    assert not (tmp_path / "root").exists()
