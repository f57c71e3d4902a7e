"""An exported recommender of any catalogue size without training: as fast to serve as a trained one of that size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from nextclick.components import contract, features, hybrid
from nextclick.components.dataset import Split
from nextclick.components.model import build_model
from nextclick.components.request_encoder import RequestEncoder
from nextclick.components.restricted_signatures import RestrictedSignatures
from nextclick.components.scorer import Scorer
from nextclick.components.sequences import Sequences
from nextclick.components.warmup import write_warmup
from nextclick.pipeline.benchmarks import click_log
from nextclick.pipeline.config import Config

# What a hybrid part remembers: as many clicks an item, in sessions of so many.
_CLICKS_AN_ITEM, _CLICKS_A_SESSION = 10, 5


class _Lookup(tf.Module):
    """What Transform's graph does to raw item ids, over a vocabulary file of our own."""

    def __init__(self, vocabulary_file: Path, oov_buckets: int) -> None:
        super().__init__()
        places = tf.lookup.TextFileInitializer(
            str(vocabulary_file),
            tf.string,
            tf.lookup.TextFileIndex.WHOLE_LINE,
            tf.int64,
            tf.lookup.TextFileIndex.LINE_NUMBER,
        )
        self._table = tf.lookup.StaticHashTable(places, default_value=-1)
        self._oov_buckets = oov_buckets

    def __call__(self, inputs: dict[str, Any]) -> dict[str, Any]:
        item_ids = features.clean(features.to_ragged(inputs[contract.ITEM_IDS]))
        positions = item_ids.with_flat_values(self._table.lookup(item_ids.flat_values))
        return {contract.ITEM_INDICES: features.encode(item_ids, positions, self._oov_buckets)}


def export(config: Config, items: int, folder: Path) -> list[str]:
    """Writes a SavedModel with fresh weights for `items` items to a folder; returns the item ids."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    ids = [f"{100_000_000 + number}" for number in range(items)]
    vocabulary_file = folder.with_name("vocabulary.txt")
    vocabulary_file.write_text("\n".join(ids) + "\n", encoding="utf-8")
    tf.random.set_seed(config.seed)
    model = build_model(config, items)
    vocabulary = [item.encode() for item in ids]
    layer = _Lookup(vocabulary_file, config.features.oov_buckets)
    mixed = hybrid.build(config.hybrid, _clicked(items, model.first_item, config.seed), items, model.first_item)
    scorer, settings = Scorer(model, config.features.lookback, mixed), config.serving
    encoder = RequestEncoder(layer, "ragged", (), config.features)
    signatures = RestrictedSignatures(scorer, encoder, vocabulary, settings.top_k, settings.exclude_seen)
    tf.saved_model.save(signatures, str(folder), signatures=signatures.functions())
    write_warmup(str(folder), config.serving.model_name, vocabulary, model.first_item, config.features.lookback)
    return ids


def _clicked(items: int, first_item: int, seed: int) -> Split:
    """Sessions over a catalogue, for the hybrid part to remember."""
    drawn = click_log.draw_items(items, items * _CLICKS_AN_ITEM, np.random.default_rng(seed))
    splits = np.arange(0, len(drawn) + 1, _CLICKS_A_SESSION)
    sessions = Sequences((first_item + drawn).astype(np.int32), splits)
    return Split(sessions, sessions, np.arange(len(sessions)))
