"""Packs of sessions: a session in the wrong pack would count in another slice, one in none would not count at all."""

import gate_parts as parts
import numpy as np
import pyarrow as pa
import tensorflow_model_analysis as tfma

from nextclick.components import columns, evaluating


def extracts(**features):
    batch = pa.RecordBatch.from_pydict(features)
    rows = np.arange(batch.num_rows)
    return {
        tfma.ARROW_RECORD_BATCH_KEY: batch,
        tfma.PREDICTIONS_KEY: {"candidate": {"ranks": rows[:, None]}, "served": rows[:, None] + 100},
    }


def described(packs):
    """By the pack's slices: the sessions, and the predictions of both models."""
    return {
        tuple((key, *value.tolist()) for key, value in pack[tfma.FEATURES_KEY].items()): (
            [row[0] for row in pack[tfma.ARROW_RECORD_BATCH_KEY].to_pydict()["session_id"]],
            pack[tfma.PREDICTIONS_KEY]["candidate"]["ranks"].ravel().tolist(),
            pack[tfma.PREDICTIONS_KEY]["served"].ravel().tolist(),
        )
        for pack in packs
    }


def test_sessions_of_one_length_and_period_are_a_pack_with_their_predictions():
    batch = extracts(
        session_id=[["a"], ["b"], ["c"], ["d"]],
        session_length=[[b"2"], [b"3-4"], [b"2"], [b"2"]],
        test_period=[[b"mon"], [b"mon"], [b"tue"], [b"mon"]],
    )
    assert described(evaluating.packs(batch, ["session_length", "test_period"])) == {
        (("session_length", b"2"), ("test_period", b"mon")): (["a", "d"], [0, 3], [100, 103]),
        (("session_length", b"3-4"), ("test_period", b"mon")): (["b"], [1], [101]),
        (("session_length", b"2"), ("test_period", b"tue")): (["c"], [2], [102]),
    }


def test_sessions_are_in_no_slice_of_a_feature_that_some_lack():
    batch = extracts(session_id=[["a"], ["b"]], session_length=[[b"2"], None])
    assert described(evaluating.packs(batch, ["session_length", "test_period"])) == {
        (): (["a", "b"], [0, 1], [100, 101])
    }


def test_a_file_is_read_with_the_examples_themselves(tmp_path):
    examples = [parts.example("a", ["x", "y"], numbers=[1, 2]), parts.example("b", ["z"], numbers=[])]
    (path,) = (tmp_path / "it").glob("**/*.gz") if parts.examples_artifact(tmp_path / "it", test=examples) else ()
    (batch,) = evaluating.read(str(path))
    assert columns.column(batch, tfma.ARROW_INPUT_COLUMN)[0].tolist() == examples
    values, lengths = columns.column(batch, "numbers")
    assert (values.tolist(), lengths.tolist()) == ([1, 2], [2, 0])
    assert columns.column(batch.slice(1), "item_ids")[0].tolist() == [b"z"]
    values, lengths = columns.column(batch, "absent")
    assert (values.tolist(), lengths.tolist()) == ([], [0, 0])
