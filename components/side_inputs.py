"""What the network sees of a click besides its item: the side features, beside the item in one tensor.

Without side features a session is int [items]; with them it is int [items, 1 + features], the item's index first and
then one index a feature. Whatever cuts, pads or gathers clicks treats both alike; `items_of` reads the items.

The dwell time of a click is known once the next click is there. All places of a session are predicted in one pass, so
the network gets each dwell time one click late: at click t that of click t - 1 (and unknown at the first). There it is
the time since the click before: `dwell` and `since_previous` tell the network the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from nextclick.components import contract, features, side_features
from nextclick.pipeline.config import Config

_KNOWN_LATE = "dwell"


def names(config: Config) -> tuple[str, ...]:
    """The side features that the network looks at, in the order of their columns."""
    return () if config.model.side_features == "off" else config.features.side_features


def counts(config: Config, transform: Any) -> dict[str, int]:
    """Number of indices of each of them; `transform` is the TFTransformOutput of the graph that computes them."""
    return {name: side_features.index_count(name, config.features, transform) for name in names(config)}


def beside_items(transformed: Mapping[str, Any], used: Sequence[str]) -> Any:
    """Sessions as the network takes them, of transformed features: ragged [sessions, (items)], int64 [events, 1 + n].

    Args:
      transformed: `item_indices` and `side_<name>` of each used feature, ragged [sessions, (items)] or sparse.
      used: the n features; none: the items alone, [events].
    """
    items = features.to_ragged(transformed[contract.ITEM_INDICES])
    if not used:
        return items
    columns = [items.flat_values]
    for name in used:
        values = features.to_ragged(transformed[contract.side_feature(name)])
        columns.append(_one_click_late(values) if name == _KNOWN_LATE else values.flat_values)
    return items.with_flat_values(tf.stack(columns, axis=1))


def unknown_beside(items: Any, used: Sequence[str]) -> Any:
    """The same of sessions of which the items alone are known."""
    unknown = items.with_flat_values(tf.fill(tf.shape(items.flat_values), _unknown()))
    return beside_items({contract.ITEM_INDICES: items, **{contract.side_feature(name): unknown for name in used}}, used)


def items_of(clicks: Any) -> Any:
    """The items, [batch, time] of padded clicks, ragged [sessions, (items)] of ragged ones.

    Whether there are side features beside them is told by the rank.
    """
    if isinstance(clicks, tf.RaggedTensor):
        flat = clicks.flat_values
        return clicks if flat.shape.rank == 1 else clicks.with_flat_values(flat[:, 0])
    return clicks if clicks.shape.rank == 2 else clicks[:, :, 0]


def _one_click_late(values: Any) -> tf.Tensor:
    """The value of the click before, unknown at the first of a session: int64 [events]."""
    first = tf.equal(tf.ragged.range(values.row_lengths()).flat_values, 0)
    return tf.where(first, _unknown(), tf.roll(values.flat_values, shift=1, axis=0))


def _unknown() -> tf.Tensor:
    return tf.constant(contract.UNKNOWN_SIDE_INDEX, tf.int64)
