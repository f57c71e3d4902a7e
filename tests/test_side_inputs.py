"""Side features in the network: no time of the click to come, and the same values served as trained on."""

from __future__ import annotations

import dataclasses
import functools
import random
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import recommender_runs as runs
import tensorflow as tf
import tensorflow_transform.beam as tft_beam
from tensorflow_transform.output_wrapper import TFTransformOutput
from tensorflow_transform.tf_metadata import dataset_metadata, metadata_io

from nextclick.components import contract, dataset, preprocessing, sequences, serving_checks, side_inputs, trainer
from nextclick.components.model import build_model
from nextclick.components.recipe import Trained
from nextclick.components.warm_start import WarmStart
from nextclick.pipeline import config as configuration
from nextclick.pipeline.config import Config
from nextclick.pipeline.errors import ConfigError

CONFIG = configuration.replace(
    runs.CONFIG,
    {
        "features.side_features": ("event_type", "dwell", "hour_of_day"),
        "model.side_features": "concat",
        "model.side_embedding_size": 4,
        "serving.top_k": 12,
        "training.epochs": 4,
        "hybrid.kind": "off",
    },
)
ITEMS = 12


def sessions_by_event_type(count: int, seed: int) -> list[dict[str, Any]]:
    """After a view of item i comes item i + 1, after a cart item i + 5, modulo 12."""
    chance = random.Random(seed)
    sessions = []
    for number in range(count):
        items, kinds = [chance.randrange(ITEMS)], []
        for _ in range(chance.randint(2, 10)):
            kinds.append(chance.choice([b"view", b"cart"]))
            items.append((items[-1] + (1 if kinds[-1] == b"view" else 5)) % ITEMS)
        kinds.append(b"view")
        times = np.cumsum([1_700_000_000_000 + number] + [chance.randint(500, 90_000) for _ in kinds[1:]])
        sessions.append(
            {
                contract.ITEM_IDS: [f"item {item}".encode() for item in items],
                contract.EVENT_TYPES: kinds,
                contract.EVENT_TIMES_MS: times.tolist(),
            }
        )
    return sessions


def example(session: dict[str, Any]) -> bytes:
    def feature(values: list[Any]) -> tf.train.Feature:
        if isinstance(values[0], int):
            return tf.train.Feature(int64_list=tf.train.Int64List(value=values))
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))

    named = {name: feature(values) for name, values in session.items()}
    return bytes(tf.train.Example(features=tf.train.Features(feature=named)).SerializeToString())


def transform(config: Config, splits: dict[str, list[dict[str, Any]]], folder: Path) -> TFTransformOutput:
    kinds = {contract.ITEM_IDS: tf.string, contract.EVENT_TYPES: tf.string, contract.EVENT_TIMES_MS: tf.int64}
    metadata = dataset_metadata.DatasetMetadata.from_feature_spec(
        {name: tf.io.VarLenFeature(kind) for name, kind in kinds.items()}
    )
    custom = {"config": configuration.to_json(config)}
    function = functools.partial(preprocessing.preprocessing_fn, custom_config=custom)
    with tft_beam.Context(temp_dir=str(folder / "beam")):
        graph = (splits["train"], metadata) | tft_beam.AnalyzeDataset(function)
        graph | tft_beam.WriteTransformFn(str(folder / "transform"))
        for split, rows in splits.items():
            data = ((rows, metadata), graph) | tft_beam.TransformDataset(output_record_batches=True)
            runs._write(data, folder, split, 2)
    metadata_io.write_metadata(metadata, str(folder / "transform" / "metadata"))
    return TFTransformOutput(str(folder / "transform"))


@dataclasses.dataclass(frozen=True)
class Run:
    """A model that was trained with side features and exported."""

    folder: Path
    trained: Trained
    output: TFTransformOutput
    model: Any
    test: list[dict[str, Any]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("side")
    splits = {"train": sessions_by_event_type(400, 1), "validation": sessions_by_event_type(80, 2)}
    output = transform(CONFIG, splits, folder)
    arguments = runs.run_arguments(CONFIG, folder)
    kept: list[Trained] = []
    with pytest.MonkeyPatch.context() as patch:
        summary = trainer.write_summary
        patch.setattr(trainer, "write_summary", lambda *a: (kept.append(a[1]), summary(*a)))
        trainer.run_fn(arguments)
    model = tf.saved_model.load(arguments.serving_model_dir)
    return Run(folder, kept[0], output, model, sessions_by_event_type(40, 3))


def asked(run: Run, session: dict[str, Any], signature: str = "predict_events") -> tuple[list[bytes], Any]:
    names = run.model.signatures[signature].structured_input_signature[1]
    inputs = {name: tf.constant([session[name]], spec.dtype) for name, spec in names.items()}
    answer = run.model.signatures[signature](**inputs)
    return answer["item_ids"].numpy()[0].tolist(), answer["scores"].numpy()[0]


def cut(session: dict[str, Any], length: int) -> dict[str, Any]:
    return {name: values[:length] for name, values in session.items()}


def test_what_the_items_alone_do_not_tell_is_learnt(run: Run) -> None:
    # From the items alone either of two follows; half of the answers would be right.
    assert max(line.mrr for line in run.trained.fitted.history) > 0.9
    session = cut(run.test[0], 3)
    session[contract.EVENT_TYPES][2] = b"cart"
    item = int(session[contract.ITEM_IDS][2].split()[1])
    assert asked(run, session)[0][0] == f"item {(item + 5) % ITEMS}".encode()


def test_served_answers_have_the_ranks_of_the_evaluation(run: Run) -> None:
    for session in run.test[:10]:
        ranks = run.model.signatures["evaluate_v1"](examples=tf.constant([example(session)]))["ranks"].numpy()[0]
        for length in range(1, len(session[contract.ITEM_IDS])):
            prefix = cut(session, length)
            ids, scores = asked(run, prefix)
            assert ids.index(session[contract.ITEM_IDS][length]) + 1 == ranks[length - 1]
            by_example = run.model.signatures["predict_examples"](examples=tf.constant([example(prefix)]))
            np.testing.assert_allclose(by_example["scores"].numpy()[0], scores, atol=1e-5)


def test_the_gates_own_check_finds_served_and_evaluated_ranks_equal(run: Run) -> None:
    found = serving_checks.check(str(run.folder / "run" / "model"), [example(session) for session in run.test[:8]])
    assert found.figures[serving_checks.DISAGREEMENT] == 0


def test_exported_ranks_are_those_of_the_trainers_validation(run: Run) -> None:
    sessions = sessions_by_event_type(80, 2)
    examples = tf.constant([example(session) for session in sessions])
    ranks = run.model.signatures["evaluate_v1"](examples=examples)["ranks"].numpy()
    ranks = ranks[ranks > 0]
    best = run.trained.fitted.history[run.trained.fitted.best_epoch - 1]
    assert (ranks <= 20).mean() == pytest.approx(best.recall)
    assert np.where(ranks <= 20, 1 / ranks, 0).mean() == pytest.approx(best.mrr)


def test_the_time_of_the_click_to_come_changes_no_prediction(run: Run) -> None:
    session = cut(run.test[1], 3)
    later = {**session, contract.EVENT_TIMES_MS: [*session[contract.EVENT_TIMES_MS][:2], 1_700_000_900_000]}
    both = run.model.signatures["evaluate_v1"](examples=tf.constant([example(session), example(later)]))
    assert both["ranks"].numpy()[0].tolist() == both["ranks"].numpy()[1].tolist()
    moved = {**session, contract.EVENT_TIMES_MS: [1_699_999_940_000, *session[contract.EVENT_TIMES_MS][1:]]}
    assert not np.allclose(asked(run, cut(moved, 2))[1], asked(run, cut(session, 2))[1])


def test_dwell_comes_one_click_late_and_is_unknown_at_first() -> None:
    items = tf.ragged.constant([[5, 6, 7], [8], [9, 4]], dtype=tf.int64)
    dwell = tf.ragged.constant([[11, 12, 1], [1], [13, 1]], dtype=tf.int64)
    since = tf.ragged.constant([[1, 11, 12], [1], [1, 13]], dtype=tf.int64)
    transformed = {"item_indices": items, "side_dwell": dwell, "side_since_previous": since}
    beside = side_inputs.beside_items(transformed, ("since_previous", "dwell"))
    expected = [[[5, 1, 1], [6, 11, 11], [7, 12, 12]], [[8, 1, 1]], [[9, 1, 1], [4, 13, 13]]]
    assert beside.to_list() == expected


def test_dwell_of_the_session_read_for_training_is_that_of_the_click_before(run: Run) -> None:
    split = dataset.reader(CONFIG, run.output)([str(run.folder / "validation-*")])
    firsts = split.sessions.values[split.sessions.splits[:-1]]
    assert set(firsts[:, 2].tolist()) == {1}  # columns: item, event_type, dwell, hour_of_day
    others = np.delete(split.sessions.values, split.sessions.splits[:-1], axis=0)
    assert (others[:, 2] > 1).all()
    assert split.sessions.values.shape[1] == 4


def test_windows_of_a_session_keep_what_belongs_to_their_clicks() -> None:
    clicks = np.asarray([[2, 7], [3, 8], [4, 9], [5, 6], [2, 1], [3, 8]], np.int32)
    split = dataset.split_of(sequences.Sequences(clicks, np.asarray([0, 4, 6])), 2, side={"event_type": 10})
    windows = [part.tolist() for part in np.split(split.windows.values, split.windows.splits[1:-1])]
    assert sorted(windows) == [[[2, 1], [3, 8]], [[2, 7], [3, 8], [4, 9]], [[4, 9], [5, 6]]]
    assert dataset.concatenate(split, split).side == {"event_type": 10}


def test_the_order_of_sessions_depends_on_their_side_features_too() -> None:
    one = np.asarray([[2, 7], [3, 8]], np.int32)
    two = np.asarray([[2, 7], [3, 9]], np.int32)
    splits = np.asarray([0, 2, 4])
    there = sequences.in_stable_order(sequences.Sequences(np.concatenate([one, two]), splits))
    back = sequences.in_stable_order(sequences.Sequences(np.concatenate([two, one]), splits))
    assert there.values.tolist() == back.values.tolist()


def test_items_alone_are_answered_as_with_unknown_side_features(run: Run) -> None:
    session = cut(run.test[2], 4)
    unknown = {**session, contract.EVENT_TYPES: [b""] * 4, contract.EVENT_TIMES_MS: [0] * 4}
    ids, scores = asked(run, unknown)
    assert asked(run, session, "serving_default")[0] == ids
    np.testing.assert_allclose(asked(run, session, "serving_default")[1], scores, atol=1e-5)
    vocabulary = run.output.vocabulary_by_name(contract.VOCABULARY_NAME)
    indices = [[2 + vocabulary.index(item) for item in session[contract.ITEM_IDS]]]
    by_index = run.model.signatures["predict_indices"](item_indices=tf.constant(indices, tf.int64))
    np.testing.assert_allclose(by_index["scores"].numpy()[0], scores, atol=1e-5)


def test_inputs_of_different_sessions_are_refused(run: Run) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match="event_types has another number of sessions"):
        run.model.signatures["predict_events"](
            item_ids=tf.constant([["item 1"]]),
            event_types=tf.constant([["view"], ["view"]]),
            event_times_ms=tf.constant([[1]], tf.int64),
        )


@pytest.mark.parametrize("mode", ["add", "concat"])
def test_vectors_are_added_or_put_beside(mode: str) -> None:
    settings = {"model.embedding_size": 3, "model.hidden_units": 3, "model.side_embedding_size": 2}
    config = configuration.replace(CONFIG, {**settings, "model.side_features": mode})
    model = build_model(config, 4, {"event_type": 4, "hour_of_day": 26})
    tables = [np.arange(12.0).reshape(4, 3) if mode == "add" else np.arange(8.0).reshape(4, 2) for _ in range(2)]
    model.side.tables[0].assign(tables[0])
    model.side.tables[1].assign(np.ones_like(model.side.tables[1].numpy()))
    vectors = model.side(tf.ones([1, 1, 3]), tf.constant([[[2, 25]]])).numpy()[0, 0].tolist()
    assert vectors == ([8.0, 9.0, 10.0] if mode == "add" else [1.0, 1.0, 1.0, 4.0, 5.0, 1.0, 1.0])
    again = type(model).from_config(model.get_config())
    again.build()
    again.set_weights(model.get_weights())
    clicks = tf.constant([[[2, 3, 4], [3, 2, 5]]])
    np.testing.assert_array_equal(again(clicks).numpy(), model(clicks).numpy())


def test_warm_start_keeps_fixed_buckets_and_leaves_learnt_values_fresh(run: Run) -> None:
    vocabulary = list(run.output.vocabulary_by_name(contract.VOCABULARY_NAME))
    model = build_model(CONFIG, len(vocabulary), run.trained.scorer.model.side.counts)
    split = dataset.reader(CONFIG, run.output)([str(run.folder / "validation-*")])
    WarmStart(str(run.folder / "run" / "model"), vocabulary)(model, split.windows)
    was = run.trained.scorer.model.side.tables
    event_type, _, hour = model.side.tables
    assert np.any(was[0].numpy()) and not np.any(event_type.numpy())
    np.testing.assert_array_equal(hour.numpy(), was[2].numpy())


def test_a_network_without_features_to_look_at_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"features\.side_features must name one at least for model.side_features=add"
    ):
        configuration.replace(Config(), {"model.side_features": "add"})


def test_the_default_takes_items_alone() -> None:
    config = configuration.replace(Config(), {"features.side_features": ("event_type",)})
    assert side_inputs.counts(config, types.SimpleNamespace()) == {}
    items = tf.ragged.constant([[5, 6]], dtype=tf.int64)
    assert side_inputs.beside_items({"item_indices": items}, ()) is items
    assert build_model(config, 5).side is None
