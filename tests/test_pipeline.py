"""The main job on small real runs: what is left behind, what the cache serves, what stops it, what is refused."""

import csv
import re
import signal
import subprocess
from pathlib import Path

import pipeline_runs as runs
import pyarrow.parquet as pq
import pytest
from ml_metadata.metadata_store import metadata_store
from ml_metadata.proto import metadata_store_pb2 as mlmd

from nextclick.pipeline import cli, lineage

COMPONENTS = {
    "SessionExampleGen",
    "StatisticsGen",
    "ImportSchemaGen",
    "StrictExampleValidator",
    "Transform",
    "ServedModel",
    "Trainer",
    "BaselineRanks",
    "GateEvaluator",
    "AtomicPusher",
}


@pytest.fixture(scope="module")
def clicks():
    return runs.first_run()[0]


@pytest.fixture(scope="module")
def first():
    """The root of a first run that pushed a model, and its outcome."""
    _, root, outcome = runs.first_run()
    assert outcome.code == 0, outcome.err
    return root, outcome, runs.metrics(root)


def test_first_run_leaves_everything_the_interface_names(first):
    root, outcome, metrics = first
    assert (root / "metadata.sqlite").is_file()
    assert (root / "artifacts").is_dir()
    assert (root / "reports" / "latest" / "index.html").is_file()
    assert (root / "dead_letter" / metrics["run"]["id"]).is_dir()
    versions = list((root / "serving" / "nextclick").iterdir())
    assert [version.name for version in versions] == [metrics["pushed"]["version"]]
    assert (versions[0] / "assets.extra" / "tf_serving_warmup_requests").is_file()
    assert "index.html" in outcome.out and str(versions[0]) in outcome.out


def test_metrics_have_the_interface_s_keys(first):
    _, _, metrics = first
    assert {"run", "data", "training", "evaluation", "gate", "pushed"} <= set(metrics)
    assert set(metrics["run"]["seconds_by_component"]) == COMPONENTS
    assert metrics["evaluation"]["split"] == "test"
    assert set(metrics["data"]["sessions"]) == {"train", "validation", "test"}
    for name in ("epochs", "best_epoch", "seconds", "events", "events_per_second", "parameters", "peak_memory_bytes"):
        assert metrics["training"][name] >= 0
    for k in (1, 3, 5, 10, 20):
        for metric in ("recall", "mrr", "ndcg", "map"):
            assert (
                0
                <= metrics["evaluation"]["model"][f"{metric}@{k}"]
                <= metrics["evaluation"]["model"][f"{metric}@{k}/known"]
            )
    assert {"popular", "last_viewed"} <= set(metrics["evaluation"]["baselines"])
    assert metrics["gate"]["blessed"] is True
    assert all({"name", "value", "threshold", "passed"} <= set(check) for check in metrics["gate"]["checks"])


def test_a_loosened_gate_stands_in_ml_metadata_and_in_red_in_the_report(first):
    root, outcome, metrics = first
    loosened = ["gate.min_recall_lift=-1 instead of 0", "gate.min_mrr_lift=-1 instead of 0"]
    nodes = lineage.latest_run(str(root / "metadata.sqlite"), holding="AtomicPusher")
    assert nodes["GateEvaluator"].outputs["blessing"].properties["overrides"] == "; ".join(loosened)
    assert metrics["gate"]["overrides"] == loosened
    page = (root / "reports" / "latest" / "index.html").read_text(encoding="utf-8")
    assert re.search(rf'class="note bad"[^>]*>The gate was loosened for this run: {"; ".join(loosened)}', page)
    assert "past a loosened gate: the next click is among" in outcome.out


def test_every_row_and_every_prediction_is_counted(first, clicks):
    _, _, metrics = first
    data = metrics["data"]
    kept = sum(data["events"].values())
    assert data["rows_read"] == clicks.read_text(encoding="utf-8").count("\n") - 1
    assert data["rows_read"] == kept + sum(data["rows_rejected"].values()) + sum(data["events_dropped"].values())
    assert metrics["evaluation"]["predictions"] == data["events"]["test"] - data["sessions"]["test"]


def test_time_never_runs_backwards(first):
    _, _, metrics = first
    ranges = metrics["data"]["time_range"]
    assert ranges["train"][1] < ranges["validation"][0] <= ranges["validation"][1] < ranges["test"][0]


def test_model_learns_what_follows_what(first):
    """Item i is followed by i + 1: a model that has learnt anything ranks it above a popularity list."""
    _, _, metrics = first
    assert metrics["evaluation"]["model"]["recall@1"] > metrics["evaluation"]["baselines"]["popular"]["recall@1"] + 0.2


@pytest.fixture(scope="module")
def second(first):
    """See `runs.second_run`: its root, outcome, metrics and answer."""
    root, outcome, answer = runs.second_run()
    return root, outcome, runs.metrics(root), answer


def test_second_run_is_cached_and_pushes_nothing_new(first, second):
    _, _, before = first
    root, _, after, _ = second
    # The served model changed from none to this one, so it is compared once more; nothing else runs.
    ran = set(after["run"]["seconds_by_component"]) - set(after["run"]["cached_components"])
    assert ran == {"ServedModel", "GateEvaluator", "AtomicPusher", "BulkInferrer"}
    assert after["pushed"] == {**before["pushed"], "already_served": True}
    assert len(list((root / "serving" / "nextclick").iterdir())) == 1
    assert after["evaluation"]["model"] == before["evaluation"]["model"]


def test_bulk_inferrer_answers_the_split_it_is_given(first, second, clicks):
    _, _, before = first
    root, *_ = second
    nodes = lineage.latest_run(str(root / "metadata.sqlite"), holding="BulkInferrer")
    answers = pq.read_table(Path(nodes["BulkInferrer"].outputs["inference_result"].uri) / "predictions").to_pylist()
    assert len({row["session_id"] for row in answers}) == len(answers) == before["data"]["sessions"]["test"]
    clicked = {row["session_id"]: row["item_id"] for row in csv.DictReader(clicks.open())}  # the last of each
    follows = [row["item_ids"][0] == f"item {(int(clicked[row['session_id']].split()[1]) + 1) % 30}" for row in answers]
    assert sum(follows) > 0.8 * len(answers)


def test_json_result_is_metrics_json_and_says_why_it_ran(second):
    root, outcome, metrics, answer = second
    assert answer == metrics
    assert metrics["run"]["reason"].startswith("the served model was pushed on ")
    assert f"Training: {metrics['run']['reason']}." in outcome.out
    assert metrics["run"]["reason"] in (root / "reports" / "latest" / "index.html").read_text(encoding="utf-8")


def test_untrained_model_is_refused_and_not_pushed(clicks, first, tmp_path):
    """Also proves the cache: what comes before the Trainer is served from the first run's."""
    root, _, _ = first
    served_before = sorted((root / "serving" / "nextclick").iterdir())
    outcome = runs.nextclick(
        "run", "--data", clicks, "--root", root, *runs.small_settings(training__max_steps=0, gate__min_mrr_lift=0)
    )
    assert outcome.code == 3, outcome.err
    metrics = runs.metrics(root)
    assert metrics["pushed"] is None and metrics["gate"]["blessed"] is False
    assert any(not check["passed"] for check in metrics["gate"]["checks"])
    assert sorted((root / "serving" / "nextclick").iterdir()) == served_before
    assert {"SessionExampleGen", "StatisticsGen", "Transform", "BaselineRanks"} <= set(
        metrics["run"]["cached_components"]
    )
    assert "Trainer" not in metrics["run"]["cached_components"]


def test_a_warm_start_trains_the_served_model_on_and_lineage_says_from_which(first, clicks):
    root, _, _ = first
    settings = runs.small_settings(training__warm_start="true", training__epochs=1, data__refit="false")
    outcome = runs.nextclick("run", "--data", clicks, "--root", root, *settings)
    assert outcome.code in (0, 3), outcome.err
    training = runs.metrics(root)["training"]
    assert training["warm_start"]["found"] is True
    assert (training["warm_start"]["items"], training["warm_start"]["new_items"]) == (30, 0)
    # The served model was refit on these validation sessions, so what it makes of them says nothing.
    assert training["warm_start"]["validation_mrr@20"] is None
    assert "has learnt every validation session" in outcome.err
    assert "30 items keep their vectors" in (root / "reports" / "latest" / "index.html").read_text(encoding="utf-8")
    connection = mlmd.ConnectionConfig()
    connection.sqlite.filename_uri = str(root / "metadata.sqlite")
    store = metadata_store.MetadataStore(connection)
    trained = max(store.get_executions_by_type("tfx.components.trainer.component.Trainer"), key=lambda found: found.id)
    events = store.get_events_by_execution_ids([trained.id])
    (base,) = [event for event in events if event.path.steps and event.path.steps[0].key == "base_model"]
    (artifact,) = store.get_artifacts_by_id([base.artifact_id])
    assert "/ServedModel/model/" in artifact.uri


def test_killed_in_trainer_goes_on_from_there(clicks, tmp_path):
    arguments = ["run", "--data", clicks, "--root", tmp_path, *runs.small_settings()]
    process = subprocess.Popen(
        runs.command(*arguments), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=runs.environment()
    )
    for line in process.stderr:
        if line.split()[:1] == ["Transform"]:  # done; BaselineRanks and Trainer are next
            process.send_signal(signal.SIGKILL)
            break
    assert process.wait(timeout=60) == -signal.SIGKILL
    process.stderr.close()
    outcome = runs.nextclick(*arguments)
    assert outcome.code == 0, outcome.err
    cached = set(runs.metrics(tmp_path)["run"]["cached_components"])
    assert {"SessionExampleGen", "StatisticsGen", "ImportSchemaGen", "StrictExampleValidator", "Transform"} <= cached


def test_two_runs_in_one_root_are_refused(first, clicks, capsys):
    import fcntl

    root, _, _ = first
    with (root / ".lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        assert cli.main(["run", "--data", str(clicks), "--root", str(root)]) == 2
    assert "another run is using" in capsys.readouterr().err


BAD_LOGS = {
    "empty": (b"", "log.csv"),
    "binary": (b"\x00\x93NUMPY\x01\xff\xfe" * 100, "log.csv"),
    "missing column": (b"session_id,timestamp\na,1\n", "item_id"),
    "unparsable times": (b"session_id,item_id,timestamp\n" + b"a,x,yesterday\nb,y,now\n" * 20, "bad_timestamp"),
    "one session": (b"session_id,item_id,timestamp\na,x,1700000000\na,y,1700000060\n", "one session only"),
}


@pytest.mark.parametrize("name", BAD_LOGS)
def test_bad_log_is_one_sentence_and_exit_2(name, tmp_path, capsys):
    content, word = BAD_LOGS[name]
    log = tmp_path / "log.csv"
    log.write_bytes(content)
    assert cli.main(["run", "--data", str(log), "--root", str(tmp_path / "root")]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("nextclick: ") and word in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    "arguments",
    [
        ["--set", "model.dropout=1.5"],
        ["--config", "quik"],
        ["--data", "nowhere.csv"],
    ],
)
def test_bad_option_exits_2_before_anything_runs(arguments, tmp_path, capsys):
    assert cli.main(["run", *arguments, "--root", str(tmp_path / "root")]) == 2
    assert capsys.readouterr().err.strip().splitlines()[-1].startswith("nextclick: ")
    assert not (tmp_path / "root" / "metadata.sqlite").exists()
