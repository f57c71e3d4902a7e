"""Raw sessions → what the network takes, by the graph that Transform made of preprocessing_fn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from nextclick.components import contract, features, side_features, side_inputs
from nextclick.components.request_checks import at_most, greatest
from nextclick.pipeline.config import FeaturesConfig


class RequestEncoder(tf.Module):
    """Part of the SavedModel: all signatures encode by it, and none has code of its own for a feature.

    Args:
      transform: raw features by name → transformed features by name: `TFTransformOutput.transform_features_layer()`.
      kind: how Transform was given raw features: "sparse" or "ragged".
      used: side features that the network looks at.
      config: as Transform was given it.
    """

    def __init__(self, transform: Any, kind: str, used: Sequence[str], config: FeaturesConfig) -> None:
        super().__init__()
        self.transform = transform
        self._kind, self._used, self._config = kind, tuple(used), config
        self.side_types = side_features.raw_names(config) if used else {}

    def items(self, item_ids: Any) -> Any:
        """int64 ragged [sessions, (items)] of string ragged [sessions, (items)]."""
        return features.to_ragged(self.transform({contract.ITEM_IDS: self._raw(item_ids)})[contract.ITEM_INDICES])

    def sessions(self, raw: Mapping[str, Any]) -> Any:
        """What the network takes: int64 ragged [sessions, (items)], with side features [events, 1 + features] flat.

        Args:
          raw: `item_ids`, ragged [sessions, (items)], and any of the raw features that side features are made of,
            ragged or padded; what is missing is unknown.
        """
        if not self._used:
            return self.items(raw[contract.ITEM_IDS])
        inputs = {name: self._raw(values) for name, values in side_features.complete(raw, self._config).items()}
        return side_inputs.beside_items(self.transform(inputs), self._used)

    def checked(self, raw: Mapping[str, Any]) -> Any:
        """As `sessions`, of a request whose texts may be MAX_ITEM_ID_BYTES long."""
        checks = [
            at_most(
                greatest(tf.strings.length(_flat(values))), contract.MAX_ITEM_ID_BYTES, _WORDS.get(name, name), "bytes"
            )
            for name, values in raw.items()
            if values.dtype == tf.string
        ]
        item_ids = raw[contract.ITEM_IDS]
        with tf.control_dependencies(checks):
            return self.sessions(
                {**raw, contract.ITEM_IDS: item_ids.with_flat_values(tf.identity(item_ids.flat_values))}
            )

    def unknown(self, items: Any) -> Any:
        """As `sessions`, of encoded items [sessions, (items)], of which nothing else is known."""
        return side_inputs.unknown_beside(items, self._used)

    def parse(self, examples: tf.Tensor) -> dict[str, Any]:
        """What `sessions` takes, of serialised raw tf.Examples, string [batch]."""
        spec = {contract.ITEM_IDS: tf.string, **self.side_types}
        parsed = tf.io.parse_example(examples, {name: tf.io.VarLenFeature(kind) for name, kind in spec.items()})
        return {name: tf.RaggedTensor.from_sparse(values) for name, values in parsed.items()}

    def _raw(self, values: Any) -> Any:
        ragged = features.to_ragged(values)
        return ragged if self._kind == "ragged" else ragged.to_sparse()


def of_transform(transform: Any, used: Sequence[str], config: FeaturesConfig) -> RequestEncoder:
    """The encoder of a TFTransformOutput's graph; the other arguments are RequestEncoder's."""
    ragged = isinstance(transform.raw_feature_spec()[contract.ITEM_IDS], tf.io.RaggedFeature)
    return RequestEncoder(transform.transform_features_layer(), "ragged" if ragged else "sparse", used, config)


_WORDS = {contract.ITEM_IDS: "an item id"}


def _flat(values: Any) -> tf.Tensor:
    return values.flat_values if isinstance(values, tf.RaggedTensor) else tf.reshape(values, [-1])
