"""Every kind of bad model that the gate is there for, each refused by the check that is meant for it."""

import gate_parts as parts
import numpy as np
import pytest
from table_model import TableModel
from tfx.types import standard_artifacts

from nextclick.components import contract, serving_checks
from nextclick.pipeline import evaluation_results
from nextclick.pipeline.config import Config, replace

ITEMS = 60
CHANCE = np.random.default_rng(4)
# Item i is followed by item i + 1 mostly.
GOOD = np.eye(ITEMS, k=1) * 9 + np.eye(ITEMS, k=1 - ITEMS) * 9 + CHANCE.random((ITEMS, ITEMS))


def sessions(number=60):
    found = []
    for session in range(number):
        items = [int(CHANCE.integers(ITEMS))]
        while len(items) < 6:
            items.append(int(CHANCE.integers(ITEMS)) if CHANCE.random() < 0.3 else (items[-1] + 1) % ITEMS)
        columns = {contract.baseline_ranks_feature(name): [15, 15, 30, 30, 30] for name in contract.BASELINES}
        ids = [f"item {item}" for item in items]
        found.append(parts.example(f"s{session}", ids, **columns, item_indices=[item + 2 for item in items]))
    return found


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    return parts.ranked_artifact(tmp_path_factory.mktemp("examples"), *sessions(), items=ITEMS)


def judge(tmp_path, examples, model, **settings):
    config = replace(Config(), {f"gate.{name}": value for name, value in settings.items()})
    artifact = standard_artifacts.Model()
    artifact.uri = str(tmp_path / "model")
    model.save(tmp_path / "model" / "Format-Serving")
    judged = parts.judge(tmp_path, artifact, examples, config)
    return evaluation_results.read(judged.evaluation.uri, judged, config)


def failed(result):
    return {check["metric"] for check in result["gate"]["checks"] if not check["passed"]}


def test_good_model_is_blessed_and_shown_at_work(tmp_path, examples):
    result = judge(tmp_path, examples, TableModel(GOOD))
    assert failed(result) == set()
    assert result["gate"]["blessed"] is True
    example = result["examples"][0]
    assert len(example["recommended"]) == 20
    last = int(example["session"][-1].split()[1])
    assert example["recommended"][0] == f"item {(last + 1) % ITEMS}"
    assert len(example["session"]) == 5
    assert len(result["examples"]) == 20
    items = result["evaluation"]["items"]
    assert items["over"]
    assert set(items["over"][0]) == {"item", "recommended", "clicked"}


@pytest.mark.parametrize(
    ("model", "settings", "expected"),
    [
        (TableModel(CHANCE.random((ITEMS, ITEMS))), {}, {"best_baseline_lift/recall@20"}),
        (
            TableModel(np.zeros((ITEMS, ITEMS))),
            {},
            {"recall@20", "coverage@20", "best_baseline_lift/recall@20", "best_baseline_lift/mrr@20"},
        ),
        (TableModel(GOOD, leaks=True), {}, {"recall@1", "serving/disagreement"}),
        (TableModel(GOOD, recommends_padding=True), {}, {"invalid@20"}),
        (TableModel(GOOD, GOOD[::-1]), {}, {"serving/disagreement"}),
        (
            TableModel(GOOD),
            {"max_p99_ms": 0.001, "max_model_megabytes": 0.001},
            {"serving/p99_ms", "serving/megabytes"},
        ),
    ],
    ids=["untrained", "constant", "leaks", "padding", "served otherwise", "slow and large"],
)
def test_bad_model_is_refused_by_the_check_that_is_meant_for_it(tmp_path, examples, model, settings, expected):
    result = judge(tmp_path, examples, model, **{"min_coverage": 0.5, **settings})
    assert failed(result) == expected
    assert result["gate"]["blessed"] is False
    assert [path.name for path in (tmp_path / "blessing").iterdir()] == ["NOT_BLESSED"]


def test_scores_that_are_no_numbers_are_refused_and_nothing_else_counts_as_passed(tmp_path, examples):
    table = np.where(CHANCE.random((ITEMS, ITEMS)) < 0.01, np.nan, GOOD)
    result = judge(tmp_path, examples, TableModel(table))
    assert result["gate"]["blessed"] is False
    assert result["gate"]["checks"][0]["metric"] == "scores_finite"
    assert not any(check["passed"] for check in result["gate"]["checks"])
    assert result["evaluation"]["predictions"] == 0


def test_override_holds_for_every_reason(tmp_path, examples):
    result = judge(tmp_path, examples, TableModel(np.full((ITEMS, ITEMS), np.inf)), enabled=False)
    assert (result["gate"]["blessed"], result["gate"]["overridden"]) == (True, True)


def test_model_without_serving_signatures_disagrees(tmp_path):
    path = parts.save_model(tmp_path / "model")
    assert serving_checks.check(str(path), sessions(3)).figures[serving_checks.DISAGREEMENT] == 1.0


def test_few_disagreements_are_counted(tmp_path):
    table = GOOD.copy()
    table[7] = GOOD[8]  # after item 7 the wrong item is served
    path = TableModel(GOOD, table).save(tmp_path / "model")
    asked = [parts.example(f"s{i}", [f"item {i}", f"item {i + 1}"]) for i in range(10)]
    assert serving_checks.check(str(path), asked).figures[serving_checks.DISAGREEMENT] == pytest.approx(1 / 10)


def test_ties_and_targets_beyond_the_list_agree(tmp_path):
    path = TableModel(np.zeros((ITEMS, ITEMS))).save(tmp_path / "model")
    assert serving_checks.check(str(path), sessions(10)).figures[serving_checks.DISAGREEMENT] == 0.0
