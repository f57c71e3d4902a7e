"""Several outputs a step: a target off by one, or of another session, would teach what never happens."""

import random

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from test_fitting import ITEMS, TRAIN, config_of

from nextclick.components import dataset, sequences, steps
from nextclick.components.batches import make_plan
from nextclick.components.horizon import Outputs, places_and_labels
from nextclick.components.model import build_model
from nextclick.pipeline import cli
from nextclick.pipeline import config as configuration
from nextclick.pipeline.config import Config

FIRST = 2  # index of the first item, with one out-of-vocabulary bucket


def steps_of(windows, side=None, normalize=True, **settings):
    """An untrained model without dropout and what would train it; a rate of 0 unless the settings say more."""
    side_features = "add" if side else "off"
    config = configuration.replace(
        config_of(**{"learning_rate": 0.0, "negatives": 6, **settings}),
        {
            "model.dropout": 0.0,
            "model.normalize": normalize,
            "features.side_features": tuple(side or ()),
            "model.side_features": side_features,
        },
    )
    tf_keras.utils.set_random_seed(3)
    model = build_model(config, ITEMS, side)
    return steps.TrainingSteps(model, windows, config.training, 1, total_steps=1)


def random_windows():
    """Of random length and items, an unknown one (index 1) among them."""
    chance = random.Random(5)
    sessions = [[chance.randint(1, ITEMS + 1) for _ in range(chance.randint(2, 14))] for _ in range(40)]
    return dataset.split_of(sequences.from_lists(sessions), 5).windows


def test_targets_are_shifted_and_what_is_not_known_is_no_target():
    targets = tf.constant([[7, 8, 9], [4, -1, 5], [6, -1, -1]])
    found = [tuple(part.numpy().tolist() for part in places_and_labels(targets, ahead)) for ahead in (1, 2, 3, 4, 9)]
    assert found == [
        ([0, 1, 2, 3, 5, 6], [7, 8, 9, 4, 5, 6]),
        ([0, 1, 4], [8, 9, 5]),
        ([0, 3], [9, 5]),
        ([], []),
        ([], []),
    ]


def test_output_m_predicts_the_items_m_clicks_later_in_the_same_window():
    windows = random_windows()
    config = configuration.replace(Config(), {"model.embedding_size": 2, "model.normalize": False})
    outputs = Outputs(build_model(config, ITEMS), [1.0, 0.5, 0.25])
    batches = steps_of(windows)
    plan = make_plan(windows, 30, np.random.default_rng(0))
    for start, stop in zip(plan.starts, plan.stops, strict=True):
        batch = batches._batch(tf.constant(plan.order[start:stop]))
        rows, width = batch.shape[0], batch.shape[1] - 1
        places = np.stack(np.meshgrid(range(rows), range(width), indexing="ij"), axis=-1).astype(np.float32)
        vectors, labels, weights = (part.numpy().tolist() for part in outputs(places, batch[:, 1:] - FIRST))
        expected = []
        for ahead, weight in ((1, 1.0), (2, 0.5), (3, 0.25)):
            for row, number in enumerate(plan.order[start:stop]):
                window = windows.values[windows.splits[number] : windows.splits[number + 1]].tolist()
                for place in range(len(window) - ahead):
                    if window[place + ahead] >= FIRST:
                        expected.append(([row, place], window[place + ahead] - FIRST, weight))
        assert list(zip(vectors, labels, weights, strict=True)) == expected


@pytest.mark.parametrize("power", [0.0, 0.5])
@pytest.mark.parametrize("normalize", [True, False])
def test_the_loss_is_the_weighted_mean_over_the_predictions_of_all_outputs(power, normalize):
    windows, weights = random_windows(), (0.5, 0.3, 0.2)
    outputs = {"horizon": 3, "horizon_weights": weights, "rare_target_power": power}
    trained = steps_of(windows, normalize=normalize, loss="softmax", **outputs)
    model = trained.model
    generator = np.random.default_rng(2)
    kernels = {ahead: generator.normal(size=(12, 12)).astype(np.float32) for ahead in (2, 3)}
    for ahead, kernel in kernels.items():
        trained.outputs.kernels[ahead].assign(kernel)
    batch = trained._batch(tf.range(len(windows)))
    loss, events = trained._step(tf.range(len(windows)))
    vectors, items = model(batch[:, :-1]).numpy(), model.item_vectors().numpy()
    rare = np.ones(ITEMS) if trained.weights is None else trained.weights.numpy()
    total, count = 0.0, 0.0
    for row, window in enumerate(batch.numpy()):
        for place in range(len(window) - 1):
            for ahead, weight in enumerate(weights, 1):
                if place + ahead >= len(window) or window[place + ahead] < FIRST:
                    continue
                vector = vectors[row, place]
                if ahead > 1:
                    vector = vector @ kernels[ahead]
                    vector = vector / np.linalg.norm(vector) * model.temperature if normalize else vector
                logits = items @ vector
                label = window[place + ahead] - FIRST
                total += (
                    weight * rare[label] * (np.log(np.exp(logits - logits.max()).sum()) + logits.max() - logits[label])
                )
                count += weight
    assert float(loss) == pytest.approx(total / count, rel=1e-4)
    assert (
        int(events)
        == (windows.values[np.setdiff1d(np.arange(len(windows.values)), windows.splits[:-1])] >= FIRST).sum()
    )


@pytest.mark.parametrize("loss", ["softmax", "sampled_softmax", "bpr_max", "top1_max"])
def test_each_loss_weighs_its_outputs(loss):
    windows = random_windows()

    def of(horizon, weights):
        trained = steps_of(windows, loss=loss, horizon=horizon, horizon_weights=weights)
        return float(trained._step(tf.range(len(windows)))[0])

    first = sum(item >= FIRST for window in lists(windows) for item in window[1:])
    second = sum(item >= FIRST for window in lists(windows) for item in window[2:])
    alone, both, little = of(1, ()), of(2, (1.0, 1.0)), of(2, (1.0, 0.25))
    loss_of_second = (both * (first + second) - alone * first) / second
    assert little == pytest.approx((alone * first + 0.25 * loss_of_second * second) / (first + 0.25 * second), rel=1e-4)
    assert loss_of_second != pytest.approx(alone, rel=1e-3)


def test_side_features_change_neither_targets_nor_weights():
    windows = random_windows()
    plain = steps_of(windows, loss="softmax", horizon=3)
    looked_at = sequences.Sequences(np.stack([windows.values, windows.values % 3], axis=1), windows.splits)
    beside = steps_of(looked_at, {"hour_of_day": 24}, loss="softmax", horizon=3)
    same = {weight.name: weight.numpy() for weight in plain.model.trainable_variables}
    for weight in beside.model.trainable_variables:
        if weight.name in same:  # the side feature's vectors are zero at first
            weight.assign(same[weight.name])
    numbers = tf.range(len(windows))
    expected, found = (part._step(numbers) for part in (plain, beside))
    assert float(found[0]) == pytest.approx(float(expected[0]), rel=1e-6)
    assert int(found[1]) == int(expected[1])


def trained_weights(**settings):
    """Name and values of what an epoch leaves in the model."""
    trained = steps_of(TRAIN.windows, **{"learning_rate": 0.02, **settings})
    plan = make_plan(TRAIN.windows, 64, np.random.default_rng(0))
    trained.run(plan, 0, len(plan))
    return {weight.name: weight.numpy().tobytes() for weight in trained.model.weights}


def test_an_output_of_weight_zero_is_no_output_and_none_adds_a_weight_to_the_model():
    one, two = trained_weights(), trained_weights(horizon=2)
    assert trained_weights(horizon=2, horizon_weights=(1.0, 0.0)) == one
    assert trained_weights(horizon=3, horizon_weights=(1.0, 0.5, 0.0)) == two
    assert two.keys() == one.keys()
    assert two != one


def test_without_weights_each_output_counts_half_of_the_one_before():
    assert config_of(horizon=3).training.output_weights == (1.0, 0.5, 0.25)
    assert config_of(horizon=2, horizon_weights=(0.7, 0.3)).training.output_weights == (0.7, 0.3)


def test_each_output_learns_its_distance():
    config = configuration.replace(config_of(horizon=3), {"model.dropout": 0.0})
    model = build_model(config, ITEMS)
    trained = steps.TrainingSteps(model, TRAIN.windows, config.training, 1, total_steps=1000)
    generator = np.random.default_rng(0)
    for _ in range(8):
        plan = make_plan(TRAIN.windows, 32, generator)
        trained.run(plan, 0, len(plan))
    vectors = model(tf.constant([[FIRST + 4, FIRST + 5, FIRST + 6]]))[:, -1]
    for ahead, kernel in {1: tf.eye(12), **trained.outputs.kernels}.items():
        scores = tf.matmul(model.scaled(tf.matmul(vectors, kernel)), model.item_vectors(), transpose_b=True)
        assert int(tf.argmax(scores[0])) == 6 + ahead


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (["horizon=0"], "training.horizon must be at least 1, received 0"),
        (["horizon=51"], "training.horizon must be at most features.window_length (50), received 51"),
        (
            ["horizon=2", "horizon_weights=1"],
            "training.horizon_weights must be as many as training.horizon=2, received 1",
        ),
        (["horizon=2", "horizon_weights=1,-0.5"], "must begin above 0 and not be negative, received [1.0, -0.5]"),
        (["horizon=2", "horizon_weights=0,1"], "must begin above 0 and not be negative, received [0.0, 1.0]"),
        (["horizon=2", "horizon_weights=1,half"], "must be a list of numbers, received (1.0, 'half')"),
        (["horizon=2", "horizon_weights=1,nan"], "training.horizon_weights must be finite"),
    ],
)
def test_wrong_outputs_are_one_sentence_and_exit_2_before_anything_is_read(settings, sentence, tmp_path, capsys):
    arguments = [part for text in settings for part in ("--set", f"training.{text}")]
    assert cli.main(["run", "--data", "nowhere.csv", *arguments, "--root", str(tmp_path / "root")]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("nextclick: ") and sentence in line
    assert not (tmp_path / "root").exists()


def lists(windows):
    return [
        windows.values[start:stop].tolist() for start, stop in zip(windows.splits[:-1], windows.splits[1:], strict=True)
    ]
