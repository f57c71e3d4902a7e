"""The shell between TFMA and our metrics: if it misreads predictions or features, the gate judges something else."""

import json

import gate_parts as parts
import numpy as np
import pyarrow as pa
import pytest
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.metrics import metric_types

from nextclick.components import bootstrap, contract, tfma_metrics
from nextclick.components.tfma_metrics import RankingMetrics, SessionCombiner, SessionPreprocessor, Settings
from nextclick.pipeline import evaluation_results, gate
from nextclick.pipeline.config import Config, replace


def some(predictions, model="", served=None, baselines=(), **features):
    """SessionRanks of sessions, each a row of every feature."""
    preprocessor = SessionPreprocessor(model, served, Settings(baselines=baselines))
    number = len(next(iter(features.values()), [0]))
    batch = pa.RecordBatch.from_pydict({"session_id": [[f"s{row}".encode()] for row in range(number)], **features})
    (found,) = preprocessor.process({tfma.PREDICTIONS_KEY: predictions, tfma.ARROW_RECORD_BATCH_KEY: batch})
    return found


RANKS = np.array([[3, 1, 0, 0]], np.int32)  # two predictions, padded
TOP_IDS = np.arange(80).reshape(1, 4, 20)


def test_predictions_of_an_only_model_are_read():
    found = some({"ranks": RANKS, "top_ids": TOP_IDS})
    assert found.ranks.tolist() == [[3, 1]]
    assert found.lengths.tolist() == [2]
    np.testing.assert_array_equal(found.top_ids, TOP_IDS[0, :2])


def test_predictions_of_several_sessions_stand_one_after_the_other():
    ranks = np.array([[3, 1, 0], [7, 0, 0], [0, 0, 0], [2, 4, 6]])
    features = {"ranks_popular": [[9, 8], [5], [], [1, 2, 3]], "item_indices": [[2, 4, 5], [6, 7], [8], [2, 3, 4, 5]]}
    found = some({"ranks": ranks, "top_ids": np.arange(24).reshape(4, 3, 2)}, baselines=["popular"], **features)
    assert found.lengths.tolist() == [2, 1, 0, 3]
    assert found.ranks.tolist() == [[3, 1, 7, 2, 4, 6], [9, 8, 5, 1, 2, 3]]
    assert found.targets.tolist() == [4, 5, 7, 3, 4, 5]
    assert found.top_ids.tolist() == [[0, 1], [2, 3], [6, 7], [18, 19], [20, 21], [22, 23]]
    assert found.fingerprints.tolist() == [bootstrap.fingerprint(f"s{row}".encode(), 0) for row in range(4)]


def test_ties_are_the_model_s_own_and_unknown_where_it_does_not_say():
    tied = np.array([[True, False, False, False]])
    assert some({"ranks": RANKS, "tied": tied}).tied == 1
    assert some({"candidate": {"ranks": RANKS}, "served": {"ranks": RANKS, "tied": tied}}, "candidate").tied is None


def test_predictions_of_two_models_are_read():
    predictions = {"candidate": {"ranks": RANKS}, "served": {"ranks": np.array([[7, 5, 0]])}}
    assert some(predictions, "candidate", "served").ranks.tolist() == [[3, 1], [7, 5]]
    assert some(predictions, "candidate").ranks.tolist() == [[3, 1]]


def test_predictions_as_a_bare_array_are_the_ranks():
    assert some(RANKS).ranks.tolist() == [[3, 1]]
    assert some({"candidate": RANKS, "served": RANKS}, "candidate", "served").ranks.tolist() == [[3, 1], [3, 1]]


def test_slices_come_from_the_features():
    found = some({"ranks": RANKS}, slice_popularity=[[2, 3]])
    assert found.slices["popularity"].tolist() == [2, 3]
    assert found.slices["position"].tolist() == [0, 1]


def test_session_of_one_click_makes_no_prediction():
    assert some({"ranks": np.zeros((1, 4), np.int32)}, baselines=["popular"]).ranks.shape == (2, 0)


def test_missing_baseline_is_an_error_and_not_a_win():
    with pytest.raises(ValueError, match="made 2 predictions and popular 0"):
        some({"ranks": RANKS}, baselines=["popular"])


def test_served_model_that_made_other_predictions_is_an_error():
    """In the second session alone; in all the numbers are equal."""
    predictions = {"candidate": {"ranks": np.array([[1, 0], [1, 2]])}, "served": {"ranks": np.array([[7, 2], [7, 0]])}}
    with pytest.raises(ValueError, match=r"made 1 predictions and served 2: .* gate.compare_served=false"):
        some(predictions, "candidate", "served", item_indices=[[2, 3], [2, 3]])


def by_name(found):
    return {key.name: value for key, value in found.items() if not key.is_diff}


def test_accumulators_merge_in_any_order_and_between_batches():
    combiner = SessionCombiner("", None, Settings(baselines=("popular",), rivals=("popular",)))
    sessions = [some(np.array([[rank]]), baselines=["popular"], ranks_popular=[[2]]) for rank in range(1, 1401)]
    shares = [combiner.create_accumulator() for _ in range(3)]
    for number, session in enumerate(sessions):
        shares[number % 2] = combiner.add_input(shares[number % 2], session)  # the third stays empty
    shares[0] = combiner.compact(shares[0])
    merged = by_name(combiner.extract_output(combiner.merge_accumulators(reversed(shares))))
    assert merged["predictions"] == 1400
    assert merged["recall@20"] == 20 / 1400
    assert merged["popular/mrr@20"] == 0.5


def test_keys_are_those_that_thresholds_are_looked_up_by(tmp_path):
    config = gate.eval_config(Config())
    wanted = tfma.metrics.metric_thresholds_from_metrics_specs(config.metrics_specs, eval_config=config)
    settings = {"baselines": contract.BASELINES, "rivals": ["popular"], "facts": str(parts.write_facts(tmp_path / "f"))}
    combiner = SessionCombiner("", gate.SERVED, Settings(**settings))
    found = combiner.extract_output(combiner.create_accumulator())
    assert {key for key in wanted if key not in found} == set()


def test_served_model_has_no_baselines_of_its_own():
    config = gate.eval_config(Config())
    (computation,) = RankingMetrics(baselines=["popular"], rivals=["popular"]).computations(
        eval_config=config, model_names=[gate.CANDIDATE, gate.SERVED]
    )
    found = computation.combiner.extract_output(computation.combiner.create_accumulator())
    names = {model: {key.name for key in found if key.model_name == model} for model in (gate.CANDIDATE, gate.SERVED)}
    assert "popular/recall@20" in names[gate.CANDIDATE]
    assert "recall@20" in names[gate.SERVED]
    assert "popular/recall@20" not in names[gate.SERVED]


def test_metric_is_named_by_class_and_module_in_the_config():
    (metric,) = gate.eval_config(Config()).metrics_specs[0].metrics
    assert (metric.module, metric.class_name) == ("nextclick.components.tfma_metrics", "RankingMetrics")
    instance = tfma_metrics.RankingMetrics.from_config(json.loads(metric.config))
    assert isinstance(instance, metric_types.Metric)


def test_facts_are_put_into_the_config():
    changed = tfma_metrics.with_facts(gate.eval_config(Config()), "/some/file")
    assert json.loads(changed.metrics_specs[0].metrics[0].config)["facts"] == "/some/file"
    assert json.loads(changed.metrics_specs[0].metrics[0].config)["baselines"] == list(contract.BASELINES)


def test_tfma_gives_what_a_recount_of_the_ranks_gives(tmp_path):
    """Random sessions through Beam, TFMA and two SavedModels; the figures recounted with numpy from the same ranks."""
    chance = np.random.default_rng(3)
    columns = ["model_ranks", "served", *contract.BASELINES]
    rows = [
        dict(zip(columns, chance.integers(1, 40, (len(columns), chance.integers(1, 12))).tolist(), strict=True))
        for _ in range(60)
    ]
    sessions = [
        parts.ranked(f"s{i}", row["model_ranks"], **{n: row[n] for n in columns[1:]}) for i, row in enumerate(rows)
    ]
    examples = parts.ranked_artifact(tmp_path / "examples", *sessions)
    served = parts.model_artifact(tmp_path / "served", feature="served_ranks")
    served.set_string_custom_property("served_version", "1")
    config = replace(Config(), {"gate.baselines": contract.BASELINES, "gate.check_serving": False})
    judged = parts.judge(tmp_path, parts.model_artifact(tmp_path / "model"), examples, config, served)
    evaluation = evaluation_results.read(judged.evaluation.uri, judged, config)["evaluation"]

    every = {name: np.array([rank for row in rows for rank in row[name]]) for name in columns}
    found = {"model_ranks": evaluation["model"], "served": evaluation["served"], **evaluation["baselines"]}
    for name, ranks in every.items():
        assert found[name]["recall@20"] == pytest.approx(np.mean(ranks <= 20), abs=1e-9)
        assert found[name]["mrr@10"] == pytest.approx(np.mean((ranks <= 10) / ranks), abs=1e-9)
        assert found[name]["ndcg@5"] == pytest.approx(np.mean((ranks <= 5) / np.log2(ranks + 1)), abs=1e-9)
    assert evaluation["predictions"] == len(every["served"])
    slices = {entry["slice"]: entry for entry in evaluation["slices"]}
    short = [row["model_ranks"] for row in rows if 2 <= len(row["model_ranks"]) <= 3]
    assert slices["session_length=3-4"]["metrics"]["recall@20"] == pytest.approx(np.mean(np.concatenate(short) <= 20))
    fifth = [row["session_knn"][4:5] + row["session_knn"][3:4] for row in rows]
    expected = np.mean(np.concatenate(fifth) <= 20)
    assert slices["position=4-5"]["metrics"]["session_knn/recall@20"] == pytest.approx(expected)
    low, high = evaluation["intervals"]["session_knn"]["recall@20"]
    assert low < found["session_knn"]["recall@20"] < high
    again = parts.judge(tmp_path / "again", parts.model_artifact(tmp_path / "model2"), examples, config, served)
    assert evaluation_results.read(again.evaluation.uri, again, config)["evaluation"] == evaluation
    assert evaluation["model"]["coverage@20"] == pytest.approx(20 / 30)  # the model always shows the first twenty
