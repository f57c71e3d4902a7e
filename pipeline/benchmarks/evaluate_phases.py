"""The phases of `nextclick benchmark evaluate`, each a process of its own, so that each has its own peak of memory.

Takes a phase's name, a folder, a configuration as JSON, the numbers of items and of test sessions; writes JSON to
standard output.

    prepare    an untrained model of that many items, and a test split as BaselineRanks writes it, random ranks included
    signature  the evaluation signature alone, a batch of sessions after the other
    evaluator  GateEvaluator on the same files: TFMA on Beam, metrics, intervals, slices, validation
    evaluator_few  the same on a few sessions, which tells what it costs at any size
    numpy      a peer: scores and ranks alone, of random vectors
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from nextclick.components import contract
from nextclick.components.memory import peak_memory_bytes
from nextclick.pipeline import config as configuration
from nextclick.pipeline.benchmarks import evaluate_data
from nextclick.pipeline.benchmarks.evaluate import FEW_SESSIONS
from nextclick.pipeline.config import Config

_BATCH = 1000  # sessions, as many as TFMA takes
_NUMPY_SCORES = 1 << 24  # held at a time


def main() -> int:
    """Runs one phase."""
    phase, folder, config_json, items, sessions = sys.argv[1:]
    before = peak_memory_bytes()
    figures = PHASES[phase](Path(folder), configuration.from_json(config_json), int(items), int(sessions))
    json.dump({**figures, "peak_memory_bytes": peak_memory_bytes(), "memory_bytes_at_start": before}, sys.stdout)
    return 0


def _prepare(folder: Path, config: Config, items: int, sessions: int) -> dict[str, Any]:
    from nextclick.pipeline.benchmarks import untrained

    model = folder / "model" / "Format-Serving"
    ids = untrained.export(config, items, model)
    evaluate_data.write(folder / evaluate_data.FEW, ids, FEW_SESSIONS, config.seed)
    predictions = evaluate_data.write(folder / evaluate_data.ALL, ids, sessions, config.seed)
    return {
        "sessions": sessions,
        "predictions": predictions,
        "item_matrix_bytes": 4 * items * config.model.embedding_size,
        "model_bytes": sum(path.stat().st_size for path in model.rglob("*") if path.is_file()),
    }


def _signature(folder: Path, config: Config, items: int, sessions: int) -> dict[str, Any]:
    evaluate = tf.saved_model.load(str(folder / "model" / "Format-Serving")).signatures[contract.SIGNATURE_EVALUATE]
    files = [str(path) for path in (folder / evaluate_data.ALL / "examples" / "Split-test").glob("*")]
    records = tf.data.TFRecordDataset(files, compression_type="GZIP")

    def run(batches: tf.data.Dataset) -> None:
        for batch in batches:
            evaluate(**{contract.INPUT_EXAMPLES: batch})[contract.OUTPUT_RANKS].numpy()

    run(records.take(100).batch(100))  # traces and warms up
    return _timed(lambda: run(records.batch(_BATCH)))


def _evaluator(folder: Path, config: Config, items: int, sessions: int) -> dict[str, Any]:
    return _judged(folder, evaluate_data.ALL, config)


def _evaluator_few(folder: Path, config: Config, items: int, sessions: int) -> dict[str, Any]:
    return _judged(folder, evaluate_data.FEW, config)


def _judged(folder: Path, part: str, config: Config) -> dict[str, Any]:
    from nextclick.pipeline import local

    return _timed(lambda: local.evaluate(config, folder / "model", folder / part / "examples", folder / part))


def _numpy(folder: Path, config: Config, items: int, sessions: int) -> dict[str, Any]:
    chance = np.random.default_rng(config.seed)
    width = config.model.embedding_size
    vectors = chance.standard_normal((items, width), np.float32)
    chunk = max(1, _NUMPY_SCORES // items)
    predictions = json.loads((folder / evaluate_data.ALL / evaluate_data.DESCRIBED).read_text())["predictions"]

    def run() -> None:
        for first in range(0, predictions, chunk):
            rows = min(chunk, predictions - first)
            scores = chance.standard_normal((rows, width), np.float32) @ vectors.T
            targets = chance.integers(0, items, rows)
            np.count_nonzero(scores >= scores[np.arange(rows), targets][:, None], axis=1)

    return _timed(run)


def _timed(run: Callable[[], None]) -> dict[str, Any]:
    start, cpu = time.perf_counter(), time.process_time()
    run()
    return {"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - cpu}


PHASES = {
    "prepare": _prepare,
    "signature": _signature,
    "evaluator": _evaluator,
    "evaluator_few": _evaluator_few,
    "numpy": _numpy,
}

if __name__ == "__main__":
    sys.exit(main())
