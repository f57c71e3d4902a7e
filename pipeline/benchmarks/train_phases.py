"""The phases of the benchmarks that train our model, each a process of its own, with its peak of memory.

Takes a phase's name, the path of data.json (train_data.py) and the configuration's JSON text; writes JSON to standard
output.

    fit     trains as the configuration says, until validation stops it
    speed   trains three epochs and validates nothing: events a second
    recipe  trains what the pipeline would export, and judges it on the test split
"""

from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path
from typing import Any

from nextclick.components import dataset, fitting, quantize, recipe, trainer
from nextclick.components.fitting import Epoch, Fitted
from nextclick.components.memory import peak_memory_bytes
from nextclick.components.validation import Judge
from nextclick.pipeline import config as configuration
from nextclick.pipeline.config import Config

_SPEED_EPOCHS = 3


def main() -> int:
    """Runs one phase."""
    phase, data, settings = sys.argv[1:]
    config = configuration.from_json(settings)
    trainer.set_threads(config.training.threads)
    figures = PHASES[phase](config, json.loads(Path(data).read_text(encoding="utf-8")))
    json.dump({**figures, "peak_memory_bytes": peak_memory_bytes()}, sys.stdout)
    return 0


def _fit(config: Config, data: dict[str, Any]) -> dict[str, Any]:
    from nextclick.pipeline.benchmarks import floor

    train, validation = _read(config, data, "train"), _read(config, data, "validation")
    rate = floor.matrix_product_rate()
    started, cpu = time.perf_counter(), time.process_time()
    fitted = fitting.fit(config, train, validation, data["items"])
    seconds = time.perf_counter() - started
    rate = max(rate, floor.matrix_product_rate())
    figures = _figures(fitted, fitted.history, seconds, time.process_time() - cpu)
    best = fitted.history[fitted.best_epoch - 1]
    floor_seconds = floor.flops_per_event(fitted.model, config) / rate
    return {
        **figures,
        "best_epoch": fitted.best_epoch,
        "seconds_to_best_epoch": figures["setup_seconds"] + sum(_seconds(fitted.history[: fitted.best_epoch])),
        "recall@20": best.recall,
        "mrr@20": best.mrr,
        "matrix_product_gflops_per_second": rate / 1e9,
        "floor_events_per_second": 1 / floor_seconds,
        "share_of_floor": figures["events_per_second"] * floor_seconds,
    }


def _speed(config: Config, data: dict[str, Any]) -> dict[str, Any]:
    train = _read(config, data, "train")
    started, cpu = time.perf_counter(), time.process_time()
    fitted = fitting.fit_epochs(config, train, data["items"], _SPEED_EPOCHS)
    return _figures(fitted, fitted.history, time.perf_counter() - started, time.process_time() - cpu)


def _recipe(config: Config, data: dict[str, Any]) -> dict[str, Any]:
    started, cpu = time.perf_counter(), time.process_time()
    train, validation = _read(config, data, "train"), _read(config, data, "validation")
    trained = recipe.train(config, train, validation, data["items"])
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    scorer = trained.scorer
    if config.serving.weights != "float32":
        scorer = quantize.narrowed(scorer, config.serving.weights)
    recall, mrr = Judge(scorer, _read(config, data, "test").sessions)()
    return {
        "recall@20": recall,
        "mrr@20": mrr,
        "validation_mrr@20": max((line.mrr for line in trained.fitted.history), default=math.nan),
        "epochs": trained.fitted.best_epoch,
        "seconds": seconds,
        "cpu_seconds": cpu,
    }


def _figures(fitted: Fitted, history: list[Epoch], seconds: float, cpu_seconds: float) -> dict[str, Any]:
    """Events a second are of whole epochs, but for the first, in which the graph is traced (where there are more)."""
    steady = history[1:] or history
    return {
        "events_per_second": sum(line.events for line in steady) / sum(_seconds(steady)),
        "events_per_cpu_second": sum(line.events for line in steady) / sum(line.cpu_seconds for line in steady),
        "epochs": len(history),
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "setup_seconds": seconds - sum(line.seconds for line in history),
        "parameters": int(fitted.model.count_params()),
        "history": [
            {
                **({} if math.isnan(line.mrr) else {"recall@20": line.recall, "mrr@20": line.mrr}),
                "training_seconds": line.training_seconds,
                "cpu_seconds": line.cpu_seconds,
                "seconds": line.seconds,
            }
            for line in history
        ],
    }


def _seconds(history: list[Epoch]) -> list[float]:
    return [line.training_seconds for line in history]


def _read(config: Config, data: dict[str, Any], split: str) -> dataset.Split:
    from tensorflow_transform.output_wrapper import TFTransformOutput

    return dataset.reader(config, TFTransformOutput(data["transform_graph"]))(data[split])


PHASES = {"fit": _fit, "speed": _speed, "recipe": _recipe}

if __name__ == "__main__":
    sys.exit(main())
