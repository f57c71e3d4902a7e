"""The gate: if it fails open, a bad model reaches customers; if it fails closed, none ever does.

The decisions are TFMA's own, over models whose ranks are written in the examples. What depends on the whole of TFMA
(slices, blessings, models) runs all of it; a single bound runs TFMA's validation of our metrics alone.
"""

import gate_parts as parts
import pytest

from nextclick.components import contract
from nextclick.pipeline import evaluation_results, gate
from nextclick.pipeline.config import Config, replace
from nextclick.pipeline.errors import ConfigError, ServingError

UNKNOWN = contract.UNKNOWN_TARGET_RANK
SESSIONS = 40  # enough for intervals


def config(**settings):
    """A configuration; models that answer what the examples hold have no serving signatures to be asked."""
    settings = {"check_serving": False, "baselines": ("popular", "last_viewed"), **settings}
    return replace(Config(), {f"gate.{name}": value for name, value in settings.items()})


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return parts.model_artifact(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    found = parts.model_artifact(tmp_path_factory.mktemp("served"), feature="served_ranks")
    found.set_string_custom_property("served_version", "17")
    return found


def judge(tmp_path, model, sessions, served=None, **settings):
    examples = parts.ranked_artifact(tmp_path / "examples", *sessions)
    judged = parts.judge(tmp_path, model, examples, config(**settings), served)
    return evaluation_results.read(judged.evaluation.uri, judged, config(**settings))


def alike(model, number=SESSIONS, **others):
    return [parts.ranked(f"s{i}", model, **others) for i in range(number)]


def failed(result):
    return {check["name"] for check in result["gate"]["checks"] if not check["passed"]}


def check(result, name):
    (found,) = [one for one in result["gate"]["checks"] if one["name"] == name]
    return found


GOOD = alike([1, 2, 30], popular=[3, 4, 30])
LEARNT = "Recall@20 of a model that has learnt anything"
RECALL_LIFT = "Recall@20 above the best of popular, last viewed"
MRR_LIFT = "MRR@20 above the best of popular, last viewed"
RECALL_DROP = "Recall@20 less the served model's"
MRR_DROP = "MRR@20 less the served model's"
LENGTHS = "Recall@20 less the served model's, sessions of any one length"
WORST = "Recall@20 less the served model's, the worst kind of prediction"
INVALID = "places of the lists that hold no item of the catalogue"


def test_first_good_model_is_blessed_and_every_check_is_shown(tmp_path, model):
    long = parts.ranked("long", [1] * 11, popular=[2] * 11)
    result = judge(tmp_path, model, [*GOOD, long])
    assert result["gate"]["blessed"] is True
    assert result["gate"]["overridden"] is False
    assert len(result["gate"]["checks"]) == len(gate.checks(config())) == 18
    assert failed(result) == set()
    lift = check(result, MRR_LIFT)
    expected = (40 * (1 + 1 / 2) + 11) / 131 - (40 * (1 / 3 + 1 / 4) + 11 / 2) / 131
    assert lift["value"] == pytest.approx(expected)
    assert lift["interval"][0] <= lift["value"] <= lift["interval"][1]
    assert lift["reason"].startswith(f"The low end of its 95 % interval, {lift['interval'][0]:.4f} reaches")
    assert check(result, RECALL_DROP)["value"] is None
    assert check(result, RECALL_DROP)["reason"] == "Nothing is served yet, or it is not compared with."

    evaluation = result["evaluation"]
    assert (evaluation["sessions"], evaluation["predictions"]) == (41, 131)
    assert evaluation["model"]["recall@20"] == pytest.approx((40 * 2 + 11) / 131)
    assert evaluation["baselines"]["popular"]["mrr@20"] == pytest.approx((40 * (1 / 3 + 1 / 4) + 11 / 2) / 131)
    assert evaluation["served"] is None
    assert set(evaluation["intervals"]) == {"model", *contract.BASELINES}
    slices = {entry["slice"]: entry for entry in evaluation["slices"]}
    assert slices["position=3"]["predictions"] == 41
    assert slices["position=3"]["metrics"]["recall@20"] == pytest.approx(1 / 41)
    assert slices["position=10+"]["metrics"]["popular/mrr@20"] == 0.5
    assert slices["session_length=3-4"]["predictions"] == 120
    assert slices["session_length=10-19"]["metrics"]["mrr@20"] == 1.0
    assert slices["period=2023-11-14"]["predictions"] == 131
    assert [name for name in slices if name.startswith("session")] == ["session_length=3-4", "session_length=10-19"]


def test_worse_than_the_served_model_is_refused(tmp_path, model, served):
    worse = alike([2, 30, 30], popular=[9, 30, 30], served=[1, 2, 30])
    result = judge(tmp_path, model, worse, served)
    assert result["gate"]["blessed"] is False
    assert failed(result) == {RECALL_DROP, MRR_DROP, LENGTHS}
    assert check(result, RECALL_DROP)["value"] == pytest.approx(-1 / 3)
    assert check(result, RECALL_DROP)["interval"] == pytest.approx([-1 / 3, -1 / 3])
    assert check(result, LENGTHS)["reason"].endswith(
        "(session length 3-4) is below the least allowed, \N{MINUS SIGN}0.0500."
    )
    assert result["evaluation"]["served"]["mrr@20"] == pytest.approx(1 / 2)


def test_worse_in_sessions_of_one_length_is_refused_although_better_overall(tmp_path, model, served):
    better = alike([1, 2, 3, 4, 5], 80, popular=[9] * 5, served=[30, 2, 3, 4, 5])
    worse = [parts.ranked(f"short{i}", [30], popular=[30], served=[1]) for i in range(40)]
    result = judge(tmp_path, model, [*better, *worse], served)
    assert failed(result) == {LENGTHS}
    assert check(result, LENGTHS)["value"] == pytest.approx(-1.0)
    assert "session length 2" in check(result, LENGTHS)["reason"]


def test_empty_test_split_is_refused(tmp_path, model):
    result = judge(tmp_path, model, [])
    assert result["gate"]["blessed"] is False
    assert result["evaluation"]["predictions"] == 0


def test_disabled_gate_blesses_and_says_that_it_was_overridden(tmp_path, model):
    result = judge(tmp_path, model, alike([25, 21, 30], popular=[1, 1, 1]), enabled=False)
    assert result["gate"]["blessed"] is True
    assert result["gate"]["overridden"] is True
    assert RECALL_LIFT in failed(result)
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
    assert not any("served" in one["name"] for one in result["gate"]["checks"])


def test_baseline_that_made_other_predictions_stops_the_evaluation(tmp_path, model):
    broken = parts.ranked("s", [1, 2, 3], popular=[1, 2])
    with pytest.raises(Exception, match="made 3 predictions and popular 2"):
        judge(tmp_path, model, [broken])


@pytest.mark.parametrize(
    ("sessions", "settings", "expected"),
    [
        (GOOD, {}, set()),
        (alike([25, 21, 30], popular=[3, 4, 30]), {}, {LEARNT, RECALL_LIFT, MRR_LIFT}),
        (alike([25, 21, 30]), {}, {LEARNT}),
        (alike([UNKNOWN, UNKNOWN]), {}, {LEARNT}),
        (alike([1, 1, 1]), {}, {"Recall@1 of a model that cannot see the answer"}),
        (GOOD[:6], {"min_recall_lift": -1, "min_mrr_lift": -1}, {"enough predictions to trust the figures"}),
        (GOOD[:20], {}, {RECALL_LIFT, MRR_LIFT}),  # too few sessions for an interval
        (GOOD, {"min_coverage": 0.7}, {"share of the catalogue that is recommended"}),
        (GOOD, {"max_popularity_lift": 0.9}, {"popularity of recommended items, to clicked ones"}),
        (GOOD, {"min_mrr_lift": 0.31}, {MRR_LIFT}),
        (GOOD, {"baselines": ()}, set()),
    ],
    ids=[
        "good",
        "random",
        "nobody finds anything",
        "unknown targets alone",
        "sees the answer",
        "too few predictions",
        "too few sessions",
        "low coverage",
        "high popularity lift",
        "margin over the baselines",
        "no baselines to beat",
    ],
)
def test_first_run_is_decided_by_the_check_that_is_meant_for_it(tmp_path, sessions, settings, expected):
    assert parts.decide(tmp_path, config(**settings), sessions) == expected


def test_lift_that_chance_explains_is_refused(tmp_path):
    # The model wins in 21 sessions of 40 and loses in 19: better, but not surely.
    sessions = [
        *alike([1, 30], 21, popular=[30, 30]),
        *[parts.ranked(f"t{i}", [30, 30], popular=[1, 30]) for i in range(19)],
    ]
    assert parts.decide(tmp_path, config(), sessions) == {RECALL_LIFT, MRR_LIFT}


def test_drop_that_chance_explains_is_refused_beyond_the_margin(tmp_path):
    sessions = [
        *alike([1, 30], 20, popular=[30, 30], served=[30, 30]),
        *[parts.ranked(f"t{i}", [30, 30], popular=[30, 30], served=[1, 30]) for i in range(20)],
    ]
    assert {RECALL_DROP, MRR_DROP} <= parts.decide(tmp_path, config(), sessions, served=True)
    within = config(max_recall_drop=0.5, max_mrr_drop=0.5)
    assert parts.decide(tmp_path, within, sessions, served=True) == set()


def test_same_model_again_is_blessed(tmp_path):
    assert parts.decide(tmp_path, config(), GOOD, served=True) == set()


def test_worse_in_one_kind_of_prediction_is_refused_although_better_overall(tmp_path):
    # Repeats (code 0 of next_item) are lost, new items won.
    sessions = alike([30, 1, 2, 3], 120, popular=[30] * 4, served=[1, 30, 30, 3], slices={"next_item": [0, 1, 1, 1]})
    assert WORST in parts.decide(tmp_path, config(), sessions, served=True)
    assert parts.decide(tmp_path, config(max_slice_drop=1.0), sessions, served=True) == set()


def test_small_kind_of_prediction_is_no_reason(tmp_path):
    sessions = alike([1, 2, 3], 120, popular=[30] * 3, served=[1, 2, 30])
    sessions.append(parts.ranked("lost", [30] * 11, popular=[30] * 11, served=[1] * 11))  # the positions from 4 on
    assert parts.decide(tmp_path, config(), sessions, served=True) == set()


@pytest.mark.parametrize(
    ("drift", "expected"),
    [
        ({"session_length": 0.31}, {"drift of the sessions' lengths"}),
        ({"popularity": 0.31}, {"drift of the clicks' popularity"}),
        ({"event_type": 0.31}, {"change of an event type's share"}),
        ({"items": 0.31}, {"change of a frequent item's share"}),
        ({"session_length": 0.3, "popularity": 0.3, "event_type": 0.3, "items": 0.3}, set()),
    ],
    ids=["lengths", "popularity", "event types", "items", "all at their limits"],
)
def test_drift_above_its_limit_is_refused_by_its_own_line(tmp_path, drift, expected):
    assert parts.decide(tmp_path, config(), GOOD, drift=drift) == expected


def test_drift_of_the_newest_span_has_lines_of_its_own(tmp_path):
    spans = replace(config(), {"data.paths": ("week-{SPAN}.csv",)})
    drift = {"span_drift/session_length": 0.31, "span_drift/items": 0.31, "span_drift/popularity": 0.3}
    assert parts.decide(tmp_path, spans, GOOD, drift=drift) == {
        "drift of the sessions' lengths, newest span to those before",
        "change of a frequent item's share, newest span to those before",
    }


@pytest.mark.parametrize(
    "data", [{"data.paths": ("clicks.csv",)}, {"data.paths": ("week-{SPAN}.csv",), "data.spans": 1}]
)
def test_log_without_several_spans_has_no_lines_about_them(data):
    assert not [check.name for check in gate.checks(replace(Config(), data)) if "span" in check.name]


def test_unknown_baseline_in_the_configuration_is_refused():
    with pytest.raises(ConfigError, match=r"gate\.baselines must be among .* received random"):
        gate.checks(replace(Config(), {"gate.baselines": ("random",)}))


def test_without_the_facts_nothing_is_blessed(tmp_path, model):
    examples = parts.examples_artifact(tmp_path / "examples", test=GOOD)
    judged = parts.judge(tmp_path, model, examples, config())
    result = evaluation_results.read(judged.evaluation.uri, judged, config())
    assert result["gate"]["blessed"] is False
    assert check(result, INVALID)["reason"] == "It could not be measured."
