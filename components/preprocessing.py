"""`preprocessing_fn` of the Transform component: raw sessions → item indices and training windows.

| output         | dtype, shape                     | meaning                                              |
|----------------|----------------------------------|------------------------------------------------------|
| `item_indices` | int64 ragged [(items)]           | the whole session, unknown items in their place      |
| `windows`      | int64 ragged [(windows, (items))] | the session cut into windows that overlap by one item |
| `end_time_ms`  | int64                            | time of the last event, where the raw features have times |
| `side_<name>`  | int64 ragged [(items)]           | each of `features.side_features` (side_features.py)  |

0 is padding (in neither output), 1 … oov_buckets unknown items, then the vocabulary of the analysed splits, most
frequent item first and items of one frequency in an order that is the same for every run.
The graph that Transform makes of this function is also inside the served model (signatures.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft

from nextclick.components import contract, features, side_features
from nextclick.pipeline import config as configuration


def preprocessing_fn(inputs: Mapping[str, Any], custom_config: Mapping[str, Any]) -> dict[str, Any]:
    """Transformed features of raw ones (see the module's table).

    Args:
      inputs: raw features by name; `item_ids` is string [sessions, (items)], sparse, ragged or padded; of the others
        those that `features.side_features` needs are read.
      custom_config: `config` holds the JSON text of the configuration.
    """
    config = configuration.from_json(custom_config["config"]).features
    item_ids = features.clean(features.to_ragged(inputs[contract.ITEM_IDS]))
    if config.collapse_repeats:
        item_ids = features.collapse_repeats(item_ids)
    indices = features.encode(item_ids, _vocabulary_positions(item_ids, config), config.oov_buckets)
    return {
        contract.ITEM_INDICES: indices,
        contract.WINDOWS: features.cut_windows(indices, config.window_length),
        **_end_time(inputs),
        **side_features.compute(inputs, config),
    }


def _end_time(inputs: Mapping[str, Any]) -> dict[str, Any]:
    if contract.EVENT_TIMES_MS not in inputs:
        return {}
    return {contract.END_TIME_MS: tf.reduce_max(features.to_ragged(inputs[contract.EVENT_TIMES_MS]), axis=1)}


def _vocabulary_positions(item_ids: Any, config: configuration.FeaturesConfig) -> Any:
    vocabulary = tft.vocabulary(
        item_ids.flat_values,
        top_k=config.max_items or None,
        frequency_threshold=config.min_item_support if config.min_item_support > 1 else None,
        vocab_filename=contract.VOCABULARY_NAME,
    )
    positions = tft.apply_vocabulary(item_ids.flat_values, vocabulary, default_value=-1)
    return item_ids.with_flat_values(tf.cast(positions, tf.int64))
