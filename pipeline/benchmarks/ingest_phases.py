"""The phases of `nextclick benchmark ingest`, each a process of its own, so that each has its own peak of memory.

Takes a phase's name, the log's path, a root folder and the configuration's JSON text; writes JSON to standard output.

    examples   the pipeline's first component alone: file → split tf.Examples
    transform  the same root as far as Transform, the examples being in the cache: tf.Examples → transformed examples
    polars     the floor: read the file, sort it, group it
    pandas     a peer, the same work
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nextclick.components.memory import peak_memory_bytes
from nextclick.pipeline import config as configuration

_BEST_OF = 3


def main() -> int:
    """Runs one phase."""
    phase, log, root, settings = sys.argv[1:]
    started = time.perf_counter()
    figures = PHASES[phase](log, Path(root), configuration.from_json(settings))
    figures["process_seconds"] = time.perf_counter() - started
    figures["peak_memory_bytes"] = peak_memory_bytes()
    json.dump(figures, sys.stdout)
    return 0


def _examples(log: str, root: Path, config: configuration.Config) -> dict[str, Any]:
    return _component("SessionExampleGen", config, root, transformed=False)


def _transform(log: str, root: Path, config: configuration.Config) -> dict[str, Any]:
    return _component("Transform", config, root, transformed=True)


def _component(name: str, config: configuration.Config, root: Path, *, transformed: bool) -> dict[str, Any]:
    """Seconds of a component as ML Metadata recorded them; seconds of processor time with what TFX does around it."""
    from nextclick.pipeline import local

    before = _cpu_seconds()
    seconds = local.make_examples(config, root, transformed=transformed)[name]
    return {"seconds": seconds, "cpu_seconds": _cpu_seconds() - before}


def _cpu_seconds() -> float:
    """Of this process and of those that it started and that have ended; in microseconds, where `os.times` has ticks."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def _polars(log: str, root: Path, config: configuration.Config) -> dict[str, Any]:
    import polars

    def sessions() -> Any:
        clicks = polars.read_csv(log).sort("session_id", "timestamp")
        return clicks.group_by("session_id", maintain_order=True).agg("item_id", "timestamp")

    return {"version": polars.__version__, **_best(sessions)}


def _pandas(log: str, root: Path, config: configuration.Config) -> dict[str, Any]:
    import pandas

    def sessions() -> Any:
        clicks = pandas.read_csv(log).sort_values(["session_id", "timestamp"])
        return clicks.groupby("session_id", sort=False)["item_id"].agg(list)

    return {"version": pandas.__version__, **_best(sessions, 1)}


def _best(run: Callable[[], Any], times: int = _BEST_OF) -> dict[str, Any]:
    """The least seconds of several times, since what disturbs only ever adds."""
    taken = []
    for _ in range(times):
        started, cpu = time.perf_counter(), _cpu_seconds()
        sessions = len(run())
        taken.append((time.perf_counter() - started, _cpu_seconds() - cpu))
    seconds, cpu = min(taken)
    return {"seconds": seconds, "cpu_seconds": cpu, "sessions": sessions}


PHASES = {"examples": _examples, "transform": _transform, "polars": _polars, "pandas": _pandas}

if __name__ == "__main__":
    sys.exit(main())
