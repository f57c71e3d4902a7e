"""What every benchmark needs: the machine it ran on, and percentiles."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

_PACKAGES = ("tensorflow", "tfx", "apache-beam", "numpy", "pyarrow")


def machine() -> dict[str, str | int]:
    """Processor, cores that this process may use, memory in bytes, operating system and the versions that matter."""
    versions = {name: _version(name) for name in _PACKAGES}
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": platform.platform(),
        "python": platform.python_version(),
        **versions,
    }


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of the values that at least that share of them does not exceed (nearest rank).

    `percentile(times, 0.99)` of 100 times is the 99th smallest. Raises ValueError on no values.
    """
    if not values:
        raise ValueError("a percentile of no values is not defined")
    rank = max(1, -(-len(values) * share // 1))
    return sorted(values)[int(rank) - 1]


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"
