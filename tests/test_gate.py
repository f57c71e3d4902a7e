"""The gate: if it fails open, a bad model reaches customers; if it fails closed, none ever does.

Every case runs TFMA for real, over models whose ranks are written in the examples.
"""

import gate_parts as parts
import pytest

from nextclick.components import contract
from nextclick.pipeline import evaluation_results, gate
from nextclick.pipeline.config import Config, replace
from nextclick.pipeline.errors import ConfigError, ServingError

CONFIG = replace(Config(), {"gate.min_predictions": 4})
UNKNOWN = contract.UNKNOWN_TARGET_RANK


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return parts.model_artifact(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    found = parts.model_artifact(tmp_path_factory.mktemp("served"), feature="served_ranks")
    found.set_string_custom_property("served_version", "17")
    return found


def judge(tmp_path, model, sessions, served=None, **settings):
    config = replace(CONFIG, {f"gate.{name}": value for name, value in settings.items()})
    examples = parts.ranked_artifact(tmp_path / "examples", *sessions)
    judged = parts.judge(tmp_path, model, examples, config, served)
    return evaluation_results.read(judged.evaluation.uri, judged, config)


def failed(result):
    return {(check["metric"], check["bound"]) for check in result["gate"]["checks"] if not check["passed"]}


GOOD = [parts.ranked(f"s{i}", [1, 2, 30], popular=[3, 4, 30]) for i in range(4)]


def test_first_good_model_is_blessed_and_every_check_is_shown(tmp_path, model):
    result = judge(tmp_path, model, GOOD)
    assert result["gate"]["blessed"] is True
    assert result["gate"]["overridden"] is False
    assert len(result["gate"]["checks"]) == 8
    assert failed(result) == set()
    lift = next(check for check in result["gate"]["checks"] if check["metric"] == "best_baseline_lift/mrr@20")
    assert lift["value"] == pytest.approx((1 + 1 / 2) / 3 - (1 / 3 + 1 / 4) / 3)
    against = [check for check in result["gate"]["checks"] if "none is served yet" in check["name"]]
    assert [check["value"] for check in against] == [None, None]


def test_metrics_and_slices_of_a_blessed_model(tmp_path, model):
    evaluation = judge(tmp_path, model, [*GOOD, parts.ranked("long", [1] * 11, popular=[2] * 11)])["evaluation"]
    assert evaluation["predictions"] == 4 * 3 + 11
    assert evaluation["model"]["recall@20"] == pytest.approx((4 * 2 + 11) / 23)
    assert evaluation["baselines"]["popular"]["mrr@20"] == pytest.approx((4 * (1 / 3 + 1 / 4) + 11 / 2) / 23)
    assert evaluation["served"] is None
    slices = {entry["slice"]: entry for entry in evaluation["slices"]}
    assert slices["position=3"]["predictions"] == 5
    assert slices["position=3"]["metrics"]["recall@20"] == pytest.approx(1 / 5)
    assert slices["position=10+"]["metrics"]["popular/mrr@20"] == 0.5
    assert slices["position=10+"]["predictions"] == 2
    assert slices["session_length=3-4"]["predictions"] == 12
    assert slices["session_length=10-19"]["metrics"]["mrr@20"] == 1.0


def test_random_model_is_refused_on_the_first_run(tmp_path, model):
    sessions = [parts.ranked(f"s{i}", [25, 21, 30], popular=[3, 4, 30]) for i in range(4)]
    result = judge(tmp_path, model, sessions)
    assert result["gate"]["blessed"] is False
    assert ("best_baseline_lift/recall@20", "at least") in failed(result)
    assert ("recall@20", "at least") in failed(result)


def test_model_that_learnt_nothing_is_refused_even_where_no_baseline_finds_anything(tmp_path, model):
    result = judge(tmp_path, model, [parts.ranked(f"s{i}", [25, 21, 30]) for i in range(4)])
    assert result["gate"]["blessed"] is False
    assert failed(result) == {("recall@20", "at least")}


def test_model_that_sees_the_answer_is_refused(tmp_path, model):
    result = judge(tmp_path, model, [parts.ranked(f"s{i}", [1, 1, 1]) for i in range(4)])
    assert result["gate"]["blessed"] is False
    assert failed(result) == {("recall@1", "at most")}


def test_worse_than_the_served_model_is_refused(tmp_path, model, served):
    sessions = [parts.ranked(f"s{i}", [2, 2, 30], popular=[9, 9, 30], served=[1, 1, 30]) for i in range(4)]
    result = judge(tmp_path, model, sessions, served)
    assert result["gate"]["blessed"] is False
    drop = [check for check in result["gate"]["checks"] if not check["passed"]]
    assert [check["name"] for check in drop] == ["MRR@20 against the model now served"]
    assert drop[0]["value"] == pytest.approx(-1 / 3)
    assert result["evaluation"]["served"]["mrr@20"] == pytest.approx(2 / 3)


def test_worse_in_one_slice_only_is_no_reason_of_the_overall_checks(tmp_path, model, served):
    sessions = [parts.ranked(f"s{i}", [1, 30, 30], popular=[9, 30, 30], served=[3, 30, 30]) for i in range(9)]
    sessions.append(parts.ranked("short", [4], popular=[9], served=[1]))
    assert judge(tmp_path, model, sessions, served)["gate"]["blessed"] is True


def test_same_quality_as_the_served_model_is_blessed(tmp_path, model, served):
    assert judge(tmp_path, model, GOOD, served)["gate"]["blessed"] is True


def test_drop_within_the_limit_is_blessed(tmp_path, model, served):
    sessions = [parts.ranked(f"s{i}", [2, 2, 30], popular=[9, 9, 30], served=[1, 1, 30]) for i in range(4)]
    assert judge(tmp_path, model, sessions, served, max_mrr_drop=0.34)["gate"]["blessed"] is True


def test_too_few_predictions_are_refused(tmp_path, model):
    result = judge(tmp_path, model, GOOD[:1])
    assert failed(result) == {("predictions", "at least")}
    assert result["gate"]["blessed"] is False


def test_empty_test_split_is_refused(tmp_path, model):
    result = judge(tmp_path, model, [])
    assert result["gate"]["blessed"] is False
    assert result["evaluation"]["predictions"] == 0


def test_unknown_targets_are_misses_and_counted(tmp_path, model):
    sessions = [parts.ranked(f"s{i}", [1, UNKNOWN], popular=[2, UNKNOWN]) for i in range(4)]
    evaluation = judge(tmp_path, model, sessions)["evaluation"]
    assert evaluation["predictions"] == 8
    assert evaluation["predictions_with_known_target"] == 4
    assert evaluation["model"]["recall@1"] == 0.5
    assert evaluation["model"]["recall@1/known"] == 1.0


def test_disabled_gate_blesses_and_says_that_it_was_overridden(tmp_path, model):
    sessions = [parts.ranked(f"s{i}", [25, 21, 30], popular=[1, 1, 1]) for i in range(4)]
    result = judge(tmp_path, model, sessions, enabled=False)
    assert result["gate"]["blessed"] is True
    assert result["gate"]["overridden"] is True
    assert ("best_baseline_lift/recall@20", "at least") in failed(result)
    assert [path.name for path in (tmp_path / "blessing").iterdir()] == ["BLESSED"]


def test_served_model_of_another_contract_gives_a_sentence(tmp_path, model):
    old = parts.model_artifact(tmp_path / "old", signature="evaluate_v0")
    old.set_string_custom_property("served_version", "17")
    with pytest.raises(ServingError, match=r"version 17, has no signature evaluate_v1 .* gate.compare_served=false"):
        judge(tmp_path, model, GOOD, old)


def test_served_model_of_another_contract_can_be_forgotten(tmp_path, model):
    old = parts.model_artifact(tmp_path / "old", signature="evaluate_v0")
    result = judge(tmp_path, model, GOOD, old, compare_served=False)
    assert result["gate"]["blessed"] is True
    assert not any("served" in check["name"] for check in result["gate"]["checks"])


def test_baseline_that_made_other_predictions_stops_the_evaluation(tmp_path, model):
    broken = parts.ranked("s", [1, 2, 3], popular=[1, 2])
    with pytest.raises(Exception, match="made 3 predictions and the baseline popular 2"):
        judge(tmp_path, model, [broken])


def test_unknown_baseline_in_the_configuration_is_refused():
    with pytest.raises(ConfigError, match=r"gate\.baselines must be among .* received random"):
        gate.checks(replace(Config(), {"gate.baselines": ("random",)}))
