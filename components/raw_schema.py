"""The curated schema of the raw examples, with the attributes that a configuration carries along."""

from __future__ import annotations

from collections.abc import Sequence

from tensorflow_metadata.proto.v0 import schema_pb2

from nextclick.components import contract

# As for event types, which an attribute has one of for each event, too.
_FEWEST_EVENTS = 2


def with_attributes(schema: schema_pb2.Schema, attributes: Sequence[str]) -> schema_pb2.Schema:
    """A copy that also asks for the raw feature of each attribute, but not of requests.

    Args:
        schema: of schema/schema.pbtxt, which knows no attribute: each log has its own.
        attributes: `data.attributes`.
    """
    extended = schema_pb2.Schema()
    extended.CopyFrom(schema)
    for name in attributes:
        extended.feature.add(
            name=contract.attribute_feature(name),
            type=schema_pb2.BYTES,
            presence=schema_pb2.FeaturePresence(min_fraction=1.0, min_count=1),
            value_count=schema_pb2.ValueCount(min=_FEWEST_EVENTS),
            not_in_environment=["SERVING"],
        )
    return extended
