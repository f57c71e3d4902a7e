"""Without this, the evaluation benchmark could break unseen, or time another evaluation than the pipeline's."""

import json

import numpy as np
import tensorflow as tf

from nextclick.pipeline import cli


def test_a_short_benchmark_measures_every_phase(tmp_path, capsys):
    file = tmp_path / "figures.json"
    short = ["--items", "200", "--sessions", "150", "--preset", "quick", "--set", "model.embedding_size=32"]
    assert cli.main(["benchmark", "evaluate", *short, "--json", str(file)]) == 0
    size = json.loads(file.read_text(encoding="utf-8"))["200 items"]
    assert size["sessions"] == 150
    assert size["item_matrix_bytes"] == 4 * 200 * 32
    assert 2 * size["item_matrix_bytes"] < size["model_bytes"] < 10 << 20  # as trained, and as scored
    for phase in ("signature", "evaluator", "numpy"):
        figures = size[phase]
        assert figures["predictions_per_second"] == size["predictions"] / figures["seconds"] > 0
        assert figures["peak_memory_bytes"] > 50 << 20
    evaluator = size["evaluator"]
    assert evaluator["times_the_seconds_of_the_signature"] == evaluator["seconds"] / size["signature"]["seconds"]
    assert "NumPy" in capsys.readouterr().out


def test_the_written_sessions_are_those_of_an_evaluation(tmp_path):
    from nextclick.pipeline.benchmarks import evaluate_data

    ids = [f"item {i}" for i in range(90)]
    predictions = evaluate_data.write(tmp_path, ids, 60, seed=1)
    files = [str(path) for path in (tmp_path / "examples" / "Split-test").iterdir()]
    records = tf.data.TFRecordDataset(files, compression_type="GZIP")
    examples = [tf.train.Example.FromString(record) for record in records.as_numpy_iterator()]
    lengths = [len(example.features.feature["item_ids"].bytes_list.value) for example in examples]
    assert len(examples) == 60
    assert min(lengths) >= 2
    assert sum(lengths) - 60 == predictions
    for example, length in zip(examples, lengths, strict=True):
        ranks = example.features.feature["ranks_session_knn"].int64_list.value
        assert len(ranks) == length - 1
        indices = np.array(example.features.feature["item_indices"].int64_list.value)
        items = [ids[index - 2].encode() for index in indices]
        assert items == list(example.features.feature["item_ids"].bytes_list.value)


def test_sizes_and_sessions_must_fit(capsys):
    assert cli.main(["benchmark", "evaluate", "--items", "100", "200", "--sessions", "100", "200", "300"]) == 2
    assert "--sessions must be one number or 2" in capsys.readouterr().err
