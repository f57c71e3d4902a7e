"""A run's figures counted anew with NumPy from what the pushed model answers: if they differed, who would trust them?

The page, metrics.json, TFMA's own output and the recount agree to 1e-6.
"""

import collections
import html
import math
import re

import numpy as np
import pipeline_runs as runs
import pytest
import tensorflow as tf
import tensorflow_model_analysis as tfma
from tensorflow_transform.output_wrapper import TFTransformOutput

from nextclick.pipeline import lineage

CUTOFFS = (1, 3, 5, 10, 20)
UNKNOWN = 2_147_483_647
BASELINES = ("popular", "popular_recent", "last_viewed", "item_to_item", "session_knn")
TITLES = {
    "This model": "model",
    "Popular items": "popular",
    "Popular on the newest day": "popular_recent",
    "Last viewed": "last_viewed",
    "Item to item": "item_to_item",
    "Session kNN": "session_knn",
}


@pytest.fixture(scope="module")
def root():
    return runs.second_run()[0]


@pytest.fixture(scope="module")
def metrics(root):
    return runs.metrics(root)


@pytest.fixture(scope="module")
def nodes(root):
    return lineage.latest_run(str(root / "metadata.sqlite"), holding="GateEvaluator")


def records(uri, split):
    files = tf.io.gfile.glob(f"{uri}/Split-{split}/*")
    return list(tf.data.TFRecordDataset(files, compression_type="GZIP").as_numpy_iterator())


def feature(example, name):
    value = example.features.feature[name]
    return list(getattr(value, value.WhichOneof("kind")).value)


@pytest.fixture(scope="module")
def predictions(metrics, nodes):
    """One line a prediction: ranks by ranker, the list, whether the target is tied, the target, position, length."""
    model = tf.saved_model.load(metrics["pushed"]["path"])
    found = []
    for record in records(nodes["BaselineRanks"].outputs["examples"].uri, "test"):
        answer = model.signatures["evaluate_v1"](examples=tf.constant([record]))
        example = tf.train.Example.FromString(record)
        items = feature(example, "item_ids")
        for place, target in enumerate(items[1:]):
            ranks = {name: feature(example, f"ranks_{name}")[place] for name in BASELINES}
            ranks["model"] = int(answer["ranks"][0, place])
            listed, tied = answer["top_ids"][0, place].numpy().tolist(), bool(answer["tied"][0, place])
            found.append((ranks, listed, tied, target, place + 1, len(items)))
    return found


def recount(ranks):
    """Every rank metric by the plainest means."""
    ranks = np.array(ranks, np.float64)
    found = {}
    for suffix, some in (("", ranks), ("/known", ranks[ranks != UNKNOWN])):
        for cutoff in CUTOFFS:
            hit = some <= cutoff
            found[f"recall@{cutoff}{suffix}"] = np.mean(hit)
            found[f"mrr@{cutoff}{suffix}"] = found[f"map@{cutoff}{suffix}"] = np.mean(np.where(hit, 1 / some, 0))
            found[f"ndcg@{cutoff}{suffix}"] = np.mean(np.where(hit, 1 / np.log2(some + 1), 0))
    return found


def recount_lists(lists, predictions, nodes):
    """Coverage, novelty and popularity lift from the clicks of the splits that the model learnt from."""
    clicks = collections.Counter()
    for split in ("train", "validation"):
        for record in records(nodes["SessionExampleGen"].outputs["examples"].uri, split):
            clicks.update(feature(tf.train.Example.FromString(record), "item_ids"))
    vocabulary = TFTransformOutput(nodes["Transform"].outputs["transform_graph"].uri).vocabulary_by_name("items")
    shown = [vocabulary[index - 2] for listed in lists for index in listed]
    targets = [line[3] for line in predictions if line[3] in clicks]
    total = sum(clicks.values())
    return {
        "coverage@20": len(set(shown)) / len(vocabulary),
        "novelty@20": np.mean([-math.log2(clicks[item] / total) for item in shown]),
        "popularity_lift@20": np.mean([clicks[item] for item in shown]) / np.mean([clicks[item] for item in targets]),
        "invalid@20": 0.0,
    }


def test_the_model_says_when_the_newest_session_it_learnt_ended(metrics, nodes):
    """With refit that is of the validation split; a warm start from the model is judged by later sessions alone."""
    ends = [
        max(feature(tf.train.Example.FromString(record), "event_times_ms"))
        for record in records(nodes["SessionExampleGen"].outputs["examples"].uri, "validation")
    ]
    assert int(tf.saved_model.load(metrics["pushed"]["path"]).learnt_until_ms) == max(ends)


@pytest.fixture(scope="module")
def recounted(predictions, nodes):
    found = {name: recount([line[0][name] for line in predictions]) for name in ("model", *BASELINES)}
    found["model"].update(recount_lists([line[1] for line in predictions], predictions, nodes))
    for name in BASELINES:
        found[name].update(recount_lists(baseline_lists(nodes, name), predictions, nodes))
    return found


def baseline_lists(nodes, name):
    """What a baseline's SavedModel lists at each prediction."""
    uri = nodes["BaselineRanks"].outputs["examples"].uri
    model = tf.saved_model.load(f"{uri}/baseline_models/{name}/1")
    answer = model.signatures["evaluate_v1"](examples=tf.constant(records(uri, "test")))
    return answer["top_ids"].numpy()[answer["ranks"].numpy() > 0].tolist()


def test_metrics_json_is_the_recount(metrics, predictions, recounted):
    evaluation = metrics["evaluation"]
    assert evaluation["predictions"] == len(predictions) > 100
    assert evaluation["predictions_with_known_target"] == sum(line[0]["model"] != UNKNOWN for line in predictions)
    assert evaluation["tied_share"] == pytest.approx(np.mean([line[2] for line in predictions]), abs=1e-6)
    for ranker, expected in recounted.items():
        shown = evaluation["model"] if ranker == "model" else evaluation["baselines"][ranker]
        assert shown == pytest.approx({name: expected[name] for name in shown}, abs=1e-6)
        assert {name for name in expected if "@" in name} - set(shown) == set()


def test_slices_are_the_recount(metrics, predictions):
    slices = {entry["slice"]: entry for entry in metrics["evaluation"]["slices"]}
    some = {
        "position=2": [line for line in predictions if line[4] == 2],
        "position=6-9": [line for line in predictions if 6 <= line[4] <= 9],
        "session_length=3-4": [line for line in predictions if 3 <= line[5] <= 4],
        "session_length=5-9": [line for line in predictions if 5 <= line[5] <= 9],
    }
    for name, lines in some.items():
        assert slices[name]["predictions"] == len(lines) > 0
        for ranker in ("model", *BASELINES):
            expected = recount([line[0][ranker] for line in lines])
            prefix = "" if ranker == "model" else f"{ranker}/"
            for metric in ("recall@20", "mrr@20"):
                assert slices[name]["metrics"][f"{prefix}{metric}"] == pytest.approx(expected[metric], abs=1e-6)


def test_tfma_s_own_output_is_the_recount(nodes, recounted):
    (overall,) = [
        entry
        for entry in tfma.load_metrics(nodes["GateEvaluator"].outputs["evaluation"].uri)
        if not entry.slice_key.single_slice_keys
    ]
    stored = {
        item.key.name: item.value.double_value.value
        for item in overall.metric_keys_and_values
        if not item.key.is_diff and item.key.model_name != "served"
    }
    for ranker, expected in recounted.items():
        for metric, value in expected.items():
            name = metric if ranker == "model" else f"{ranker}/{metric}"
            assert stored[name] == pytest.approx(value, abs=1e-6), name


def test_the_page_is_the_recount(root, recounted):
    """What a cell is sorted by is its figure in full; what is read of it are four decimals, or two."""
    source = (root / "reports" / "latest" / "index.html").read_text(encoding="utf-8")
    table = source[source.index("<caption>All metrics") :].partition("</table>")[0]
    rows = [
        re.findall(r'data-sort="([^"]*)"[^>]*>\s*([^<]*?)\s*<', row) for row in re.findall(r"<tr>.*?</tr>", table, re.S)
    ]
    order = [TITLES.get(title, "") for title in re.findall(r'<th scope="col"[^>]*>([^<]*)<', table)[1:]]
    labels = {"Recall": "recall", "MRR": "mrr", "NDCG": "ndcg", "MAP": "map"}
    seen = 0
    for row in (row for row in rows if row):
        title, *figures = row
        name = html.unescape(title[1])
        family, _, rest = name.partition("@")
        metric = f"{labels[family]}@{rest.replace(', ', '/')}" if family in labels else name.lower().replace(" ", "_")
        for ranker, (full, read) in zip(order, figures, strict=True):
            if metric in recounted.get(ranker, {}):
                assert float(full) == pytest.approx(recounted[ranker][metric], abs=1e-6), name
                assert float(read) == pytest.approx(recounted[ranker][metric], abs=0.0051)
                seen += 1
    assert seen == 44 * 6
