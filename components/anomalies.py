"""What TensorFlow Data Validation found wrong, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tensorflow_metadata.proto.v0 import anomalies_pb2


def sentence(anomalies: Mapping[str, anomalies_pb2.Anomalies]) -> str:
    """One sentence that names every feature with an anomaly, "" where there is none.

    Args:
        anomalies: of each split, by its name.
    """
    found = [f"{split}: {problem}" for split, entry in anomalies.items() for problem in _problems(entry)]
    if not found:
        return ""
    return f"the examples do not follow the schema (schema/schema.pbtxt): {'; '.join(found)}"


def _problems(anomalies: anomalies_pb2.Anomalies) -> Iterator[str]:
    for feature in sorted(anomalies.anomaly_info):
        info = anomalies.anomaly_info[feature]
        yield f"feature {feature}: {info.short_description}, {info.description}".rstrip(". ")
    if anomalies.HasField("dataset_anomaly_info"):
        yield f"the split: {anomalies.dataset_anomaly_info.description}".rstrip(". ")
