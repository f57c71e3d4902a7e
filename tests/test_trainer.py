"""run_fn: what the later components read of a training, and what becomes of one that cannot or must not learn."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import recommender_runs as runs
import tensorflow as tf

from nextclick.components import dataset, projector, recipe, sequences, trainer
from nextclick.components.model import build_model
from nextclick.pipeline import config as configuration
from nextclick.pipeline.errors import DataError


def test_training_json_tells_the_training():
    with open(f"{runs.exported().run_folder}/training.json", encoding="utf-8") as file:
        found = json.load(file)
    history = found["history"]
    assert [line["epoch"] for line in history] == list(range(1, found["epochs"] + 1))
    best = max(history, key=lambda line: line["validation_mrr@20"])
    assert found["best_epoch"] == best["epoch"]
    events = sum(len(session) - 1 for session in runs.cyclic_sessions(400, 1))
    assert found["events"] == events * found["epochs"]
    assert found["parameters"] == 32 * 16 + 48 * (16 + 16 + 2)
    assert found["peak_memory_bytes"] > 100 * 2**20
    assert found["seconds"] > sum(line["seconds"] for line in history)
    assert found["events_per_second"] > 0
    assert found["refit_epochs"] == 0
    assert (found["precision"], found["skipped_steps"]) == ("float32", 0)


def test_tensorboard_has_a_point_an_epoch():
    files = tf.io.gfile.glob(f"{runs.exported().run_folder}/events.out.tfevents*")
    tags = [
        value.tag
        for file in files
        for event in tf.compat.v1.train.summary_iterator(file)
        for value in event.summary.value
    ]
    with open(f"{runs.exported().run_folder}/training.json", encoding="utf-8") as file:
        epochs = json.load(file)["epochs"]
    assert {tag: tags.count(tag) for tag in tags} == dict.fromkeys(
        ("loss", "validation_recall@20", "validation_mrr@20", "seconds"), epochs
    )


def test_the_projector_has_a_vector_and_a_name_an_item():
    exported = runs.exported()
    with open(f"{exported.run_folder}/item_vectors.tsv", encoding="utf-8") as file:
        vectors = np.array([[float(value) for value in line.split("\t")] for line in file])
    with open(f"{exported.run_folder}/item_names.tsv", encoding="utf-8") as file:
        assert file.read().splitlines() == [item.decode() for item in exported.vocabulary]
    table = tf.train.load_variable(
        f"{exported.folder}/variables/variables", "scorer/vectors/.ATTRIBUTES/VARIABLE_VALUE"
    )
    np.testing.assert_allclose(vectors, table.T, rtol=1e-4, atol=1e-6)
    with open(f"{exported.run_folder}/projector_config.pbtxt", encoding="utf-8") as file:
        assert 'tensor_path: "item_vectors.tsv" metadata_path: "item_names.tsv"' in file.read()


def test_an_id_with_a_tab_or_no_utf_8_stays_one_field(tmp_path):
    projector.write_projector(str(tmp_path), build_model(runs.CONFIG, 3), [b"a\tb", b"\xff", "é".encode()])
    assert (tmp_path / "item_names.tsv").read_text(encoding="utf-8") == "a b\n\ufffd\né\n"
    assert len((tmp_path / "item_vectors.tsv").read_text(encoding="utf-8").splitlines()) == 3


def test_an_untrained_model_is_exported_all_the_same(tmp_path):
    config = configuration.replace(runs.CONFIG, {"training.max_steps": 0})
    splits = {"train": runs.cyclic_sessions(60, 1), "validation": runs.cyclic_sessions(20, 2)}
    runs.transform(config, splits, tmp_path)
    arguments = runs.run_arguments(config, tmp_path)
    trainer.run_fn(arguments)
    found = json.loads((Path(arguments.model_run_dir) / trainer.TRAINING_FILE).read_text(encoding="utf-8"))
    assert (found["epochs"], found["best_epoch"], found["events"], found["history"]) == (0, 0, 0, [])
    model = tf.saved_model.load(arguments.serving_model_dir)
    scores = model.signatures["serving_default"](item_ids=tf.constant([["item 3"]]))["scores"].numpy()
    assert np.isfinite(scores).all()


def test_refit_trains_again_on_both_splits_for_the_best_number_of_epochs(tmp_path):
    changes = {"data.refit": True, "training.epochs": 2, "training.batch_size": 0, "model.dropout": -1}
    config = configuration.replace(runs.CONFIG, changes)
    train, validation = ([[2, 3, 4], [5, 6], [4, 5]] * 10, [[3, 4], [5, 6, 7, 8]] * 5)  # 40 and 20 predictions
    splits = [dataset.split_of(sequences.from_lists(rows), runs.LOOKBACK) for rows in (train, validation)]
    trainer.write_summary(str(tmp_path), recipe.train(config, *splits, 10), 1.0)
    found = json.loads((tmp_path / trainer.TRAINING_FILE).read_text(encoding="utf-8"))
    assert found["refit_epochs"] == found["best_epoch"] > 0
    assert found["events"] == 40 * found["epochs"] + 60 * found["refit_epochs"]
    assert (found["batch_size"], found["dropout"]) == (32, 0.35)


def test_a_split_without_a_known_item_is_refused():
    config = configuration.replace(runs.CONFIG, {"features.min_item_support": 5, "features.oov_buckets": 3})
    trainer.check_known(dataset.split_of(sequences.from_lists([[1, 2], [3, 4]]), 5), config)
    with pytest.raises(DataError, match=r"no item has 5 clicks in the training split: lower features.min_item_support"):
        trainer.check_known(dataset.split_of(sequences.from_lists([[1, 2], [3, 1], []]), 5), config)


def test_threads_that_come_too_late_are_told(capsys):
    tf.constant(1.0) + 1.0  # TensorFlow runs
    trainer.set_threads(1 + tf.config.threading.get_intra_op_parallelism_threads())
    assert "has no effect" in capsys.readouterr().err
    trainer.set_threads(0)
    assert capsys.readouterr().err == ""


def test_threads_are_set_before_a_run_starts_tensorflow(tmp_path):
    code = (
        "import sys\n"
        "from nextclick.pipeline import cli\n"
        "found = cli.main(['run', '--data', 'missing.csv', '--root', 'root', '--set', 'training.threads=1'])\n"
        "import tensorflow as tf\n"
        "from nextclick.components import trainer\n"
        "tf.constant(1.0) + 1.0\n"
        "trainer.set_threads(1)\n"
        "threads = tf.config.threading\n"
        "print(found, threads.get_intra_op_parallelism_threads(), threads.get_inter_op_parallelism_threads())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert done.stdout.split() == ["2", "1", "1"]
    assert "has no effect" not in done.stderr
