"""Narrow weights: what a model of float16 or int8 tables stores, answers and costs.

Without these an int8 model could be evaluated in float32 and served in int8, or lose its quality unseen.
"""

import functools

import numpy as np
import pytest
import recommender_runs as runs
import tensorflow as tf

from nextclick.components import contract, quantize, serving_checks, trainer, warm_start, weights_check
from nextclick.components.model import build_model
from nextclick.components.scorer import Scorer
from nextclick.pipeline import config as configuration
from nextclick.pipeline import evaluation_results, gate
from nextclick.pipeline.page import weights
from nextclick.serving import calls, messages
from nextclick.serving.messages import Target
from nextclick.serving.servable import Servable

TABLE = np.array([[0, 0, 0], [1, -2, 0.5], [1e-3, 2e-3, -3e-3]], np.float32)


def test_int8_rows_are_rounded_to_a_127th_of_their_own_greatest_value():
    rows = quantize.NarrowRows(TABLE, "int8")
    assert rows.narrow.numpy().tolist() == [[0, 0, 0], [64, -127, 32], [42, 85, -127]]
    expected = [[0, 0, 0], [64 * 2 / 127, -2, 32 * 2 / 127], [42 * 3e-3 / 127, 85 * 3e-3 / 127, -3e-3]]
    np.testing.assert_allclose(rows[:], expected, rtol=1e-5)
    np.testing.assert_allclose(tf.gather(rows, [[2, 1]]), [expected[:0:-1]], rtol=1e-5)


def test_float16_rows_are_rounded_to_eleven_bits():
    rows = quantize.NarrowRows(np.array([[1 + 2**-11, 3.0]], np.float32), "float16")
    assert rows[0:].numpy().tolist() == [[1.0, 3.0]]


@functools.cache
def scorer():
    """Two untrained members of an ensemble."""
    tf.random.set_seed(1)
    return Scorer([build_model(runs.CONFIG, 30), build_model(runs.CONFIG, 30)], runs.LOOKBACK)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """An untrained recommender over the shared vocabulary: the float32 form and the exported one."""
    folder = tmp_path_factory.mktemp("weights")
    output = runs.transform(runs.CONFIG, {contract.TRAIN: runs.cyclic_sessions(60, 1)}, folder)
    vocabulary = list(output.vocabulary_by_name(contract.VOCABULARY_NAME))
    assert len(vocabulary) == 30
    config = configuration.replace(runs.CONFIG, {"serving.weights": "int8"})
    exported = str(folder / "run" / "Format-Serving")
    trainer.export(config, scorer(), output, vocabulary, exported)
    return {"float32": quantize.reference_folder(exported), "int8": exported}


def evaluated(path, sessions):
    signature = tf.saved_model.load(path).signatures["evaluate_v1"]
    return signature(examples=tf.constant([runs.example(session) for session in sessions]))["ranks"].numpy()


def test_no_float32_table_of_items_is_stored(folders):
    stored = tf.train.load_checkpoint(f"{folders['int8']}/variables/variables")
    shapes, types = stored.get_variable_to_shape_map(), stored.get_variable_to_dtype_map()
    assert [types[name] for name, shape in shapes.items() if shape[1:] in ([16], [32])] == [tf.int8] * 2


def test_signatures_answer_alike_and_nearly_as_the_float32_form(folders):
    sessions = runs.cyclic_sessions(40, 3)
    checked = serving_checks.check(folders["int8"], [runs.example(session) for session in sessions])
    assert checked.figures[serving_checks.DISAGREEMENT] == 0.0
    exact, narrow = evaluated(folders["float32"], sessions), evaluated(folders["int8"], sessions)
    assert np.abs(narrow - exact).mean() < 0.5
    assert (narrow != exact).any()


@pytest.mark.parametrize(("kind", "error"), [("float16", 0.01), ("int8", 0.1)])
def test_scores_are_those_of_float32_but_for_the_rounding(kind, error):
    exact, narrow = scorer(), quantize.narrowed(scorer(), kind)
    vectors, newest = exact.encode(tf.constant([[5, 7, 9]]))[:, -1], tf.zeros([1, 0], tf.int32)
    np.testing.assert_allclose(narrow.scores(vectors, newest), exact.scores(vectors, newest), atol=error)
    np.testing.assert_allclose(narrow.encode(tf.constant([[5, 7, 9]]))[:, -1], vectors, atol=error)


def test_a_server_s_session_loads_the_vectors_too(folders):
    """The local server loads through a TensorFlow session, as TensorFlow Serving does; two versions at once."""
    request = messages.predict_request([["item 3"]], Target("m"), runs.LOOKBACK)
    direct = tf.saved_model.load(folders["int8"]).signatures["serving_default"](item_ids=tf.constant([["item 3"]]))
    servables = [Servable("m", version, runs.Path(folders[kind])) for version, kind in enumerate(folders)]
    try:
        assert servables[1].warm_up() > 0
        exact, narrow = (servable.run(calls.read(request, servable.signatures))[1] for servable in servables)
    finally:
        for servable in servables:
            servable.close()
    np.testing.assert_allclose(narrow, direct["scores"].numpy(), rtol=1e-5)
    np.testing.assert_allclose(narrow, exact, atol=0.1)


def test_the_gate_is_told_the_loss_in_mrr_and_the_report_both_sides(folders):
    examples = [runs.example(session) for session in runs.cyclic_sessions(20, 4)]
    found = weights_check.measure(folders["int8"], folders["float32"], examples)
    ranks = {kind: evaluated(folders[kind], runs.cyclic_sessions(20, 4)) for kind in ("float32", "int8")}
    mrr = {kind: np.mean([1 / rank if rank <= 20 else 0 for rank in r[r > 0]]) for kind, r in ranks.items()}
    assert found["weights/before/mrr@20"] == pytest.approx(mrr["float32"])
    assert found["weights/after/mrr@20"] == pytest.approx(mrr["int8"])
    assert found["weights/mrr_loss"] == pytest.approx(mrr["float32"] - mrr["int8"])
    assert {
        found[f"weights/{side}/{name}"] > 0 for side in ("before", "after") for name in ("p50_ms", "megabytes")
    } == {True}
    shown = weights.section({"weights": evaluation_results._weights(found), "config": {"serving": {"weights": "int8"}}})
    assert [column.title for column in shown.blocks[0].columns] == ["Figure", "float32", "int8"]
    assert weights.section({"weights": None}) is None


def test_the_gate_asks_for_the_loss_only_of_narrow_weights():
    narrow = configuration.replace(runs.CONFIG, {"serving.weights": "int8", "gate.max_weights_loss": 0.01})
    assert gate.serving_limits(narrow)["weights/mrr_loss"] == 0.01
    assert "weights/mrr_loss" not in gate.serving_limits(runs.CONFIG)


def test_a_warm_start_reads_narrow_tables(folders):
    earlier = warm_start.read(folders["int8"])
    model = build_model(runs.CONFIG, 30)
    node = dict(warm_start._same_objects(earlier, model))[id(model.embedding)]
    np.testing.assert_allclose(warm_start._weights(earlier, node), scorer().model.embedding.numpy(), atol=0.01)
