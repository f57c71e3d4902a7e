"""What is counted, under the names and labels of TensorFlow Serving, and its text form for Prometheus.

`:tensorflow:serving:request_latency` and its like: TensorFlow Serving writes a colon for each slash of its own names.
Dashboards and alerts made for one server work with the other. Everything here is called from the event loop.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterator

import grpc

_PREFIX = ":tensorflow:serving:"
# Microseconds: 10 × 1.8^n, as TensorFlow Serving has them (10 µs to some 20 minutes).
LATENCY_LIMITS = tuple(10 * 1.8**power for power in range(33))
BATCH_LIMITS = tuple(float(2**power) for power in range(14))

Labels = tuple[tuple[str, str], ...]


class Histogram:
    """Counts of values in ranges, by labels."""

    def __init__(self, name: str, limits: tuple[float, ...]) -> None:
        self._name, self._limits = name, limits
        self._counts: dict[Labels, list[int]] = {}
        self._sums: dict[Labels, float] = {}

    def add(self, value: float, **labels: str) -> None:
        """Counts one value."""
        key = tuple(labels.items())
        counts = self._counts.setdefault(key, [0] * (len(self._limits) + 1))
        counts[bisect.bisect_left(self._limits, value)] += 1
        self._sums[key] = self._sums.get(key, 0.0) + value

    def lines(self) -> Iterator[str]:
        """In Prometheus' text form."""
        yield f"# TYPE {self._name} histogram"
        for key, counts in self._counts.items():
            for limit, count in zip([*self._limits, "+Inf"], itertools.accumulate(counts), strict=True):
                text = limit if isinstance(limit, str) else f"{limit:.6g}"
                yield f"{self._name}_bucket{_braces((*key, ('le', text)))} {count}"
            yield f"{self._name}_sum{_braces(key)} {self._sums[key]:.6g}"
            yield f"{self._name}_count{_braces(key)} {sum(counts)}"


class Counter:
    """A number that only grows, by labels."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._counts: dict[Labels, int] = {}

    def add(self, count: int = 1, **labels: str) -> None:
        """Adds to it."""
        key = tuple(labels.items())
        self._counts[key] = self._counts.get(key, 0) + count

    def lines(self) -> Iterator[str]:
        """In Prometheus' text form."""
        yield f"# TYPE {self._name} counter"
        for key, count in self._counts.items():
            yield f"{self._name}{_braces(key)} {count}"


class Metrics:
    """All that one server counts."""

    def __init__(self) -> None:
        self.requests = Counter(_PREFIX + "request_count")
        self.request_latency = Histogram(_PREFIX + "request_latency", LATENCY_LIMITS)
        self.runtime_latency = Histogram(_PREFIX + "runtime_latency", LATENCY_LIMITS)
        self.queueing_latency = Histogram(_PREFIX + "batching_session:queuing_latency", LATENCY_LIMITS)
        self.batch_size = Histogram(_PREFIX + "batching_session:processed_batch_size", BATCH_LIMITS)
        self.loads = Counter(":tensorflow:cc:saved_model:load_attempt_count")

    def request(self, model: str, entrypoint: str, seconds: float, code: grpc.StatusCode) -> None:
        """Counts one Predict, as it ended."""
        self.requests.add(model_name=model, status=code.name)
        if code is grpc.StatusCode.OK:
            self.request_latency.add(seconds * 1e6, model_name=model, API="Predict", entrypoint=entrypoint)

    def text(self) -> str:
        """What GET on the metrics path answers."""
        return "\n".join(line for metric in vars(self).values() for line in metric.lines()) + "\n"


def _braces(labels: Labels) -> str:
    inside = ",".join(f'{name}="{_escape(value)}"' for name, value in labels)
    return f"{{{inside}}}"


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
