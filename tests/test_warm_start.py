"""A warm start: a row given to the wrong item is not seen in the loss, only in recommendations that are nonsense."""

import dataclasses
import json

import numpy as np
import pytest
import recommender_runs as runs
import tensorflow as tf

from nextclick.components import contract, sequences, trainer, warm_start
from nextclick.components.model import build_model
from nextclick.pipeline import config as configuration

GONE, NEW = 3, [b"new 1", b"new 2"]
NOTHING = sequences.from_lists([])


@pytest.fixture(scope="module")
def earlier():
    return runs.exported()


def next_vocabulary(earlier):
    """Three items fewer, two more, and the rest in the opposite order."""
    return [NEW[0], *reversed(earlier.vocabulary[GONE:]), NEW[1]]


def carried_over(earlier, vocabulary, windows=NOTHING, **settings):
    model = build_model(configuration.replace(runs.CONFIG, settings), len(vocabulary))
    before = [weight.numpy() for weight in model.trainable_variables]
    return model, before, warm_start.carry_over(warm_start.read(earlier.folder), model, windows, vocabulary)


def rows_by_item(model, vocabulary):
    return dict(zip(vocabulary, model.embedding.numpy()[model.first_item :], strict=True))


def test_each_item_keeps_its_row_wherever_it_has_moved(earlier):
    vocabulary = next_vocabulary(earlier)
    model, _, found = carried_over(earlier, vocabulary)
    old = saved_rows(earlier)
    new = rows_by_item(model, vocabulary)
    for item in earlier.vocabulary[GONE:]:
        np.testing.assert_array_equal(new[item], old[item])
    assert (found.items, found.new_items, found.dropped_items) == (27, 2, 3)
    assert (found.variables, found.fresh_variables) == (4, 0)


def saved_rows(earlier):
    """The table as the SavedModel has it, read by another way than the code's."""
    table = tf.train.load_variable(
        f"{earlier.folder}/variables/variables", "scorer/model/embedding/.ATTRIBUTES/VARIABLE_VALUE"
    )
    return dict(zip(earlier.vocabulary, table[2:], strict=True))


def test_a_new_item_starts_at_the_mean_of_the_known_items_next_to_it(earlier):
    # Item 2 is "new 1", item 30 "new 2", item 1 unknown. A window's end has no neighbour.
    windows = sequences.from_lists([[3, 2, 4], [2, 30, 1], [5, 5], [2, 3], [1, 2]])
    model, before, _ = carried_over(earlier, next_vocabulary(earlier), windows)
    fresh = next(values for values in before if values.shape == (31, 16))
    rows = model.embedding.numpy()
    np.testing.assert_allclose(rows[2], (rows[3] + rows[4] + rows[3]) / 3, rtol=1e-5)
    np.testing.assert_array_equal(rows[30], fresh[30])  # its only neighbours are new or unknown
    assert np.abs(fresh[30]).max() > 0.01


def test_a_model_of_the_same_items_answers_as_the_earlier_one(earlier):
    model, _, found = carried_over(earlier, earlier.vocabulary)
    session = earlier.validation[0]
    indices = tf.constant([earlier.transformed[b"\0".join(session)][: runs.LOOKBACK]])
    vector = model(indices)[0, -1]
    scores = tf.linalg.matvec(model.item_vectors(), vector)
    exported = tf.saved_model.load(earlier.folder)
    exported.scorer.hybrid.weight.assign(0.0)  # the network alone: the session kNN is learnt anew by every training
    served = exported.signatures[contract.SIGNATURE_INDICES](item_indices=tf.cast(indices, tf.int64))
    best = tf.math.top_k(tf.nn.softmax(scores), 5)
    np.testing.assert_array_equal(best.indices.numpy() + 2, served["item_indices"].numpy()[0, :5])
    np.testing.assert_allclose(best.values.numpy(), served["scores"].numpy()[0, :5], rtol=1e-4)
    assert found.new_items == found.dropped_items == 0


def test_what_does_not_fit_stays_fresh_and_is_counted(earlier):
    model, before, found = carried_over(earlier, earlier.vocabulary, **{"model.hidden_units": 8})
    assert (found.variables, found.fresh_variables) == (1, 4)  # the GRU's three weights and the projection
    for variable, old in zip(model.trainable_variables, before, strict=True):
        assert np.array_equal(variable.numpy(), old) == (variable is not model.embedding)
    assert found.items == 30


def test_an_output_matrix_and_its_constants_move_with_their_items(earlier, tmp_path):
    settings = {"model.tied_embeddings": False, "model.output_bias": True}
    vocabulary = [f"item {number}".encode() for number in range(5)]
    first = build_model(configuration.replace(runs.CONFIG, settings), 5)
    first.output_bias.assign([0.0, 1.0, 2.0, 3.0, 4.0])
    first(tf.constant([[2, 3]]))  # a model that never was called cannot be saved
    saved = tf.Module()
    saved.scorer = tf.Module()
    saved.scorer.model, saved.item_ids = first, tf.Variable(vocabulary)
    tf.saved_model.save(saved, str(tmp_path))
    second = build_model(configuration.replace(runs.CONFIG, settings), 5)
    order = [4, 2, 0, 1, 3]
    warm_start.carry_over(warm_start.read(str(tmp_path)), second, NOTHING, [vocabulary[place] for place in order])
    np.testing.assert_array_equal(second.output_bias.numpy(), [4.0, 2.0, 0.0, 1.0, 3.0])
    np.testing.assert_array_equal(second.output_embedding.numpy(), first.output_embedding.numpy()[order])


def test_without_a_served_model_training_starts_from_fresh_weights(tmp_path, capsys):
    start = warm_start.WarmStart(str(tmp_path), [b"a", b"b"])
    model = build_model(runs.CONFIG, 2)
    before = [weight.numpy() for weight in model.trainable_variables]
    start(model, sequences.from_lists([[2, 3, 2]]))
    for variable, old in zip(model.trainable_variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), old)
    assert "fresh weights" in capsys.readouterr().err
    assert start.summary() == {
        "found": False,
        "items": 0,
        "new_items": 2,
        "dropped_items": 0,
        "variables": 0,
        "fresh_variables": 0,
    }


def test_a_model_says_until_when_it_has_learnt(earlier, tmp_path):
    assert warm_start.read(earlier.folder).learnt_until_ms == 0  # its sessions have no times
    saved = tf.Module()
    saved.scorer, saved.item_ids = tf.Module(), tf.Variable([b"a"])
    saved.scorer.model, saved.learnt_until_ms = (
        build_model(runs.CONFIG, 1),
        tf.Variable(1_700_000_000_123, dtype=tf.int64),
    )
    saved.scorer.model(tf.constant([[2]]))
    tf.saved_model.save(saved, str(tmp_path))
    assert warm_start.WarmStart(str(tmp_path), [b"a"]).learnt_until_ms == 1_700_000_000_123


def test_run_fn_starts_where_the_served_model_is_and_says_so(earlier, tmp_path):
    splits = {"train": runs.cyclic_sessions(60, 1), "validation": runs.cyclic_sessions(20, 2)}
    config = configuration.replace(runs.CONFIG, {"training.warm_start": True, "training.max_steps": 1})
    runs.transform(config, splits, tmp_path)
    arguments = runs.run_arguments(config, tmp_path)
    arguments.base_model = earlier.folder
    trainer.run_fn(arguments)
    with open(f"{arguments.model_run_dir}/training.json", encoding="utf-8") as file:
        found = json.load(file)["warm_start"]
    before = found.pop("validation_mrr@20")
    assert before > 0.6  # fresh weights give less than 0.2
    assert found == {"found": True, **dataclasses.asdict(warm_start.CarriedOver(30, 0, 0, 4, 0))}
