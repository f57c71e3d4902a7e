"""`run --if-changed`: a reason overlooked and the served model grows old; one imagined and every hour is a training."""

import json
import os
import shutil

import pipeline_runs as runs
import pytest

from nextclick.components import example_gen
from nextclick.pipeline import cli, occasion, overrides
from nextclick.pipeline.errors import DataError


def config(data, *settings):
    return overrides.with_paths(overrides.load(None, list(settings)), [str(data)])


@pytest.fixture
def root(tmp_path):
    """A copy of a root whose run pushed a model."""
    outcome = runs.first_run()[2]
    assert outcome.code == 0, outcome.err
    runs.copy_root(runs.untouched_root(), tmp_path / "root")
    return tmp_path / "root"


@pytest.fixture
def clicks():
    return runs.first_run()[0]


def say(root, **run):
    """Changes what the last run's report says of it."""
    path = root / "reports" / "latest" / "metrics.json"
    metrics = json.loads(path.read_text(encoding="utf-8"))
    metrics["run"].update(run)
    path.write_text(json.dumps(metrics), encoding="utf-8")


def test_unchanged_data_and_a_fresh_model_are_nothing_to_do(root, clicks, tmp_path, capsys):
    answer = tmp_path / "answer.json"
    reports = sorted(os.listdir(root / "reports"))
    code = cli.main(["run", "--if-changed", "--data", str(clicks), "--root", str(root), "--json", str(answer)])
    assert code == 0
    said = capsys.readouterr().out
    assert said.startswith("Nothing to do: the served model was pushed on ")
    assert f"the data are those of run {runs.metrics(root)['run']['id']}" in said
    assert sorted(os.listdir(root / "reports")) == reports
    assert json.loads(answer.read_text(encoding="utf-8"))["trained"] is False


def test_no_run_yet_is_a_reason(tmp_path, clicks):
    (reason,) = occasion.look(config(clicks), tmp_path / "empty").reasons
    assert reason.startswith("no run has finished under ")


def test_nothing_served_is_a_reason(root, clicks):
    shutil.rmtree(root / "serving")
    assert occasion.look(config(clicks), root).reasons == ("nothing is served",)


def test_age_is_a_reason_beyond_its_limit_only(root, clicks):
    base = root / "serving" / "nextclick"
    (version,) = os.listdir(base)
    (base / version).rename(base / str(int(version) - 2 * runs.DAY))
    (reason,) = occasion.look(config(clicks, "retrain.max_age_days=1.9"), root).reasons
    assert reason.startswith("the served model was pushed on ") and reason.endswith("2.0 days ago, more than 1.9")
    assert occasion.look(config(clicks, "retrain.max_age_days=2.1"), root).reasons == ()
    assert occasion.look(config(clicks, "retrain.max_age_days=0"), root).reasons == ()


def test_changed_files_are_a_reason(root, tmp_path):
    other = runs.write_clicks(tmp_path / "clicks.csv", seed=2)
    (reason,) = occasion.look(config(other), root).reasons
    assert reason == f"the data are not those of run {runs.metrics(root)['run']['id']}"


def test_new_span_is_a_reason_and_is_named(root, tmp_path):
    runs.write_clicks(tmp_path / "week-7.csv")
    log = config(tmp_path / "week-{SPAN}.csv", "retrain.new_data=false", "retrain.max_drift=1")
    assert occasion.look(log, root).reasons == ("span 7 is new",)
    say(root, newest_span=7, data_sha256=example_gen.input_fingerprint(log))
    seen = occasion.look(log, root)
    assert seen.reasons == ()
    assert "span 7 is not newer than the last run's" in seen.remarks
    runs.write_clicks(tmp_path / "week-8.csv", seed=2)
    assert occasion.look(log, root).reasons == ("span 8 is new, the last run read up to 7",)


def test_drift_of_changed_files_is_measured_where_they_alone_are_no_reason(root, tmp_path):
    alike = runs.write_clicks(tmp_path / "alike.csv", seed=2)
    seen = occasion.look(config(alike, "retrain.new_data=false", "retrain.max_drift=0.25"), root)
    assert seen.reasons == ()
    assert any(remark.startswith("drift/") and "not more than 0.25" in remark for remark in seen.remarks)
    other = tmp_path / "other.csv"
    other.write_text(alike.read_text(encoding="utf-8").replace(",item ", ",thing "), encoding="utf-8")
    (reason,) = occasion.look(config(other, "retrain.new_data=false"), root).reasons
    assert reason == "drift/popularity of the newest clicks is 1.000, more than 0.1"


def test_missing_log_is_the_usual_error(root):
    with pytest.raises(DataError):
        occasion.look(config(root / "nowhere.csv"), root)
