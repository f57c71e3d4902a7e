"""The pipeline's own components, run as TFX runs them: a wrong one stops nothing, or pushes half a model, or twice."""

import json
import math

import gate_parts as parts
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2
from tfx.types import artifact_utils, standard_artifacts

from nextclick.components import baseline_examples, contract, data_drift, evaluation_facts, executors, push, served
from nextclick.pipeline import config as configuration
from nextclick.pipeline.config import Config, replace
from nextclick.pipeline.errors import DataError


def blessing(folder, blessed):
    found = parts.artifact(standard_artifacts.ModelBlessing, folder)
    found.set_int_custom_property("blessed", blessed)
    return found


def push_model(folder, model, base, blessed=1):
    """Custom properties of AtomicPusher's output."""
    pushed = parts.artifact(standard_artifacts.PushedModel, folder)
    inputs = {"model": model, "model_blessing": blessing(folder / "blessing", blessed)}
    properties = {"serving_base_path": str(base), "run_id": ""}
    parts.run(executors.AtomicPusherExecutor, folder, inputs, {"pushed_model": pushed}, properties)
    return {name: pushed.get_custom_property(name) for name in pushed.mlmd_artifact.custom_properties}


def numeric_folders(base):
    return sorted(path.name for path in base.iterdir() if path.name.isdecimal())


def test_blessed_model_is_pushed_under_one_number(tmp_path):
    model = parts.model_artifact(tmp_path / "model")
    found = push_model(tmp_path / "push", model, tmp_path / "serving")
    assert found["pushed"] == 1
    assert [path.name for path in (tmp_path / "serving").iterdir()] == [found["pushed_version"]]
    assert found["pushed_destination"] == str(tmp_path / "serving" / found["pushed_version"])
    loaded = tf.saved_model.load(found["pushed_destination"])
    assert contract.SIGNATURE_EVALUATE in loaded.signatures


def test_refused_model_is_not_pushed(tmp_path):
    model = parts.model_artifact(tmp_path / "model")
    assert push_model(tmp_path / "push", model, tmp_path / "serving", blessed=0) == {"pushed": 0}
    assert not (tmp_path / "serving").exists()


def test_served_model_is_not_pushed_again(tmp_path):
    model = parts.model_artifact(tmp_path / "model")
    first = push_model(tmp_path / "first", model, tmp_path / "serving")
    second = push_model(tmp_path / "second", model, tmp_path / "serving")
    assert second["pushed"] == 0
    assert second["already_served_version"] == first["pushed_version"]
    assert second["pushed_destination"] == first["pushed_destination"]
    assert numeric_folders(tmp_path / "serving") == [first["pushed_version"]]


def test_version_is_greater_than_every_one_present(tmp_path):
    base = tmp_path / "serving"
    (base / "99999999999").mkdir(parents=True)  # the clock went back, and the version is broken at that
    found = push_model(tmp_path / "push", parts.model_artifact(tmp_path / "model"), base)
    assert found["pushed_version"] == "100000000000"


def test_two_models_in_one_second_get_two_versions(tmp_path):
    one, other = parts.save_model(tmp_path / "one"), parts.save_model(tmp_path / "other", feature="other")
    versions = [push.push(str(path), str(tmp_path / "serving"), 1_700_000_000.9).version for path in (one, other)]
    assert versions == ["1700000000", "1700000001"]


def test_push_cut_short_leaves_no_version_and_the_next_one_cleans_up(tmp_path):
    model, base = parts.save_model(tmp_path / "model"), tmp_path / "serving"
    push.stage(str(model), str(base), 1_700_000_000)  # killed between copy and rename
    assert numeric_folders(base) == []
    assert served.newest_version(str(base)) == ""
    push.push(str(model), str(base), 1_700_000_005)
    assert [path.name for path in base.iterdir()] == ["1700000005"]


def test_object_store_gets_the_marker_file_last():
    names = ["assets/items", "saved_model.pb", "variables/variables.index"]
    assert push.model_file_last(names) == ["assets/items", "variables/variables.index", "saved_model.pb"]


def test_push_to_a_file_system_without_folders(tmp_path):
    model = parts.save_model(tmp_path / "model")
    done = push.push(str(model), "ram://bucket/serving", 1_700_000_000)
    assert done.path == "ram://bucket/serving/1700000000"
    assert served.fingerprint(done.path) == served.fingerprint(str(model))
    assert push.push(str(model), "ram://bucket/serving", 1_700_000_009).pushed is False


def test_fingerprint_is_of_what_the_model_computes(tmp_path):
    model = parts.save_model(tmp_path / "model")
    before = served.fingerprint(str(model))
    (model / "fingerprint.pb").write_bytes(b"another id")
    (model / "assets.extra").mkdir()
    (model / "assets.extra" / "tf_serving_warmup_requests").write_bytes(b"requests")
    assert served.fingerprint(str(model)) == before
    data = next((model / "variables").glob("variables.data*"))
    data.write_bytes(data.read_bytes()[:-1] + b"\1")
    assert served.fingerprint(str(model)) != before


def serve(folder, base):
    model = parts.artifact(standard_artifacts.Model, folder)
    properties = {"serving_base_path": str(base), "served_state": ""}
    parts.run(executors.ServedModelExecutor, folder, {}, {"model": model}, properties)
    return model


def test_nothing_served_gives_an_empty_model(tmp_path):
    model = serve(tmp_path / "out", tmp_path / "serving")
    assert model.get_string_custom_property("served_version") == ""
    assert not (tmp_path / "out" / "Format-Serving").exists()
    assert served.state(str(tmp_path / "serving")) == ""


def test_newest_whole_version_is_the_served_one(tmp_path):
    base = tmp_path / "serving"
    parts.save_model(base / "9", feature="nine")
    parts.save_model(base / "10", feature="ten")
    (base / "11").mkdir()  # half a model
    parts.save_model(base / ".incoming-12")
    model = serve(tmp_path / "out", base)
    assert model.get_string_custom_property("served_version") == "10"
    assert served.fingerprint(str(tmp_path / "out" / "Format-Serving")) == served.fingerprint(str(base / "10"))
    assert served.state(str(base)).startswith("10:")


def test_signatures_are_read_without_loading(tmp_path):
    assert served.signatures(str(parts.save_model(tmp_path / "model"))) == {contract.SIGNATURE_EVALUATE}


STATISTICS = """
datasets {
  num_examples: 2
  features {
    path { step: "session_id" } type: STRING
    string_stats { common_stats { num_non_missing: 2 min_num_values: 1 max_num_values: 1 tot_num_values: 2 } }
  }
}
"""


def validate(tmp_path, schema_text):
    statistics = standard_artifacts.ExampleStatistics()
    statistics.uri = str(tmp_path / "statistics")
    statistics.split_names = artifact_utils.encode_split_names(["train", "test"])
    statistics.span = 0
    for split in ("train", "test"):
        path = tmp_path / "statistics" / f"Split-{split}" / "FeatureStats.pb"
        path.parent.mkdir(parents=True)
        stats = text_format.Parse(STATISTICS, statistics_pb2.DatasetFeatureStatisticsList())
        path.write_bytes(stats.SerializeToString())
    schema = parts.artifact(standard_artifacts.Schema, tmp_path / "schema")
    (tmp_path / "schema" / "schema.pbtxt").write_text(schema_text)
    text_format.Parse(schema_text, schema_pb2.Schema())
    anomalies = parts.artifact(standard_artifacts.ExampleAnomalies, tmp_path / "anomalies")
    parts.run(
        executors.StrictExampleValidatorExecutor,
        tmp_path,
        {"statistics": statistics, "schema": schema},
        {"anomalies": anomalies},
        {"exclude_splits": "[]"},
    )


def test_examples_that_follow_the_schema_pass(tmp_path):
    validate(tmp_path, 'feature { name: "session_id" type: BYTES }')


def test_anomaly_stops_the_run_and_names_feature_and_split(tmp_path):
    schema = (
        'feature { name: "session_id" type: INT } feature { name: "item_ids" type: BYTES presence { min_fraction: 1 } }'
    )
    with pytest.raises(DataError) as raised:
        validate(tmp_path, schema)
    message = str(raised.value)
    assert "train: feature item_ids: Column dropped" in message
    assert "test: feature session_id: " in message
    assert "\n" not in message


CONFIG = replace(Config(), {"features.lookback": 50, "data.refit": False})
TRAINING = [["a", "b"], ["a", "b", "c"], ["a", "d"], ["a", "c"]]  # clicks: a 4, b 2, c 2, d 1


@pytest.fixture(scope="module")
def ranked_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("ranked")


@pytest.fixture(scope="module")
def ranked(ranked_folder):
    """Records and facts that BaselineRanks writes for one small log."""
    folder = ranked_folder
    training = [parts.example(f"t{i}", items) for i, items in enumerate(TRAINING)]
    test = [parts.example("x", ["d", "b", "d", "new", "a"]), parts.example("y", ["new", "c"])]
    raw = parts.examples_artifact(folder / "raw", train=training, validation=[parts.example("v", ["d"] * 9)], test=test)
    graph = parts.transform_graph(folder / "graph", TRAINING, CONFIG)
    out = parts.artifact(standard_artifacts.Examples, folder / "out")
    properties = {"config_json": configuration.to_json(CONFIG), "code_sha256": ""}
    inputs = {"raw_examples": raw, "transform_graph": graph}
    parts.run(executors.BaselineRanksExecutor, folder, inputs, {"examples": out}, properties)
    assert json.loads(out.split_names) == ["test"]
    files = tf.io.gfile.glob(str(folder / "out" / "Split-test" / "*"))
    records = tf.data.TFRecordDataset(files, compression_type="GZIP").as_numpy_iterator()
    found = [tf.train.Example.FromString(record) for record in records]
    return found, evaluation_facts.read(str(folder / "out" / baseline_examples.FACTS_FILE))


def integers(example, name):
    return list(example.features.feature[name].int64_list.value)


def test_baseline_ranks_are_of_the_models_predictions(ranked):
    (x, y), _ = ranked
    unknown = contract.UNKNOWN_TARGET_RANK
    # Ties count against us: b and c are clicked twice each, so both stand third.
    assert integers(x, "ranks_popular") == [3, 4, unknown, 1]
    # After d: d, a, (b, c). After d b: b, d. After d b d new: d, b, a.
    assert integers(x, "ranks_last_viewed") == [4, 2, unknown, 3]
    assert integers(y, "ranks_popular") == [3]
    assert integers(y, "ranks_last_viewed") == [3]


@pytest.mark.parametrize("name", contract.BASELINES)
def test_a_baselines_model_ranks_as_its_column_says_and_answers_requests(ranked_folder, ranked, name):
    model = tf.saved_model.load(str(ranked_folder / "out" / "baseline_models" / name / "1"))
    records = [example.SerializeToString() for example in ranked[0]]
    ranks = model.signatures["evaluate_v1"](examples=tf.constant(records))["ranks"].numpy()
    assert [[rank for rank in row if rank] for row in ranks.tolist()] == [
        integers(example, f"ranks_{name}") for example in ranked[0]
    ]
    answer = model.signatures["serving_default"](item_ids=tf.constant([["d", "b"], ["new", ""], ["", ""]]))
    first = {
        "popular": b"aaa",
        "popular_recent": b"aaa",
        "last_viewed": b"baa",
        "item_to_item": b"caa",
        "session_knn": b"daa",
    }
    assert sorted(answer["item_ids"].numpy()[0].tolist()) == [b"a", b"b", b"c", b"d"]
    assert bytes(b"".join(answer["item_ids"].numpy()[:, 0].tolist())) == first[name]


def test_raw_features_travel_on(ranked):
    (x, _), _ = ranked
    assert x.features.feature["item_ids"].bytes_list.value == [b"d", b"b", b"d", b"new", b"a"]
    assert x.features.feature["session_length"].bytes_list.value == [b"5-9"]


def test_facts_are_of_the_training_split_alone(ranked):
    (x, _), facts = ranked
    assert facts.catalogue.first_index == 2
    assert facts.catalogue.clicks.tolist() == [4, 2, 2, 1]
    assert facts.event_types == ("click",)
    d, b, again, new, a = integers(x, "item_indices")
    assert (d, new, a) == (5, 1, 2)
    assert again == d
    assert b in (3, 4)


def test_facts_hold_the_metrics_of_the_baselines_lists(ranked):
    """The catalogue has four items, so that every list holds them all: a 4, b 2, c 2, d 1 clicks of 9."""
    _, facts = ranked
    assert facts.predictions == 5
    novelty = sum(-math.log2(clicks / 9) for clicks in (4, 2, 2, 1)) / 4
    lift = (9 / 4) / ((2 + 1 + 4 + 2) / 4)  # the next items that are known: b d a, c
    for name in contract.BASELINES:
        found = {metric: facts.baseline_lists[f"{name}/{metric}@20"] for metric in ("coverage", "novelty", "invalid")}
        assert found == pytest.approx({"coverage": 1, "novelty": novelty, "invalid": 0})
        assert facts.baseline_lists[f"{name}/popularity_lift@20"] == pytest.approx(lift)


def test_facts_say_how_the_test_data_moved(ranked):
    _, facts = ranked
    # Six sessions' items before a prediction: d b d new, new; two of them unknown; one of five targets is.
    assert facts.data[data_drift.UNKNOWN_INPUTS] == pytest.approx(2 / 5)
    assert facts.data[data_drift.UNKNOWN_TARGETS] == pytest.approx(1 / 5)
    # Lengths 2, 3, 2, 2 in training, 5 and 2 in the test: shares (3/4, 1/4, 0) and (1/2, 0, 1/2).
    expected = (3 / 4 * math.log2(6 / 5) + 1 / 4 + 1 / 2 * math.log2(4 / 5) + 1 / 2) / 2
    assert facts.data[data_drift.LENGTH_DRIFT] == pytest.approx(expected)


def test_predictions_carry_their_slices(ranked):
    (x, y), _ = ranked
    unknown = 3
    assert integers(x, "slice_next_item") == [1, 0, -1, 1]  # b is new, d is not, new is unknown, a is new
    assert integers(x, "slice_prefix") == [0, 0, 0, 1]
    assert integers(x, "slice_popularity")[2:] == [unknown, 0]
    assert integers(x, "slice_event_type") == [0, 0, 0, 0]
    assert integers(y, "slice_prefix") == [1]
    assert x.features.feature["period"].bytes_list.value == [b"2023-11-14"]
