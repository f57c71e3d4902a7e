"""Batch inference: every session of a file gets what serving would answer, and an interrupted run goes on.

Without these a nightly job could lose sessions unseen, or compute a day's work again after a crash.
"""

import csv
import json
from pathlib import Path

import gate_parts as parts
import pyarrow.parquet as pq
import pytest
import recommender_runs as runs
import tensorflow as tf
from tfx.types import standard_artifacts

from nextclick.components import executors
from nextclick.pipeline import cli

SESSIONS = {f"s{number}": [item.decode() for item in items] for number, items in enumerate(runs.cyclic_sessions(30, 9))}
SESSIONS |= {"one click": ["item 3"], "unknown": ["never seen", "either"], "long": ["item 8"] * 1200 + ["item 3"]}


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    path = tmp_path_factory.mktemp("log") / "clicks.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["session_id", "item_id", "timestamp"])
        rows = [(session, item, 1000 + at) for session, items in SESSIONS.items() for at, item in enumerate(items)]
        writer.writerows([*rows, ("s1", "item 1", "yesterday")])
    return path


def batch_predict(log, output, *options):
    return cli.main(
        ["batch-predict", "--data", str(log), "--model", runs.exported().folder, "--output", str(output), *options]
    )


def expected(k):
    """What the signature answers, asked one session at a time."""
    signature = runs.exported().signature("serving_default")
    found = {}
    for session, items in SESSIONS.items():
        answer = signature(item_ids=tf.constant([items[-1000:]]))
        found[session] = [item.decode() for item in answer["item_ids"].numpy()[0][:k]], answer["scores"].numpy()[0][:k]
    return found


def check(rows, k):
    wanted = expected(k)
    assert sorted(row["session_id"] for row in rows) == sorted(wanted)
    for row in rows:
        items, scores = wanted[row["session_id"]]
        assert row["scores"] == pytest.approx(scores.tolist(), abs=1e-4)
        assert len(row["item_ids"]) == len(items) and row["item_ids"][0] == items[0]


def test_every_session_is_answered_once_and_a_second_start_goes_on(log, tmp_path, capsys):
    result = tmp_path / "result.json"
    options = ("-k", "5", "--shards", "3", "--output-format", "jsonl", "--json", str(result))
    assert batch_predict(log, tmp_path / "out", *options) == 0
    found = json.loads(result.read_text())
    assert (found["sessions"], found["shards"], found["shards_found_done"]) == (33, 3, 0)
    assert (found["rows_read"], found["rows_rejected"]) == (sum(map(len, SESSIONS.values())) + 1, {"bad_timestamp": 1})
    parts = sorted(Path(found["output"]).iterdir())
    check([json.loads(line) for part in parts for line in part.read_text().splitlines()], 5)
    assert "shard 3 of 3" in capsys.readouterr().err
    before = [part.stat().st_mtime_ns for part in parts]
    parts[1].unlink()
    assert batch_predict(log, tmp_path / "out", *options) == 0
    assert json.loads(result.read_text())["shards_found_done"] == 2
    check([json.loads(line) for part in parts for line in part.read_text().splitlines()], 5)
    assert [part.stat().st_mtime_ns for part in parts][::2] == before[::2]
    # The rejected row is told, and another job is not mixed in.
    assert "yesterday" in next((tmp_path / "out" / "dead_letter").iterdir()).read_text()
    assert batch_predict(log, tmp_path / "out", "-k", "6", "--shards", "3", "--output-format", "jsonl") == 2
    assert "holds the results of another job (other k): name another --output" in capsys.readouterr().err


def test_parquet_is_the_default(log, tmp_path):
    assert batch_predict(log, tmp_path / "out") == 0
    (part,) = (tmp_path / "out" / "predictions").iterdir()
    check(pq.read_table(part).to_pylist(), 20)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--model", "nowhere"], "nowhere holds no model"),
        (["-k", "0"], "-k must be 1 or more"),
        (["--data", "nothing.csv"], "there is no file, folder or match for nothing.csv"),
    ],
)
def test_wrong_input_is_one_sentence_and_exit_code_2(log, tmp_path, capsys, options, words):
    assert batch_predict(log, tmp_path / "out", *options) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_folder_with_other_things_is_left_alone(log, tmp_path, capsys):
    (tmp_path / "holiday.jpg").touch()
    assert batch_predict(log, tmp_path) == 2
    assert "is not empty and not of batch-predict" in capsys.readouterr().err


def test_too_many_rejected_rows_end_it_with_the_first_of_them(tmp_path, capsys):
    log = tmp_path / "clicks.csv"
    log.write_text("session_id,item_id,timestamp\na,item 1,never\na,item 2,1000\n")
    assert batch_predict(log, tmp_path / "out") == 2
    assert "1 of 2 rows (50.00%) were rejected" in capsys.readouterr().err


def bulk_infer(folder, sessions, blessed):
    """The folder of BulkInferrer's result, run as TFX runs it on the test split, another split beside."""
    model = parts.artifact(standard_artifacts.Model, folder / "model")
    (folder / "model" / "Format-Serving").symlink_to(runs.exported().folder)
    blessing = parts.artifact(standard_artifacts.ModelBlessing, folder / "blessing")
    blessing.set_int_custom_property("blessed", blessed)
    records = [parts.example(name, items) for name, items in sessions.items()]
    inputs = {
        "examples": parts.examples_artifact(folder / "examples", train=[b"not an example"], test=records),
        "model": model,
        "model_blessing": blessing,
    }
    properties = {"data_spec": json.dumps({"example_splits": ["test"]}), "model_spec": "{}"}
    result = parts.artifact(standard_artifacts.InferenceResult, folder / "result")
    executor = executors.BatchedBulkInferrerExecutor
    parts.run_beam(executor, folder, inputs, {"inference_result": result}, properties)
    return folder / "result"


def test_bulk_inferrer_answers_a_split_in_batches_that_the_model_takes(tmp_path):
    """Beam's batches, left to grow, are of more sessions than the signature takes, which ended the run."""
    many = {f"more {number}": SESSIONS["s1"] for number in range(5000)}
    few = {name: items for name, items in SESSIONS.items() if len(items) <= 1000}
    result = bulk_infer(tmp_path, {**few, **many}, blessed=1)
    rows = [row for part in sorted((result / "predictions").iterdir()) for row in pq.read_table(part).to_pylist()]
    assert sorted(row["session_id"] for row in rows) == sorted({**few, **many})
    wanted = expected(40)
    for row in rows:
        items, scores = wanted.get(row["session_id"], wanted["s1"])
        assert row["item_ids"][0] == items[0] and len(row["item_ids"]) == len(items)
        assert row["scores"] == pytest.approx(scores.tolist(), abs=1e-4)
    assert list(result.glob("prediction_logs-*.gz"))


def test_bulk_inferrer_leaves_a_refused_model_alone(tmp_path):
    assert list(bulk_infer(tmp_path, {"s1": SESSIONS["s1"]}, blessed=0).iterdir()) == []
