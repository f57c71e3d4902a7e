"""Without this, the training benchmark could break unseen or count wrong; its figures themselves are not tested."""

import json
import subprocess

import pipeline_runs as runs
import pytest

from nextclick.components.model import build_model
from nextclick.pipeline import cli
from nextclick.pipeline import config as configuration
from nextclick.pipeline.benchmarks import floor, train
from nextclick.pipeline.config import Config

HISTORY = [
    {"recall@20": 0.5, "mrr@20": 0.3, "training_seconds": 10.0},
    {"recall@20": 0.7, "mrr@20": 0.3, "training_seconds": 4.0},
    {"recall@20": 0.6, "mrr@20": 0.4, "training_seconds": 5.0},
]


@pytest.mark.parametrize(
    ("recall", "mrr", "expected"),
    [(0.5, 0.3, 12.0), (0.6, 0.3, 16.0), (0.6, 0.35, 21.0), (0.7, 0.4, None), (0.71, 0.1, None)],
)
def test_a_quality_is_reached_when_both_figures_are_in_one_epoch(recall, mrr, expected):
    assert train.seconds_to_reach({"setup_seconds": 2.0, "history": HISTORY}, recall, mrr) == expected


def test_the_floor_counts_each_matrix_once_forward_and_twice_backward():
    config = configuration.replace(Config(), {"model.embedding_size": 4, "model.hidden_units": 6})
    model = build_model(config, 50)
    # The GRU's kernels 4 x 18 and 6 x 18, the projection 6 x 4; then 50 items' vectors of 4.
    assert floor.flops_per_event(model, config) == 3 * 2 * (72 + 108 + 24 + 200)
    sampled = configuration.replace(config, {"training.loss": "sampled_softmax", "training.negatives": 9})
    assert floor.flops_per_event(model, sampled) == 3 * 2 * (72 + 108 + 24 + 40)


def test_the_rate_of_matrix_products_is_a_machine_s():
    assert 1e8 < floor.matrix_product_rate() < 1e16


def test_a_short_benchmark_trains_every_event_and_names_its_split(tmp_path, capsys):
    clicks, file = runs.write_clicks(tmp_path / "clicks.csv", 200), tmp_path / "figures.json"
    settings = ["--set", "training.epochs=3", "--set", "model.hidden_units=16", "--set", "training.batch_size=64"]
    assert cli.main(["benchmark", "train", "--data", str(clicks), "--json", str(file), *settings]) == 0
    figures = json.loads(file.read_text(encoding="utf-8"))
    ours = figures["nextclick"]
    assert figures["items"] == 30
    assert 700 < figures["train_events"] < 900  # 200 sessions of ten days, 4.5 pairs each on average, two days held out
    assert ours["epochs"] == len(ours["history"]) == 3
    assert 0 < ours["recall@20"] <= 1
    best = ours["history"][: ours["best_epoch"]]
    assert ours["seconds_to_best_epoch"] == pytest.approx(
        ours["setup_seconds"] + sum(line["training_seconds"] for line in best)
    )
    assert ours["share_of_floor"] == pytest.approx(ours["events_per_second"] / ours["floor_events_per_second"])
    assert ours["peak_memory_bytes"] > 100 << 20
    assert "share_of_floor" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--reference", "/nowhere"], "--reference must be a folder with gru4rec_pytorch.py"),
        (["--set", "training.epochs=-1"], "training.epochs must be at least 0"),
    ],
)
def test_a_wrong_option_is_one_sentence(arguments, sentence, capsys):
    assert cli.main(["benchmark", "train", *arguments]) == 2
    assert sentence in capsys.readouterr().err


def test_a_benchmark_that_is_ended_leaves_no_training_behind(tmp_path):
    endless = ["--set", "training.epochs=1000000", "--set", "training.patience=1000000"]
    command = runs.command("benchmark", "train", "--data", runs.write_clicks(tmp_path / "clicks.csv", 200), *endless)
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=runs.environment())
    next(line for line in process.stderr if line.startswith("epoch 1:"))
    process.terminate()
    process.communicate(timeout=120)  # returns when nobody holds its standard error any more
    assert process.returncode == 1
