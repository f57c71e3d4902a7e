"""The exported model, without Transform's folder: every signature answers alike, and as the Evaluator counted."""

import subprocess
import sys

import numpy as np
import pytest
import recommender_runs as runs
import tensorflow as tf

from nextclick.components import contract

UNKNOWN_TARGET_RANK = 2_147_483_647


@pytest.fixture(scope="module")
def exported():
    return runs.exported()


def by_ids(exported, *sessions, length=None):
    length = length or max(map(len, sessions), default=0)
    padded = [[*session, *[b""] * (length - len(session))] for session in sessions]
    ids = tf.constant(padded, tf.string, [len(sessions), length])
    answer = exported.signature("serving_default")(item_ids=ids)
    return answer["item_ids"].numpy(), answer["scores"].numpy()


def test_signatures_inputs_and_outputs_are_the_documented_ones(exported):
    described = {
        name: (
            {key: (spec.dtype, spec.shape.as_list()) for key, spec in function.structured_input_signature[1].items()},
            {key: (spec.dtype, spec.shape.as_list()) for key, spec in function.structured_outputs.items()},
        )
        for name, function in exported.model.signatures.items()
    }
    string, int64, int32, float32 = tf.string, tf.int64, tf.int32, tf.float32
    assert described == {
        "serving_default": (
            {"item_ids": (string, [None, None])},
            {"item_ids": (string, [None, 30]), "scores": (float32, [None, 30])},
        ),
        "predict_indices": (
            {"item_indices": (int64, [None, None])},
            {"item_indices": (int64, [None, 30]), "scores": (float32, [None, 30])},
        ),
        "predict_examples": (
            {"examples": (string, [None])},
            {"item_ids": (string, [None, 30]), "scores": (float32, [None, 30])},
        ),
        "recommend": (
            {name: (string, [None, None]) for name in ("item_ids", "exclude_item_ids", "allow_item_ids")},
            {"item_ids": (string, [None, 30]), "scores": (float32, [None, 30])},
        ),
        "rank_candidates": (
            {"item_ids": (string, [None, None]), "candidate_item_ids": (string, [None, None])},
            {"item_ids": (string, [None, None]), "scores": (float32, [None, None])},
        ),
        "encode": ({"item_ids": (string, [None, None])}, {"item_indices": (int64, [None, runs.LOOKBACK])}),
        "evaluate_v1": (
            {"examples": (string, [None])},
            {"ranks": (int32, [None, None]), "top_ids": (int32, [None, None, 20]), "tied": (tf.bool, [None, None])},
        ),
    }


def test_what_usually_follows_is_recommended_first(exported):
    ids, scores = by_ids(exported, [b"item 3", b"item 4"], [b"item 29"])
    assert ids[:, 0].tolist() == [b"item 5", b"item 0"]
    assert (np.diff(scores) <= 0).all()
    assert sorted(ids[0]) == sorted(exported.vocabulary)


def test_a_fresh_process_needs_the_folder_alone(exported, tmp_path):
    code = (
        "import sys, tensorflow as tf; model = tf.saved_model.load(sys.argv[1]); "
        "answer = model.signatures['serving_default'](item_ids=tf.constant([['item 3', 'item 4']])); "
        "print(answer['item_ids'].numpy()[0, 0].decode())"
    )
    command = [sys.executable, "-c", code, exported.folder]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=True, timeout=300)
    assert done.stdout.strip().endswith("item 5")


def test_three_signatures_answer_alike(exported):
    sessions = exported.validation[:20] + exported.validation[-3:]
    ids, scores = by_ids(exported, *sessions)
    examples = exported.signature("predict_examples")(examples=tf.constant([runs.example(s) for s in sessions]))
    assert examples["item_ids"].numpy().tolist() == ids.tolist()
    np.testing.assert_allclose(examples["scores"].numpy(), scores, atol=1e-5)
    encoded = tf.ragged.constant([exported.transformed[b"\0".join(session)] for session in sessions], tf.int64)
    indices = exported.signature("predict_indices")(item_indices=encoded.to_tensor())
    named = np.array(exported.vocabulary)[indices["item_indices"].numpy() - 2]
    assert named.tolist() == ids.tolist()
    np.testing.assert_allclose(indices["scores"].numpy(), scores, atol=1e-5)


def test_encode_shows_the_newest_items_as_transform_encoded_them(exported):
    session = max(exported.validation, key=len)
    ids = tf.constant([[b"", *session], [b"item 3", b"new"] + [b""] * (len(session) - 1)])
    encoded = exported.signature("encode")(item_ids=ids)["item_indices"].numpy().tolist()
    known = exported.vocabulary.index(b"item 3") + 2
    assert encoded == [exported.transformed[b"\0".join(session)][-runs.LOOKBACK :], [known, 1, 0, 0, 0, 0]]


@pytest.mark.parametrize("length", [10, 20, 50])
def test_padding_and_neighbours_change_no_answer(exported, length):
    session = [b"item 3", b"never seen", b"item 7"]
    alone = by_ids(exported, session)
    ids, scores = by_ids(exported, session, [b"item 1"] * 9, [b"item 2"], length=length)
    assert ids[0].tolist() == alone[0][0].tolist()
    np.testing.assert_allclose(scores[0], alone[1][0], atol=1e-5)


def test_empty_ids_within_a_session_count_for_nothing(exported):
    assert (
        by_ids(exported, [b"item 3", b"", b"item 7"])[0].tolist()
        == by_ids(exported, [b"item 3", b"item 7"])[0].tolist()
    )


def test_an_unknown_item_keeps_its_place(exported):
    with_it, without = by_ids(exported, [b"item 3", b"never seen", b"item 7"], [b"item 3", b"item 7"])[1]
    assert np.abs(with_it - without).max() > 1e-3


@pytest.mark.parametrize("session", [[], [b""], [b"never seen"], [b"never seen", b"either"]])
def test_sessions_without_a_known_item_get_the_popular_ones(exported, session):
    ids, scores = by_ids(exported, session, length=max(len(session), 1))
    assert ids[0].tolist() == exported.vocabulary
    assert np.isfinite(scores).all()
    assert (np.diff(scores[0]) < 0).all()


def test_width_zero_and_no_sessions_are_answered(exported):
    assert by_ids(exported, [], [], length=0)[0].tolist() == [exported.vocabulary] * 2
    assert by_ids(exported, length=3)[0].shape == (0, 30)
    answer = exported.signature("predict_examples")(examples=tf.constant([], tf.string))
    assert answer["scores"].shape == (0, 30)


def test_only_the_newest_items_up_to_the_look_back_count(exported):
    newest = [f"item {place}".encode() for place in (9, 8, 7, 6, 5, 4)]
    one, other, alone = (
        by_ids(exported, before + newest)[1][0] for before in ([b"item 1", b"item 2"], [b"item 20"] * 30, [])
    )
    np.testing.assert_allclose(one, alone, atol=1e-5)
    np.testing.assert_allclose(other, alone, atol=1e-5)


def test_one_known_item_beyond_the_look_back_is_not_seen(exported):
    session = [b"item 3"] + [b"never seen"] * runs.LOOKBACK
    assert by_ids(exported, session)[0][0].tolist() == exported.vocabulary


def test_a_repeated_request_has_the_same_bytes(exported):
    one = by_ids(exported, [b"item 3", b"item 4"])[1]
    by_ids(exported, [b"item 9"], [b"item 11"])
    assert by_ids(exported, [b"item 3", b"item 4"])[1].tobytes() == one.tobytes()


def test_evaluation_counts_what_serving_answers(exported):
    """Each prefix sent as a request of its own; scores of all items come back, since K exceeds the vocabulary."""
    sessions = exported.validation
    answer = exported.signature("evaluate_v1")(examples=tf.constant([runs.example(session) for session in sessions]))
    ranks, top_ids = answer["ranks"].numpy(), answer["top_ids"].numpy()
    assert max(map(len, sessions)) > runs.LOOKBACK + 5
    for row, session in enumerate(sessions):
        assert (ranks[row] > 0).tolist() == [place < len(session) - 1 for place in range(ranks.shape[1])]
    prefixes = [(row, i) for row, session in enumerate(sessions) for i in range(1, len(session))]
    ids, scores = by_ids(exported, *(sessions[row][:i] for row, i in prefixes))
    for (row, i), names, values in zip(prefixes, ids, scores, strict=True):
        target = sessions[row][i]
        if target not in exported.vocabulary:
            assert ranks[row, i - 1] == UNKNOWN_TARGET_RANK
            continue
        place = names.tolist().index(target)
        # Sums in another order differ in the last bits: neighbours that close may have changed places.
        close = (np.abs(values - values[place]) < 1e-4).sum()
        assert abs(ranks[row, i - 1] - (place + 1)) < close
        if close == 1:
            assert exported.vocabulary[top_ids[row, i - 1, 0] - 2] == names[0] or values[0] - values[1] < 1e-4


def test_no_session_to_evaluate_has_no_ranks(exported):
    answer = exported.signature("evaluate_v1")(examples=tf.constant([runs.example([]), runs.example([b"item 1"])]))
    assert answer["ranks"].shape == (2, 0)
    assert answer["top_ids"].shape == (2, 0, 20)
    assert answer["tied"].shape == (2, 0)


def test_requests_at_the_limits_are_answered_and_beyond_refused(exported):
    def asked(batch=1, length=1, id_bytes=1):
        return tf.fill([batch, length], "x" * id_bytes)

    def encoded(batch=1, length=1, index=3):
        return tf.fill([batch, length], tf.constant(index, tf.int64))

    def examples(batch=1, length=1, id_bytes=1):
        return tf.constant([runs.example([b"x" * id_bytes] * length)] * batch)

    by_name = [("serving_default", "item_ids", asked), ("predict_indices", "item_indices", encoded)]
    for name, given, make in [*by_name, ("predict_examples", "examples", examples)]:
        ask = exported.signature(name)
        assert ask(**{given: make(1024, 1)})["scores"].shape == (1024, 30)
        assert ask(**{given: make(1, 1000)})["scores"].shape == (1, 30)
        refused(lambda ask=ask, given=given, make=make: ask(**{given: make(1025, 1)}), "more than 1024 sessions")
        refused(lambda ask=ask, given=given, make=make: ask(**{given: make(1, 1001)}), "more than 1000 items")
        if name != "predict_indices":
            ask(**{given: make(id_bytes=256)})
            refused(lambda ask=ask, given=given, make=make: ask(**{given: make(id_bytes=257)}), "more than 256 bytes")
    indices = exported.signature("predict_indices")
    assert indices(item_indices=encoded(index=31))["scores"].shape == (1, 30)
    refused(lambda: indices(item_indices=encoded(index=32)), "not below 32")
    refused(lambda: indices(item_indices=encoded(index=-1)), "negative")


def refused(call, words):
    with pytest.raises(tf.errors.InvalidArgumentError, match=words):
        call()


def test_contract_names_are_the_literals_that_clients_send():
    assert (contract.SIGNATURE_SERVING, contract.INPUT_ITEM_IDS) == ("serving_default", "item_ids")
