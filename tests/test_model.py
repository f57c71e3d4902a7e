"""The network: state that does not advance, a look ahead or dropout in the export all train without an error."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from nextclick.components.model import Recommender, build_model
from nextclick.pipeline import config as configuration
from nextclick.pipeline.config import Config

ITEMS = 50
SMALL = {"model.embedding_size": 8, "model.hidden_units": 8, "features.oov_buckets": 2}


def model_of(**settings):
    tf_keras.utils.set_random_seed(1)
    values = {f"model.{name}": value for name, value in settings.items()}
    return build_model(configuration.replace(Config(), {**SMALL, **values}), ITEMS)


VARIANTS = {
    "default": {},
    "two layers": {"layers": 2},
    "projection": {"hidden_units": 12},
    "plain": {"normalize": False, "tied_embeddings": False},
    "attention": {"attention": "last_state", "hidden_units": 12},
    "bidirectional": {"bidirectional": True},
    "both": {"bidirectional": True, "attention": "last_state", "layers": 2, "hidden_units": 12},
}


@pytest.fixture(scope="module", params=VARIANTS.values(), ids=VARIANTS.keys())
def model(request):
    return model_of(**request.param)


def test_the_first_item_changes_what_follows_the_second(model):
    vectors = model(tf.constant([[5, 7], [6, 7]])).numpy()
    assert np.abs(vectors[0, 1] - vectors[1, 1]).max() > 1e-3


def test_padding_changes_nothing(model):
    session = [5, 9, 30, 7]
    short = model(tf.constant([session])).numpy()
    for length in (10, 20, 50):
        padded = model(tf.constant([session + [0] * (length - 4)])).numpy()
        np.testing.assert_allclose(padded[:, :4], short, atol=1e-6)


def test_no_vector_sees_a_later_item(model):
    one = model(tf.constant([[5, 9, 30, 7]])).numpy()
    other = model(tf.constant([[5, 9, 31, 40]])).numpy()
    assert one[:, :2].tobytes() == other[:, :2].tobytes()
    assert np.abs(one[:, 2:] - other[:, 2:]).max() > 1e-3


def test_the_vector_after_one_item_is_that_of_all(model):
    batch = tf.constant([[5, 9, 30, 7], [7, 0, 0, 0], [9, 9, 0, 0]])
    everywhere = model(batch).numpy()
    for places in ([3, 0, 1], [0, 0, 0], [1, 0, 1]):
        found = model.vectors_at(batch, tf.constant(places)).numpy()
        np.testing.assert_allclose(found, everywhere[range(3), places], atol=1e-6)


def test_each_session_of_a_batch_is_alone(model):
    batch = [[5, 9, 30], [7, 0, 0], [9, 9, 0]]
    together = model(tf.constant(batch)).numpy()
    for row, session in enumerate(batch):
        np.testing.assert_allclose(model(tf.constant([session])).numpy()[0], together[row], atol=1e-6)
    np.testing.assert_allclose(model(tf.constant(batch[::-1])).numpy()[::-1], together, atol=1e-6)


def test_unknown_items_and_padding_start_as_nothing_and_have_no_score(model):
    assert not model.embedding.numpy()[:3].any()
    assert model.embedding.numpy()[3:].any(axis=1).all()
    assert model.item_vectors().shape == (ITEMS, 8)


def test_vectors_of_some_items_are_those_of_all(model):
    np.testing.assert_allclose(
        model.item_vectors(tf.constant([4, 0, 49])), model.item_vectors().numpy()[[4, 0, 49]], rtol=1e-6
    )


def test_normalised_scores_are_cosines_times_temperature():
    model = model_of(temperature=7.0)
    assert np.linalg.norm(model.item_vectors(), axis=1) == pytest.approx(np.ones(ITEMS), abs=1e-5)
    vectors = model(tf.constant([[5, 9, 30]])).numpy()
    assert np.linalg.norm(vectors, axis=2) == pytest.approx(7.0 * np.ones([1, 3]), abs=1e-4)


def test_the_temperature_follows_the_size_of_the_catalogue_where_none_is_set():
    vectors = model_of()(tf.constant([[5, 9, 30]])).numpy()
    assert np.linalg.norm(vectors, axis=2) == pytest.approx((np.log(50) + 4.5) * np.ones([1, 3]), abs=1e-4)


def test_scores_are_neither_bounded_nor_tied():
    model = model_of(normalize=False)
    model.embedding.assign(model.embedding * 50)
    scores = tf.matmul(model(tf.constant([[5, 9, 30]]))[:, -1], model.item_vectors(), transpose_b=True).numpy()[0]
    assert np.abs(scores).max() > 1
    assert len(set(scores.tolist())) == ITEMS


def test_dropout_drops_its_share_in_training_only():
    model = model_of(dropout=0.9, normalize=False, embedding_size=64, hidden_units=64)
    inputs = tf.random.stateless_uniform([40, 10], [1, 1], 3, ITEMS, tf.int32)
    vectors = model(inputs, training=True, seed=tf.constant([3, 64])).numpy()
    assert (vectors == 0).mean() == pytest.approx(0.9, abs=0.02)
    assert model(inputs).numpy().all()
    assert model(inputs).numpy().tobytes() == model(inputs).numpy().tobytes()


def test_dropout_is_the_seed_s():
    model = model_of(dropout=0.5)
    one, again, other = (
        model(tf.constant([[5, 9, 30]]), training=True, seed=tf.constant(seed)).numpy().tolist()
        for seed in ([3, 64], [3, 64], [3, 128])
    )
    assert one == again
    assert one != other


def test_recurrent_dropout_hides_the_state_of_earlier_steps_in_training_only():
    model, same = model_of(recurrent_dropout=0.5, dropout=0.0, layers=2), tf.constant([[5, 9, 30]] * 6)
    trained, again, other = (
        model(same, training=True, seed=tf.constant(seed)).numpy() for seed in ([3, 64], [3, 64], [3, 128])
    )
    # At the first step there is no state to hide; after it each row of the same items has a mask of its own.
    np.testing.assert_allclose(trained[:, 0], model(same).numpy()[:, 0], atol=1e-6)
    assert len(np.unique(trained[:, 1].round(4), axis=0)) > 3
    assert trained.tobytes() == again.tobytes()
    assert trained.tobytes() != other.tobytes()
    assert len(np.unique(model(same).numpy()[:, 2].round(4), axis=0)) == 1


def test_recurrent_dropout_has_one_mask_a_sequence_of_its_share_in_each_layer():
    model = model_of(recurrent_dropout=0.8, hidden_units=64, layers=2)
    masks = [model._state_mask(50, layer, tf.constant([3, 64])).numpy() for layer in (0, 1)]
    assert masks[0].shape == (50, 64)
    assert np.unique(masks[0]) == pytest.approx([0, 5])
    assert (masks[0] == 0).mean() == pytest.approx(0.8, abs=0.03)
    assert (masks[0] != masks[1]).mean() > 0.2


@pytest.mark.parametrize(
    ("settings", "parameters"),
    [
        # 53 rows of 8; gates of 3 × 8 units: inputs 8, states 8, two biases.
        ({}, 53 * 8 + 24 * (8 + 8 + 2)),
        ({"tied_embeddings": False}, 53 * 8 + 24 * (8 + 8 + 2) + ITEMS * 8),
        ({"output_bias": True}, 53 * 8 + 24 * (8 + 8 + 2) + ITEMS),
        ({"layers": 2}, 53 * 8 + 2 * 24 * (8 + 8 + 2)),
        ({"hidden_units": 12}, 53 * 8 + 36 * (8 + 12 + 2) + 12 * 8),
        # Queries, 64 ages and, of the last state and what it read, a vector.
        (
            {"hidden_units": 12, "attention": "last_state"},
            53 * 8 + 36 * (8 + 12 + 2) + 12 * 12 + 64 * 12 + 2 * 12 * 8,
        ),
        # Two GRUs over the item vectors; both states are projected together.
        ({"hidden_units": 12, "bidirectional": True}, 53 * 8 + 2 * 36 * (8 + 12 + 2) + 2 * 12 * 8),
    ],
    ids=["tied", "untied", "bias", "two layers", "projection", "attention", "bidirectional"],
)
def test_parameters_are_those_of_the_options(settings, parameters):
    assert model_of(**settings).count_params() == parameters


def test_a_model_of_its_config_and_weights_scores_the_same(model):
    again = Recommender.from_config(model.get_config())
    again.build()
    again.set_weights(model.get_weights())
    inputs = tf.constant([[5, 9, 30]])
    assert again(inputs).numpy().tobytes() == model(inputs).numpy().tobytes()


def test_config_section_is_kept_whole(model):
    assert set(model.get_config()["network"]) == {field.name for field in dataclasses.fields(Config().model)}
