"""A test split of any size as BaselineRanks writes it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from nextclick.components import baseline_examples, contract, evaluation_facts, metrics, prediction_slices, records

# Folders of the whole test split and of one of a few sessions.
ALL, FEW = "all", "few"
DESCRIBED = "described.json"
_MEAN_LENGTH, _LONGEST = 5, 100
_START_MS, _CLICK_MS = 1_700_000_000_000, 30_000
# Popularity of the item of rank r is 1 / (r + shift): as in click_log.py, about.
_ZIPF_SHIFT = 3.0


def write(folder: Path, ids: list[str], sessions: int, seed: int) -> int:
    """Writes so many sessions over a catalogue, the facts beside them; returns the number of predictions."""
    chance = np.random.default_rng(seed)
    cumulative = np.cumsum(1 / (np.arange(len(ids)) + _ZIPF_SHIFT))
    lengths = np.minimum(chance.geometric(1 / (_MEAN_LENGTH - 1), sessions) + 1, _LONGEST)
    split = folder / "examples" / "Split-test"
    split.mkdir(parents=True)
    with tf.io.TFRecordWriter(str(split / "data_tfrecord-00000-of-00001.gz"), records.write_options()) as writer:
        for number, length in enumerate(lengths.tolist()):
            places = np.minimum(np.searchsorted(cumulative, chance.random(length) * cumulative[-1]), len(ids) - 1)
            writer.write(_example(number, places, ids, chance))
    facts = evaluation_facts.Facts(
        catalogue=metrics.Catalogue(contract.FIRST_OOV_INDEX + 1, np.ones(len(ids), np.int64)),
        event_types=(contract.DEFAULT_EVENT_TYPE,),
        data={},
        item_ids=tuple(ids),
    )
    evaluation_facts.write(facts, str(folder / "examples" / baseline_examples.FACTS_FILE))
    predictions = int(lengths.sum()) - sessions
    (folder / DESCRIBED).write_text(json.dumps({"predictions": predictions}))
    return predictions


def _example(number: int, places: npt.NDArray[np.int64], ids: list[str], chance: np.random.Generator) -> bytes:
    thirds = np.minimum(3 * np.arange(len(ids)) // len(ids), 2)
    types = np.zeros(len(places), np.int64)
    integers = {
        contract.EVENT_TIMES_MS: _START_MS + _CLICK_MS * np.arange(len(places)),
        contract.ITEM_INDICES: places + contract.FIRST_OOV_INDEX + 1,
    }
    for name in contract.BASELINES:
        integers[contract.baseline_ranks_feature(name)] = chance.integers(1, len(ids), len(places) - 1)
    for name, codes in prediction_slices.session_codes(places.astype(np.int32), thirds, types).items():
        integers[prediction_slices.feature(name)] = codes
    texts = {
        contract.SESSION_ID: [f"session-{number}"],
        contract.ITEM_IDS: [ids[place] for place in places.tolist()],
        contract.EVENT_TYPES: [contract.DEFAULT_EVENT_TYPE] * len(places),
        contract.SESSION_LENGTH: [contract.session_length_bucket(len(places))],
        contract.TEST_PERIOD: ["2023-11-14"],
    }
    feature = {
        name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode() for value in values]))
        for name, values in texts.items()
    }
    for name, values in integers.items():
        feature[name] = tf.train.Feature(int64_list=tf.train.Int64List(value=values.tolist()))
    return bytes(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())
