"""The network's options from training to a served model: one that evaluation and serving read apart goes unseen else.

Everything that has to know of a network's variables is in it: an ensemble, narrow weights, a warm start.
"""

import numpy as np
import pytest
import recommender_runs as runs
import tensorflow as tf

from nextclick.components import contract, sequences, serving_checks, trainer, warm_start
from nextclick.components.model import build_model
from nextclick.pipeline import config as configuration

NETWORKS = {
    "attention": {"model.attention": "last_state", "model.recurrent_dropout": 0.1, "model.hidden_units": 12},
    "bidirectional": {"model.bidirectional": True, "model.recurrent_dropout": 0.1},
}
SETTINGS = {"training.epochs": 5, "training.members": 2, "serving.weights": "int8", "hybrid.kind": "off"}


@pytest.fixture(scope="module")
def transformed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("options")
    splits = {contract.TRAIN: runs.cyclic_sessions(400, 1), contract.VALIDATION: runs.cyclic_sessions(30, 2, 20)}
    runs.transform(runs.CONFIG, splits, folder)
    return folder


@pytest.fixture(scope="module", params=NETWORKS.items(), ids=NETWORKS.keys())
def trained(request, transformed):
    """The configuration, and the folder of the exported model."""
    name, network = request.param
    config = configuration.replace(runs.CONFIG, {**SETTINGS, **network})
    arguments = runs.run_arguments(config, transformed, name)
    trainer.run_fn(arguments)
    return config, arguments.serving_model_dir


def test_what_is_served_is_what_was_evaluated_and_follows_the_pattern(trained):
    _, folder = trained
    sessions = [session for session in runs.cyclic_sessions(30, 3, 20) if len(session) > 1]
    examples = [runs.example(session) for session in sessions]
    assert serving_checks.check(folder, examples).figures[serving_checks.DISAGREEMENT] == 0.0
    signatures = tf.saved_model.load(folder).signatures
    ranks = signatures["evaluate_v1"](examples=tf.constant(examples))["ranks"].numpy()
    for session, found in zip(sessions, ranks, strict=True):
        for place in (1, len(session) - 1):
            answer = signatures["serving_default"](item_ids=tf.constant([session[:place]]))
            listed = answer["item_ids"].numpy()[0].tolist()
            scores = answer["scores"].numpy()[0]
            rank = listed.index(session[place]) + 1
            assert found[place - 1] == rank or np.isclose(scores[rank - 1], scores[found[place - 1] - 1], rtol=1e-4)
    assert (ranks[ranks > 0] <= 3).mean() > 0.7


def test_a_warm_start_takes_over_every_variable(trained):
    config, folder = trained
    earlier = warm_start.read(folder)
    model = build_model(config, len(earlier.vocabulary))
    found = warm_start.carry_over(earlier, model, sequences.from_lists([]), earlier.vocabulary)
    assert (found.items, found.fresh_variables) == (30, 0)
    again = build_model(config, len(earlier.vocabulary))
    warm_start.carry_over(earlier, again, sequences.from_lists([]), earlier.vocabulary)
    session = tf.constant([[5, 9, 30, 7]])
    assert model(session).numpy().tobytes() == again(session).numpy().tobytes()
