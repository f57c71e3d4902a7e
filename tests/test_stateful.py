"""Session-parallel training: a state that is lost at a border, or kept over a session's end, lets the loss fall too."""

import collections
import random

import numpy as np
import pytest
import tensorflow as tf
from test_fitting import ITEMS, TRAIN, VALIDATION, config_of, quiet

from nextclick.components import dataset, sequences
from nextclick.components.fitting import fit, fit_epochs
from nextclick.components.model import build_model
from nextclick.components.session_parallel import EMPTY, make_session_parallel_plan
from nextclick.components.stateful_steps import StatefulSteps
from nextclick.pipeline import cli
from nextclick.pipeline import config as configuration

FIRST = 2  # index of the first item, with one out-of-vocabulary bucket
WINDOW = 5
STEPS = 4
SIDE = {"event_type": 4, "season": 5}
NETWORKS = {
    "one layer": {},
    "two layers": {"model.layers": 2},
    "side features": {"features.side_features": tuple(SIDE), "model.side_features": "concat"},
}


def random_sessions(columns=0):
    """Of random length, some longer than a window and a batch, and random items, unknown ones (index 1) among them."""
    chance = random.Random(5)
    rows = [[chance.randint(1, ITEMS + 1) for _ in range(chance.choice([2, 2, 3, 4, 6, 17]))] for _ in range(40)]
    sessions = sequences.from_lists(rows)
    if not columns:
        return sessions
    beside = np.random.default_rng(0).integers(1, 4, [len(sessions.values), columns])
    return sequences.Sequences(np.column_stack([sessions.values, beside]).astype(np.int32), sessions.splits)


@pytest.fixture(scope="module", params=NETWORKS.values(), ids=NETWORKS.keys())
def lanes(request):
    """The steps of an untrained model that stays as it is, without dropout and at a rate of 0; and the sessions."""
    settings = {"model.dropout": 0.0, "training.batch_size": 5 * STEPS, "training.stateful_steps": STEPS}
    config = configuration.replace(config_of(stateful=True, learning_rate=0.0), {**settings, **request.param})
    side = SIDE if config.features.side_features else {}
    model = build_model(config, ITEMS, side)
    for number, weight in enumerate(model.trainable_variables):
        weight.assign(tf.random.stateless_normal(weight.shape, [1, number], stddev=0.5))
    sessions = random_sessions(len(side))
    return StatefulSteps(model, sessions, config.training, 1, total_steps=1), sessions


def batches_of(plan):
    return [plan.order[start:stop] for start, stop in zip(plan.starts, plan.stops, strict=True)]


def alone(sessions, states_of):
    """What `states_of` says of each session by itself, [1, time, ...] to [time, ...], by place in `sessions.values`."""
    found = {}
    for first, last in zip(sessions.splits[:-1], sessions.splits[1:], strict=True):
        found.update(enumerate(states_of(tf.constant(sessions.values[None, first:last])).numpy(), first))
    return found


def test_vectors_in_lanes_are_those_of_each_session_alone(lanes):
    """In the second epoch as well, when there is a state from before."""
    steps, sessions = lanes
    expected, seen = alone(sessions, lambda session: steps.model(session)[0]), 0
    generator = np.random.default_rng(0)
    for _ in range(2):
        plan = make_session_parallel_plan(sessions, steps.lanes, STEPS, generator)
        assert len(plan) > 4
        for batch in batches_of(plan):
            clicks, _ = steps._pairs(tf.constant(batch))
            vectors = steps._vectors(clicks, tf.constant(batch), tf.constant([0, 0])).numpy()  # [lanes, time, width]
            for lane, time in np.argwhere(batch.T != EMPTY):
                np.testing.assert_allclose(vectors[lane, time], expected[batch[time, lane]], atol=1e-5)
                seen += 1
    assert seen == 2 * int((sessions.lengths - 1).sum())


def test_the_compiled_loop_carries_every_layer_s_state_from_batch_to_batch(lanes):
    steps, sessions = lanes
    plan = make_session_parallel_plan(sessions, steps.lanes, STEPS, np.random.default_rng(0))
    layers = range(len(steps.states))
    expected = [
        alone(sessions, lambda rows, n=n: steps.model._states(steps.model._inputs(rows))[1][n][:, 0]) for n in layers
    ]
    compared = 0
    for number, batch in enumerate(batches_of(plan)):
        steps.run(plan, number, number + 1)
        for layer in layers:
            for place, state in zip(batch[-1], steps.states[layer].numpy(), strict=True):
                if place != EMPTY:
                    np.testing.assert_allclose(state, expected[layer][place], atol=1e-5)
                    compared += 1
    assert compared > 4 * steps.lanes


def test_an_epoch_s_batches_hold_every_pair_of_every_session_once(lanes):
    steps, sessions = lanes
    plan = make_session_parallel_plan(sessions, steps.lanes, STEPS, np.random.default_rng(7))
    found = collections.Counter()
    for batch in batches_of(plan):
        clicks, following = (part.numpy() for part in steps._pairs(tf.constant(batch)))
        found.update(zip(map(bytes, clicks[following > 0]), following[following > 0], strict=True))
        assert not clicks[following == 0].any()
    inputs, targets = np.ones([2, len(sessions.values)], bool)
    inputs[sessions.splits[1:] - 1], targets[sessions.splits[:-1]] = False, False
    expected = zip(map(bytes, sessions.values[inputs]), sessions.items[targets], strict=True)
    assert found == collections.Counter(expected)
    assert steps.run(plan, 0, len(plan))[1] == (sessions.items[targets] >= FIRST).sum()


def test_nothing_of_a_session_reaches_the_next_one_in_its_lane(lanes):
    """Neither the vectors after the next session's clicks nor the gradients that these give to any variable."""
    steps, sessions = lanes
    clicks = sessions.values[:14].reshape(2, 7, *sessions.values.shape[1:])
    first = np.array([4, 0])  # where the next session begins in each lane
    reset = np.arange(7)[:, None] == first  # [time, lanes]
    later = np.arange(7) >= first[:, None]  # [lanes, time]
    weight = tf.random.stateless_normal([2, 7, 12], [3, 4]) * later[:, :, None]

    def outcome(clicks, start):
        starts = [tf.fill(state[:2].shape, start) for state in steps.states]
        with tf.GradientTape() as tape:
            vectors, _ = steps.model.continued(tf.constant(clicks), starts, tf.constant(reset), tf.constant([0, 0]))
            loss = tf.reduce_sum(vectors * weight)
        gradients = tape.gradient(loss, steps.model.trainable_variables)
        return [vectors.numpy()[later], *(tf.convert_to_tensor(gradient).numpy() for gradient in gradients)]

    other = clicks.copy()
    other[~later] = 1 + clicks[~later] % 3
    assert (other != clicks).any()
    for found, expected in zip(outcome(other, 0.7), outcome(clicks, -0.2), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.fixture(scope="module")
def fitted():
    return fit(config_of(stateful=True, stateful_steps=STEPS, epochs=2), TRAIN, VALIDATION, ITEMS, report=quiet)


def test_the_cycle_is_learnt_from_every_event_of_an_epoch(fitted):
    events = int((TRAIN.sessions.lengths - 1).sum())
    assert [line.events for line in fitted.history] == [events, events]
    assert fitted.history[-1].mrr > 0.95


@pytest.mark.parametrize("seed", [42, 43])
def test_one_seed_gives_the_same_weights_and_another_does_not(fitted, seed):
    config = configuration.replace(config_of(stateful=True, stateful_steps=STEPS, epochs=2), {"seed": seed})
    again = fit(config, TRAIN, VALIDATION, ITEMS, report=quiet).model.get_weights()
    pairs = zip(fitted.model.get_weights(), again, strict=True)
    assert all(one.tobytes() == other.tobytes() for one, other in pairs) == (seed == 42)


def test_a_decaying_rate_is_zero_after_the_last_batch():
    sessions = dataset.split_of(sequences.concatenate(random_sessions(), sequences.from_lists([[4], []])), WINDOW)
    # A batch is three lanes of five steps, thus more than its size: an epoch has fewer batches than by that alone.
    config = config_of(stateful=True, stateful_steps=5, epochs=1, batch_size=13, schedule="linear")
    one, two = (fit_epochs(config, sessions, ITEMS, epochs, report=quiet) for epochs in (1, 2))
    for weight, other in zip(one.model.get_weights(), two.model.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, other)


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("model.attention=last_state", "training.stateful keeps one state of a session, model.attention reads all"),
        ("model.bidirectional=true", "training.stateful keeps no clicks of earlier batches, model.bidirectional"),
        ("model.recurrent_dropout=0.1", "training.stateful keeps no session's mask, model.recurrent_dropout"),
        ("training.horizon=2", "training.stateful has several sessions in a row, training.horizon reads on in a row"),
        ("training.batch_size=8", "training.stateful_steps must be at most training.batch_size (8), received 16"),
        ("training.stateful_steps=0", "training.stateful_steps must be at least 1, received 0"),
    ],
)
def test_what_cannot_be_stateful_is_refused_before_data_is_read(setting, sentence, capsys):
    command = ["run", "--data", "no-such-log.csv", "--set", "training.stateful=true", "--set", setting]
    assert cli.main(command) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
