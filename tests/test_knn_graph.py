"""Without this, the session kNN inside an exported model could vote otherwise than the baseline of the report."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from nextclick.components import session_knn
from nextclick.components.knn_graph import SessionKnnGraph
from nextclick.components.ranking import Sessions

ITEMS = 25
SMALL = session_knn.Settings(recent=12, neighbours=7)


def sessions(count, seed, longest=8):
    generator = np.random.default_rng(seed)
    lengths = generator.integers(1, longest, count)
    # Popular items first, some unknown, sessions of equal times among them.
    items = np.minimum(generator.geometric(0.12, lengths.sum()) - 1, ITEMS) - (generator.random(lengths.sum()) < 0.05)
    items = np.where(items >= ITEMS, -1, items).astype(np.int32)
    return Sessions(items, np.concatenate([[0], np.cumsum(lengths)]), generator.integers(0, count // 2, count))


def dense(votes, rows, items=ITEMS):
    """Sums of votes by row and item."""
    found = np.zeros((rows, items))
    np.add.at(found, (votes[0].numpy(), votes[1].numpy()), votes[2].numpy())
    return found


def newest_first(prefixes, steps):
    rows = [list(reversed(prefix))[:steps] for prefix in prefixes]
    return np.array([row + [-1] * (steps - len(row)) for row in rows], np.int32)


def of_baseline(knn, prefix):
    votes = np.zeros(ITEMS)
    places, scores = knn.candidates(np.array(prefix, np.int32))
    votes[places] = scores
    return votes


@pytest.mark.parametrize("keep_latest", [True, False])
@pytest.mark.parametrize("settings", [SMALL, session_knn.Settings()], ids=["few neighbours", "all neighbours"])
def test_votes_equal_those_of_the_baseline(settings, keep_latest):
    knn = dataclasses.replace(session_knn.fit(sessions(300, 1), ITEMS, settings), keep_latest=keep_latest)
    graph = SessionKnnGraph(knn)
    prefixes = [session.tolist() for session in sessions(80, 2, longest=16)]
    prefixes += [[-1], [-1, -1, 4], [4, -1], [3, 3, 3], [24, 0, 24, 0, 24], list(range(25))]
    found = dense(tf.function(graph.votes)(newest_first(prefixes, graph.steps)), len(prefixes))
    wanted = np.array([of_baseline(knn, prefix) for prefix in prefixes])
    assert (wanted > 0).any(axis=1).sum() > 60
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12)


def test_among_equally_similar_sessions_the_newer_votes():
    """Items 1 and 2 were each seen once after item 0; with one neighbour only the newer session is heard."""
    old_then_new = Sessions(np.array([0, 1, 0, 2, 3, 4], np.int32), np.array([0, 2, 4, 6]), np.array([10, 20, 15]))
    knn = session_knn.fit(old_then_new, 5, session_knn.Settings(neighbours=1))
    votes = dense(SessionKnnGraph(knn).votes(tf.constant([[0] + [-1] * 8])), 1, 5)[0]
    assert votes[2] > 0
    assert votes[1] == 0


def test_nobody_to_ask_is_no_vote():
    graph = SessionKnnGraph(session_knn.fit(sessions(20, 3), ITEMS))
    for nobody in (tf.fill([2, graph.steps], -1), tf.zeros([0, graph.steps], tf.int32)):
        assert [len(part) for part in graph.votes(nobody)] == [0, 0, 0]
