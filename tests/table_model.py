"""A small recommender with every signature that the gate asks; it can be made bad in every way the gate knows."""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

import numpy as np
import tensorflow as tf

from nextclick.components import contract, features
from nextclick.components.ranks import ranks, tied

FIRST_INDEX = 2


class TableModel(tf.Module):
    """Scores the next item by the last one alone.

    Args:
        table: float32 [items, items], score of each item after each other.
        served_table: what the serving signatures answer from, where it is another one.
        leaks: the evaluation sees the next item.
        recommends_padding: the lists of the evaluation hold index 0.
    """

    def __init__(
        self,
        table: np.ndarray,
        served_table: np.ndarray | None = None,
        *,
        leaks: bool = False,
        recommends_padding: bool = False,
    ) -> None:
        super().__init__()
        self.items, self.leaks, self.recommends_padding = len(table), leaks, recommends_padding
        self.table = tf.Variable(table, dtype=tf.float32)
        self.served_table = tf.Variable(table if served_table is None else served_table, dtype=tf.float32)
        self.ids = tf.Variable([f"item {i}" for i in range(self.items)])
        keys = tf.constant([f"item {i}" for i in range(self.items)])
        places = tf.lookup.KeyValueTensorInitializer(keys, tf.range(self.items))
        self.lookup = tf.lookup.StaticHashTable(places, default_value=-1)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, contract.INPUT_EXAMPLES)])
    def evaluate(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        sessions = self._parse(examples)
        places = sessions.with_flat_values(self.lookup.lookup(sessions.flat_values))
        targets = places[:, 1:]
        scores = tf.gather(self.table, places[:, :-1].flat_values)  # [positions, items]
        if self.leaks:
            scores += 1000 * tf.one_hot(targets.flat_values, self.items)
        top = tf.math.top_k(scores, contract.TOP_IDS).indices + FIRST_INDEX
        if self.recommends_padding:
            top = tf.concat([tf.zeros_like(top[:, :1]), top[:, 1:]], axis=1)
        return {
            contract.OUTPUT_RANKS: targets.with_values(ranks(targets.flat_values, scores)).to_tensor(),
            contract.OUTPUT_TOP_IDS: targets.with_values(top).to_tensor(shape=[None, None, contract.TOP_IDS]),
            contract.OUTPUT_TIED: targets.with_values(tied(targets.flat_values, scores)).to_tensor(),
        }

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.string, contract.INPUT_ITEM_IDS)])
    def predict(self, item_ids: tf.Tensor) -> dict[str, tf.Tensor]:
        return self._answer(features.clean(features.to_ragged(item_ids)))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, contract.INPUT_EXAMPLES)])
    def predict_examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        return self._answer(self._parse(examples))

    def _parse(self, examples: tf.Tensor) -> tf.RaggedTensor:
        return tf.io.parse_example(examples, {contract.ITEM_IDS: tf.io.RaggedFeature(tf.string)})[contract.ITEM_IDS]

    def _answer(self, sessions: tf.RaggedTensor) -> dict[str, tf.Tensor]:
        last = self.lookup.lookup(sessions[:, -1:].flat_values)
        best = tf.math.top_k(tf.gather(self.served_table, last), 50)
        return {
            contract.OUTPUT_ITEM_IDS: tf.gather(self.ids, best.indices),
            contract.OUTPUT_SCORES: best.values,
        }

    def save(self, folder: Path) -> Path:
        signatures = {
            contract.SIGNATURE_EVALUATE: self.evaluate,
            contract.SIGNATURE_SERVING: self.predict,
            contract.SIGNATURE_EXAMPLES: self.predict_examples,
        }
        tf.saved_model.save(self, str(folder), signatures=signatures)
        return folder
